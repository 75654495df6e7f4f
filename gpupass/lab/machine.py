"""A lab as Python sees it: boot it, run commands in it, save and restore it, cut its power."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gpupass.errors import GpupassError, Refused
from gpupass.lab import channel, host, image, inside, keeper, qemu, snapshots, topology
from gpupass.lab.instance import Instance, Record
from gpupass.lab.outcome import Completed, LabLost, Status
from gpupass.lab.topology import Topology

__all__ = ["Completed", "Lab", "LabLost", "Status"]

BOOT_SECONDS = 240.0
Progress = Callable[[str], None]


def quiet(_: str) -> None:
    """Progress nobody watches."""


class Lab:
    """One named lab; several can exist side by side."""

    def __init__(self, name: str = "default", progress: Progress = quiet) -> None:
        self.instance = Instance(name)
        self.progress = progress

    # -- life -----------------------------------------------------------------------------------------

    def up(
        self,
        topology_name: str = "simple",
        *,
        from_snapshot: bool = False,
        follow: int | None = None,
        late: bool = True,
    ) -> None:
        """Start the machine, or find it running so; without its `late` devices it can always be saved."""
        wanted = topology.load(topology_name)
        with self._exclusive():
            if self.instance.running:
                record = self.instance.record()
                if record is not None and record.topology == topology_name:
                    self.progress(f"already up with topology {topology_name}")
                    return
                raise Refused(
                    f"cannot start lab {self.instance.name} with topology {topology_name}: "
                    f"it runs with {record.topology if record else 'another one'}",
                    f"gpupass lab --name {self.instance.name} down",
                )
            store = self._store(wanted)
            refusal = wanted.why_no_snapshot()
            base = store.find(snapshots.BOOTED) if refusal is None else None
            if from_snapshot and refusal is not None:
                self.progress(f"booting cold: {refusal}")
            if from_snapshot and base is not None:
                self._start(wanted, base, follow, late=late)
                return
            if from_snapshot and refusal is None:
                self.progress("no snapshot of this topology yet: booting cold once")
            self._start(wanted, None, follow)
            if refusal is None and base is None:
                self.progress("saving the booted machine for `up --from-snapshot`")
                self._save(wanted, snapshots.BOOTED)
            if late:
                self._plug_late(wanted)

    def down(self) -> bool:
        """End the machine and forget its disk; False when it was not running."""
        with self._exclusive():
            was = self.instance.stop(signal.SIGTERM)
            self.instance.forget()
            return was

    def power_cycle(self) -> None:
        """Cut the power and boot the same disk again: what was not synced is lost."""
        with self._exclusive():
            record = self.instance.record()
            if record is None or not self.instance.disk.exists():
                raise GpupassError("cannot power-cycle the lab: it was never started", "gpupass lab up")
            self.instance.stop(signal.SIGUSR1)
            wanted = topology.load(record.topology)
            self._launch(wanted, record.follow, incoming=False, started_from="power-cycle")
            self._wait_booted()
            self._plug_late(wanted)

    def snapshot(self, name: str) -> None:
        wanted = self._topology()
        refusal = self._why_no_snapshot(wanted)
        if refusal is not None:
            raise Refused(f"cannot save snapshot {name}: {refusal}", "gpupass lab topologies")
        with self._exclusive():
            self._save(wanted, name)

    def restore(self, name: str, topology_name: str | None = None) -> None:
        """Replace the machine by a saved one; it need not be running."""
        record = self.instance.record()
        wanted = topology.load(topology_name or (record.topology if record else "simple"))
        with self._exclusive():
            saved = self._store(wanted).require(name)
            self.instance.stop(signal.SIGUSR1)
            self._start(wanted, saved, record.follow if record else None)

    def status(self) -> Status:
        instance, record = self.instance, self.instance.record()
        if record is None:
            return Status(name=instance.name, state="never-started")
        running = instance.running
        lost = not running and instance.disk.exists()
        pid = instance.read(keeper.PROCESS).get("qemu")
        built = image.current()
        return Status(
            name=instance.name,
            state="running" if running else "lost" if lost else "down",
            topology=record.topology,
            started_from=record.started_from,
            accelerator=record.accelerator,
            qemu=record.qemu,
            image=record.image,
            pid=pid if running and isinstance(pid, int) else None,
            qmp=str(instance.sockets / "qmp") if running else "",
            console=str(instance.console),
            why=instance.why_ended() if lost else "",
            snapshots=self._store(topology.load(record.topology)).names() if built.exists else (),
        )

    # -- commands -------------------------------------------------------------------------------------

    def run(
        self, argv: list[str] | tuple[str, ...], *, stdin: bytes | None = None, timeout: float | None = None
    ) -> Completed:
        """Run a command and collect what it said; TimeoutError stops it, LabLost: the machine is gone."""
        out, err = bytearray(), bytearray()
        with _feeding(stdin) as read:
            ending = self.execute(
                tuple(argv), stdin=read, output=out.extend, errors=err.extend, timeout=timeout
            )
        return Completed(returncode=ending.returncode, stdout=bytes(out), stderr=bytes(err))

    def execute(
        self,
        argv: tuple[str, ...],
        *,
        stdin: int | None,
        output: Callable[[bytes], None],
        errors: Callable[[bytes], None],
        terminal: channel.Terminal | None = None,
        resized: Callable[[], channel.Terminal | None] = lambda: None,
        timeout: float | None = None,
        agent_timeout: float = 30.0,
    ) -> channel.Ending:
        self._require_running()
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            with channel.port(self.instance.folder, self.instance.sockets, timeout=60.0) as line:
                if not line.hello(agent_timeout):
                    raise channel.ChannelLost(f"its agent did not answer within {agent_timeout:.0f} s")
                return line.execute(
                    argv, stdin=stdin, output=output, errors=errors, terminal=terminal, resized=resized,
                    deadline=deadline,
                )  # fmt: skip
        except channel.ChannelLost as error:
            raise self._lost(str(error)) from error
        except TimeoutError:
            raise TimeoutError(
                f"cannot finish {shlex.join(argv)} in the lab: no end after {timeout:.0f} s"
            ) from None

    def put(self, local: Path, remote: str) -> None:
        """Copy a file into the machine, with its mode; a folder as REMOTE keeps the name."""
        try:
            with local.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                self._copy(
                    ("sh", "-c", inside.PUT, "put", remote, local.name, f"{mode:o}"),
                    file.fileno(),
                    None,
                    remote,
                )
        except OSError as error:
            raise GpupassError(f"cannot read {local}: {error.strerror}") from error

    def get(self, remote: str, local: Path) -> None:
        """Copy a file out of the machine; the local file changes only when all of it has arrived."""
        part = local.with_name(local.name + ".part")
        try:
            with part.open("wb") as file:
                self._copy(("cat", "--", remote), None, file.write, remote)
            part.replace(local)
        except OSError as error:
            raise GpupassError(f"cannot write {local}: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)

    def snapshot_names(self, topology_name: str) -> tuple[str, ...]:
        """Names of the snapshots that fit this topology on this machine."""
        return self._store(topology.load(topology_name)).names()

    def _copy(
        self, argv: tuple[str, ...], stdin: int | None, sink: Callable[[bytes], object] | None, remote: str
    ) -> None:
        said = bytearray()
        out: Callable[[bytes], object] = sink or said.extend
        ending = self.execute(argv, stdin=stdin, output=lambda data: void(out(data)), errors=said.extend)
        if ending.returncode != 0:
            why = said.decode(errors="replace").strip() or f"status {ending.returncode}"
            raise GpupassError(f"cannot copy {remote}: {why}")

    # -- the monitor ----------------------------------------------------------------------------------

    def qmp(self, command: str, **arguments: object) -> object:
        """One QMP command to the lab's QEMU; `_` in argument names stands for `-`."""
        self._require_running()
        with self.instance.qmp() as monitor:
            return monitor.execute(
                command, {name.replace("_", "-"): value for name, value in arguments.items()}
            )

    def hmp(self, line: str) -> str:
        self._require_running()
        with self.instance.qmp() as monitor:
            return monitor.hmp(line)

    # -- inside ---------------------------------------------------------------------------------------

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with image.locked(
            self.instance.folder / "change.lock",
            lambda: self.progress("waiting for another command that changes this lab"),
        ):
            yield

    def _topology(self) -> Topology:
        self._require_running()
        record = self.instance.record()
        if record is None:
            raise GpupassError(
                "cannot tell this lab's topology: its record is unreadable", "gpupass lab down"
            )
        return topology.load(record.topology)

    def _require_running(self) -> None:
        if self.instance.running:
            return
        if self.instance.read(keeper.ENDED) and self.instance.disk.exists():
            raise self._lost("")
        raise GpupassError(
            f"cannot use lab {self.instance.name}: it is not up", "gpupass lab up --from-snapshot"
        )

    def _lost(self, why: str) -> LabLost:
        deadline = time.monotonic() + 2.0
        while why == "QEMU has ended" and self.instance.running and time.monotonic() < deadline:
            time.sleep(0.02)
        if not self.instance.running:
            why = self.instance.why_ended()
        return LabLost(f"the lab machine was lost: {why}", "gpupass lab power-cycle")

    def _files(self, built: image.Image, disk: Path, sockets: Path, console: Path) -> qemu.Files:
        source = Path(__file__).resolve().parents[2]
        return qemu.Files(
            kernel=built.kernel,
            initrd=built.initrd,
            disk=disk,
            source=source,
            sockets=sockets,
            console=console,
        )

    def _store(self, wanted: Topology) -> snapshots.Store:
        built = image.require()
        accelerator = host.accelerator(built.kernel, host.cache_dir())
        nowhere = Path("/")
        files = qemu.Files(
            kernel=nowhere, initrd=nowhere, disk=nowhere, source=nowhere, sockets=nowhere, console=nowhere
        )
        argv = qemu.arguments(wanted, files, accelerator, incoming=False)
        return snapshots.Store(built, f"{wanted.digest} {host.qemu_version()} {argv}")

    def _launch(self, wanted: Topology, follow: int | None, *, incoming: bool, started_from: str) -> None:
        built = image.require()
        accelerator = host.accelerator(built.kernel, host.cache_dir())
        instance = self.instance
        files = self._files(built, instance.disk, instance.sockets, instance.console)
        instance.start(
            Record(
                topology=wanted.name,
                image=built.key,
                accelerator=accelerator,
                qemu=host.qemu_version(),
                argv=(host.QEMU, *qemu.arguments(wanted, files, accelerator, incoming=incoming)),
                follow=follow,
                started_from=started_from,
            )
        )

    def _start(
        self, wanted: Topology, saved: snapshots.Snapshot | None, follow: int | None, *, late: bool = True
    ) -> None:
        built = image.require()
        host.need("qemu-img")
        if saved is None:
            self.instance.fresh_disk(built.disk, "raw")
            self.progress("booting")
            self._launch(wanted, follow, incoming=False, started_from="boot")
            try:
                self._wait_booted()
            except KeyboardInterrupt:
                self.instance.stop(signal.SIGUSR1)
                raise
            return
        self.instance.fresh_disk(saved.disk, "qcow2")
        self.progress(f"restoring {saved.name}")
        self._launch(wanted, follow, incoming=True, started_from=f"snapshot {saved.name}")
        try:
            with self.instance.qmp() as monitor:
                snapshots.load(monitor, saved.memory)
            self._revive(wanted, saved, late)
        except BaseException:
            self.instance.stop(signal.SIGUSR1)
            raise

    def _revive(self, wanted: Topology, saved: snapshots.Snapshot, late: bool) -> None:
        """Everything a restored machine needs that its snapshot could not hold."""
        self._arrive(30.0)
        for port, registers in saved.registers().items():
            self._must(("sh", "-c", inside.WRITE_REGISTERS, "registers", port, registers))
        if late:
            self._plug_late(wanted)

    def _wait_booted(self) -> None:
        self._arrive(BOOT_SECONDS)
        self.progress("waiting for the services to settle")
        self._must(("sh", "-c", inside.SETTLED))
        self._must(("sh", "-c", f"{inside.ASK_QEMU} 2>&1 &"))

    def _arrive(self, timeout: float) -> None:
        script = inside.ARRIVE.format(now=f"{time.time():.3f}", mount=inside.MOUNT, tag=qemu.SHARE_TAG)
        deadline = time.monotonic() + timeout
        self._must(("sh", "-c", script), agent_timeout=max(1.0, deadline - time.monotonic()))

    def _must(self, argv: tuple[str, ...], agent_timeout: float = 30.0) -> str:
        out, err = bytearray(), bytearray()
        ending = self.execute(
            argv, stdin=None, output=out.extend, errors=err.extend, agent_timeout=agent_timeout
        )
        if ending.returncode != 0:
            why = err.decode(errors="replace").strip() or f"status {ending.returncode}"
            raise GpupassError(f"cannot prepare the lab: {why}", f"less {self.instance.console}")
        return out.decode(errors="replace")

    def _save(self, wanted: Topology, name: str) -> None:
        self._must(("sh", "-c", inside.ASK_QEMU))
        # QEMU cannot save a machine that has the working copy mounted.
        self._must(
            (
                "sh",
                "-c",
                f"udevadm settle --timeout=60; umount {inside.MOUNT} || umount -l {inside.MOUNT}; sync",
            )
        )
        ports = [qemu.port_address(number) for number, _ in wanted.stateless]
        registers = {
            port: self._must(("sh", "-c", inside.READ_REGISTERS, "registers", port)) for port in ports
        }
        try:
            self._store(wanted).save(self.instance, name, registers)
        finally:
            self._arrive(30.0)

    def _why_no_snapshot(self, wanted: Topology) -> str | None:
        """Late devices count once they are plugged in; QEMU's NVMe does not survive being unplugged."""
        with self.instance.qmp() as monitor:
            plugged = monitor.hmp("info qtree")
        there = {device.id for _, device in wanted.late if f'id "{device.id}"' in plugged}
        return wanted.why_no_snapshot(late=there)

    def _plug_late(self, wanted: Topology) -> None:
        if not wanted.late:
            return
        count = "ls /sys/bus/pci/devices | wc -l"
        before = int(self._must(("sh", "-c", count)))
        with self.instance.qmp() as monitor:
            for number, device in wanted.late:
                answer = monitor.hmp(
                    f"device_add {qemu.device_argument(device, qemu.port_name(number))}"
                ).strip()
                if answer:
                    raise GpupassError(f"cannot plug {device.id} into the lab: {answer}")
        there = f"[ $({count}) -ge {before + len(wanted.late)} ]"
        seen = f"for try in $(seq 200); do {there} && break; sleep 0.1; done; {there}"
        self._must(("sh", "-c", f"{seen} && udevadm settle --timeout=30"))


def void(_: object) -> None:
    """Drops a result nobody needs."""


@contextmanager
def _feeding(data: bytes | None) -> Iterator[int | None]:
    """A descriptor that reads as `data`."""
    if data is None:
        yield None
        return
    fd = os.memfd_create("gpupass-lab-stdin")
    try:
        os.write(fd, data) if len(data) < 1 << 30 else None
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)
