"""The folder of one named lab: its disk, its keeper, and whether it runs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from gpupass.errors import GpupassError
from gpupass.lab import host, keeper
from gpupass.lab.qmp import Qmp, QmpClosed

_CONSOLE_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a lab was started as; kept beside its disk so that later commands find it."""

    topology: str
    image: str
    accelerator: str
    qemu: str
    argv: tuple[str, ...]
    follow: int | None
    started_from: str


class Instance:
    def __init__(self, name: str) -> None:
        self.name = host.checked_name(name, "the name of a lab")
        self.folder = host.cache_dir() / "instances" / name
        self.disk = self.folder / "disk.qcow2"
        self.base = self.folder / "base.qcow2"
        self.console = self.folder / "console.log"

    @property
    def sockets(self) -> Path:
        return host.socket_dir(self.folder)

    @property
    def running(self) -> bool:
        return self._kept()

    def _kept(self) -> bool:
        """Whether a keeper holds its lock: true to the end, unlike a process id."""
        try:
            with (self.folder / keeper.ALIVE_LOCK).open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False

    def record(self) -> Record | None:
        try:
            fields = json.loads((self.folder / "record.json").read_text(encoding="utf-8"))
            return Record(**{**fields, "argv": tuple(fields["argv"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def read(self, name: str) -> dict[str, object]:
        """One of the keeper's small JSON files; empty when it is not there."""
        try:
            value = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def start(self, record: Record) -> None:
        """Start the keeper and wait until QEMU answers."""
        for name in (keeper.ENDED, keeper.PROCESS):
            (self.folder / name).unlink(missing_ok=True)
        for stale in self.sockets.iterdir():
            stale.unlink()
        self.console.write_bytes(b"")
        (self.folder / keeper.COMMAND).write_text(json.dumps(record.argv), encoding="utf-8")
        (self.folder / "record.json").write_text(json.dumps(asdict(record)), encoding="utf-8")
        argv = [sys.executable, "-P", str(Path(keeper.__file__)), str(self.folder)]
        if record.follow is not None:
            argv.append(str(record.follow))
        with (self.folder / "keeper.log").open("wb") as log:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise GpupassError(
                    f"cannot start lab {self.name}: {self.why_ended()}", f"less {self.folder}/qemu.log"
                )
            with contextlib.suppress(QmpClosed), self.qmp():
                return
            time.sleep(0.05)
        self.stop(signal.SIGTERM)
        raise GpupassError(
            f"cannot start lab {self.name}: QEMU does not answer", f"less {self.folder}/qemu.log"
        )

    def qmp(self) -> Qmp:
        return Qmp(self.sockets / "qmp")

    def stop(self, number: signal.Signals) -> bool:
        """Signal the keeper and wait for the machine's end; False when it was not running."""
        if not self._kept():
            return False
        pid = self.read(keeper.PROCESS).get("keeper")
        if isinstance(pid, int):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + 15
        while self._kept():
            if time.monotonic() > deadline:
                raise GpupassError(
                    f"cannot stop lab {self.name}: its keeper {pid} does not end", f"kill -9 {pid}"
                )
            time.sleep(0.02)
        return True

    def remove_disks(self) -> None:
        for path in (self.disk, self.base):
            path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Leave only logs and records behind."""
        self.remove_disks()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def fresh_disk(self, backing: Path, kind: str) -> None:
        """An empty overlay; a snapshot's disk is linked here first, so that replacing it does no harm."""
        self.remove_disks()
        if kind == "qcow2":
            link_or_copy(backing, self.base)
            backing = self.base
        host.run_tool(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(backing), "-F", kind, str(self.disk)]
        )

    def why_ended(self) -> str:
        """Why the machine is gone, in words, with the last lines it said."""
        why = str(self.read(keeper.ENDED).get("why") or "its keeper was killed")
        console = _lines(self.console)
        panics = [line for line in console if "Kernel panic" in line]
        said = [line for line in _lines(self.folder / "qemu.log") if "warning:" not in line]
        parts = [why if not panics else f"{why} ({panics[-1].strip()})"]
        for what, lines in (("QEMU", said), ("the console", console)):
            if lines:
                parts += [f"last lines of {what}:", *(f"  {line}" for line in lines[-_CONSOLE_LINES:])]
        return "\n".join(parts)


def _lines(log: Path) -> list[str]:
    try:
        text = log.read_text(encoding="utf-8", errors="replace").replace("\r", "")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()]


def link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
