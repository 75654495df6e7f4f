"""Commands in a running lab, and files in and out of it."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gpupass.errors import GpupassError
from gpupass.lab import channel, inside, keeper
from gpupass.lab.instance import Instance
from gpupass.lab.outcome import Completed, LabLost

Sink = Callable[[bytes], object]


def require_running(instance: Instance) -> None:
    if instance.running:
        return
    if instance.read(keeper.ENDED) and instance.disk.exists():
        raise _lost(instance, "")
    raise GpupassError(f"cannot use lab {instance.name}: it is not up", "gpupass lab up --from-snapshot")


def execute(
    instance: Instance,
    argv: tuple[str, ...],
    *,
    stdin: int | None,
    output: Sink,
    errors: Sink,
    terminal: channel.Terminal | None = None,
    resized: Callable[[], channel.Terminal | None] = lambda: None,
    timeout: float | None = None,
    agent_timeout: float = 30.0,
) -> channel.Ending:
    """Run a command and pass on what it says; TimeoutError stops it, LabLost: the machine is gone."""
    require_running(instance)
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        with channel.port(instance.folder, instance.sockets, timeout=60.0) as line:
            if not line.hello(agent_timeout):
                raise channel.ChannelLost(f"its agent did not answer within {agent_timeout:.0f} s")
            return line.execute(
                argv, stdin=stdin, output=output, errors=errors, terminal=terminal, resized=resized,
                deadline=deadline,
            )  # fmt: skip
    except channel.ChannelLost as error:
        raise _lost(instance, str(error)) from error
    except TimeoutError:
        raise TimeoutError(
            f"cannot finish {shlex.join(argv)} in the lab: no end after {timeout:.0f} s"
        ) from None


def run(
    instance: Instance, argv: tuple[str, ...], *, stdin: bytes | None = None, timeout: float | None = None
) -> Completed:
    """Run a command and collect what it said."""
    out, err = bytearray(), bytearray()
    with _feeding(stdin) as read:
        ending = execute(instance, argv, stdin=read, output=out.extend, errors=err.extend, timeout=timeout)
    return Completed(returncode=ending.returncode, stdout=bytes(out), stderr=bytes(err))


def must(instance: Instance, *argv: str, agent_timeout: float = 30.0) -> str:
    """What a command of the lab's own said; it has to succeed."""
    out, err = bytearray(), bytearray()
    ending = execute(
        instance, argv, stdin=None, output=out.extend, errors=err.extend, agent_timeout=agent_timeout
    )
    if ending.returncode != 0:
        why = err.decode(errors="replace").strip() or f"status {ending.returncode}"
        raise GpupassError(f"cannot prepare the lab: {why}", f"less {instance.console}")
    return out.decode(errors="replace")


def put(instance: Instance, local: Path, remote: str) -> None:
    """Copy a file into the machine, with its mode; a folder as REMOTE keeps the name."""
    try:
        with local.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            argv = ("sh", "-c", inside.PUT, "put", remote, local.name, f"{mode:o}")
            _copy(instance, argv, file.fileno(), None, remote)
    except OSError as error:
        raise GpupassError(f"cannot read {local}: {error.strerror}") from error


def get(instance: Instance, remote: str, local: Path) -> None:
    """Copy a file out of the machine; the local file changes only when all of it has arrived."""
    part = local.with_name(local.name + ".part")
    try:
        with part.open("wb") as file:
            _copy(instance, ("cat", "--", remote), None, file.write, remote)
        part.replace(local)
    except OSError as error:
        raise GpupassError(f"cannot write {local}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _copy(
    instance: Instance, argv: tuple[str, ...], stdin: int | None, sink: Sink | None, remote: str
) -> None:
    said = bytearray()
    ending = execute(instance, argv, stdin=stdin, output=sink or said.extend, errors=said.extend)
    if ending.returncode != 0:
        why = said.decode(errors="replace").strip() or f"status {ending.returncode}"
        raise GpupassError(f"cannot copy {remote}: {why}")


def _lost(instance: Instance, why: str) -> LabLost:
    deadline = time.monotonic() + 2.0
    while why == "QEMU has ended" and instance.running and time.monotonic() < deadline:
        time.sleep(0.02)
    if not instance.running:
        why = instance.why_ended()
    return LabLost(f"the lab machine was lost: {why}", "gpupass lab power-cycle")


@contextmanager
def _feeding(data: bytes | None) -> Iterator[int | None]:
    """A descriptor that reads as `data`."""
    if data is None:
        yield None
        return
    fd = os.memfd_create("gpupass-lab-stdin")
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(data)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)
