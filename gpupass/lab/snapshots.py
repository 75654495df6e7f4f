"""Saved machines, memory in one file and disk in another; a lab only writes to an overlay of them."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from gpupass.errors import GpupassError, Usage
from gpupass.lab import host, prune
from gpupass.lab.image import Image
from gpupass.lab.instance import Instance
from gpupass.lab.qmp import Qmp

BOOTED = "booted"
_SAVE_SECONDS = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    name: str
    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.qcow2"

    @property
    def memory(self) -> Path:
        return self.folder / "memory"

    def registers(self) -> dict[str, str]:
        """PCI registers of the devices QEMU saves nothing of: root port address → bytes in base64."""
        about = json.loads((self.folder / "about.json").read_text(encoding="utf-8"))
        return {str(port): str(value) for port, value in about["registers"].items()}


class Store:
    """Snapshots that fit one machine: same image, topology, QEMU and accelerator."""

    def __init__(self, image: Image, topology: str, machine: str) -> None:
        self.topology = topology
        self.root = image.snapshots / f"{topology}-{hashlib.sha256(machine.encode()).hexdigest()[:16]}"

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(p.parent.name for p in self.root.glob("*/about.json")))

    def find(self, name: str) -> Snapshot | None:
        folder = self.root / host.checked_name(name, "the name of a snapshot")
        if not (folder / "about.json").is_file():
            return None
        prune.used(self.root)
        return Snapshot(name=name, folder=folder)

    def require(self, name: str) -> Snapshot:
        found = self.find(name)
        if found is None:
            known = ", ".join(self.names()) or "none"
            raise Usage(
                f"cannot restore {name!r}: this topology and image have no such snapshot (known: {known})",
                "gpupass lab snapshot NAME",
            )
        return found

    def save(self, instance: Instance, name: str, registers: dict[str, str]) -> Snapshot:
        """Save the running machine; it stands still meanwhile and then goes on."""
        host.checked_name(name, "the name of a snapshot")
        self.root.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".saving-", dir=self.root))
        try:
            with instance.qmp() as qmp:
                try:
                    qmp.execute("stop")
                    _migrate(qmp, work / "memory")
                    # After a completed migration QEMU has flushed the disk and let go of it.
                    _copy_disk(instance, work)
                finally:
                    qmp.execute("cont")
            about = {"registers": registers, "when": time.time()}
            (work / "about.json").write_text(json.dumps(about), encoding="utf-8")
            self._replace(work, self.root / name)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        prune.snapshots(self.root.parent, self.topology)
        return Snapshot(name=name, folder=self.root / name)

    def _replace(self, work: Path, target: Path) -> None:
        work.chmod(0o755)
        if target.exists():
            old = Path(tempfile.mkdtemp(prefix=".saving-", dir=self.root))
            target.rename(old / "old")
            work.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            work.rename(target)


def _copy_disk(instance: Instance, work: Path) -> None:
    """One overlay of the image that holds all a lab's disk has: its own writes over those of its snapshot."""
    disk = work / "disk.qcow2"
    if not instance.base.exists():
        shutil.copyfile(instance.disk, disk)
        return
    # Not `qemu-img convert -B`: it looks at the uppermost layer only and so forgets what lies between.
    own = work / "own.qcow2"
    shutil.copyfile(instance.base, disk)
    shutil.copyfile(instance.disk, own)
    host.run_tool(["qemu-img", "rebase", "-u", "-b", str(disk), "-F", "qcow2", str(own)])
    host.run_tool(["qemu-img", "commit", "-q", str(own)])
    own.unlink()


def _migrate(qmp: Qmp, target: Path) -> None:
    qmp.execute("migrate-set-parameters", {"max-bandwidth": 1 << 40})
    qmp.execute("migrate", {"uri": f"file:{target}"})
    _wait_migration(qmp, "save the machine")


def load(qmp: Qmp, source: Path) -> None:
    """Fill a QEMU that waits with `-incoming defer` and let it run."""
    qmp.execute("migrate-incoming", {"uri": f"file:{source}"})
    _wait_migration(qmp, "restore the machine")
    qmp.execute("cont")


def _wait_migration(qmp: Qmp, what: str) -> None:
    deadline = time.monotonic() + _SAVE_SECONDS
    while time.monotonic() < deadline:
        answer = qmp.execute("query-migrate")
        assert isinstance(answer, dict)
        status = answer.get("status")
        if status == "completed":
            return
        if status in ("failed", "cancelled"):
            raise GpupassError(f"cannot {what}: {answer.get('error-desc') or status}")
        time.sleep(0.05)
    raise GpupassError(f"cannot {what}: not done after {_SAVE_SECONDS:.0f} s")
