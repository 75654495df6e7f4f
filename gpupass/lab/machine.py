"""A lab as Python sees it: boot it, run commands in it, save and restore it, cut its power."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gpupass.errors import GpupassError, Refused
from gpupass.lab import channel, commands, host, image, keeper, prepare, qemu, snapshots, topology
from gpupass.lab.instance import Instance, Record
from gpupass.lab.outcome import Completed, LabLost, Status
from gpupass.lab.topology import Topology

__all__ = ["Completed", "Lab", "LabLost", "Status"]

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
                prepare.plug_late(self.instance, wanted)

    def down(self) -> bool:
        """End the machine and forget its disk; False when it was not running."""
        with self._exclusive():
            was = self.instance.stop(signal.SIGTERM)
            self.instance.forget()
            return was

    def power_cycle(self, topology_name: str | None = None) -> None:
        """Cut the power and boot the same disk again, with these devices: what was not synced is lost."""
        with self._exclusive():
            record = self.instance.record()
            if record is None or not self.instance.disk.exists():
                raise GpupassError("cannot power-cycle the lab: it was never started", "gpupass lab up")
            wanted = topology.load(topology_name or record.topology)
            self.instance.stop(signal.SIGUSR1)
            self._launch(wanted, record.follow, incoming=False, started_from="power-cycle")
            prepare.booted(self.instance, self.progress)
            prepare.plug_late(self.instance, wanted)

    def snapshot(self, name: str) -> None:
        wanted = self._topology()
        refusal = prepare.why_no_snapshot(self.instance, wanted)
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

    def snapshot_names(self, topology_name: str) -> tuple[str, ...]:
        """Names of the snapshots that fit this topology on this machine."""
        return self._store(topology.load(topology_name)).names()

    # -- commands -------------------------------------------------------------------------------------

    def run(
        self, argv: list[str] | tuple[str, ...], *, stdin: bytes | None = None, timeout: float | None = None
    ) -> Completed:
        """Run a command and collect what it said; TimeoutError stops it, LabLost: the machine is gone."""
        return commands.run(self.instance, tuple(argv), stdin=stdin, timeout=timeout)

    def execute(
        self,
        argv: tuple[str, ...],
        *,
        stdin: int | None,
        output: commands.Sink,
        errors: commands.Sink,
        terminal: channel.Terminal | None = None,
        resized: Callable[[], channel.Terminal | None] = lambda: None,
        timeout: float | None = None,
    ) -> channel.Ending:
        """Run a command and pass on what it says while it runs; ends as `run`."""
        return commands.execute(
            self.instance, argv, stdin=stdin, output=output, errors=errors, terminal=terminal,
            resized=resized, timeout=timeout,
        )  # fmt: skip

    def put(self, local: Path, remote: str) -> None:
        """Copy a file into the machine, with its mode; a folder as REMOTE keeps the name."""
        commands.put(self.instance, local, remote)

    def get(self, remote: str, local: Path) -> None:
        """Copy a file out of the machine; the local file changes only when all of it has arrived."""
        commands.get(self.instance, remote, local)

    # -- the monitor ----------------------------------------------------------------------------------

    def qmp(self, command: str, **arguments: object) -> object:
        """One QMP command to the lab's QEMU; `_` in argument names stands for `-`."""
        commands.require_running(self.instance)
        with self.instance.qmp() as monitor:
            return monitor.execute(
                command, {name.replace("_", "-"): value for name, value in arguments.items()}
            )

    def hmp(self, line: str) -> str:
        commands.require_running(self.instance)
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
        commands.require_running(self.instance)
        record = self.instance.record()
        if record is None:
            raise GpupassError(
                "cannot tell this lab's topology: its record is unreadable", "gpupass lab down"
            )
        return topology.load(record.topology)

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
        return snapshots.Store(built, wanted.name, f"{wanted.digest} {host.qemu_version()} {argv}")

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
                prepare.booted(self.instance, self.progress)
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
            prepare.revived(self.instance, saved)
            if late:
                prepare.plug_late(self.instance, wanted)
        except BaseException:
            self.instance.stop(signal.SIGUSR1)
            raise

    def _save(self, wanted: Topology, name: str) -> None:
        registers = prepare.ready_to_save(self.instance, wanted)
        try:
            self._store(wanted).save(self.instance, name, registers)
        finally:
            prepare.arrived(self.instance)
