"""What a lab answers: how a command ended, what state the machine is in, that it is gone."""

from __future__ import annotations

from dataclasses import dataclass

from gpupass.errors import GpupassError


class LabLost(GpupassError):
    """The machine itself is gone or silent; says nothing about the command that ran."""

    exit_code = 255
    kind = "lab-lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """`state` is running, lost, down or never-started."""

    name: str
    state: str
    topology: str = ""
    started_from: str = ""
    accelerator: str = ""
    qemu: str = ""
    image: str = ""
    pid: int | None = None
    qmp: str = ""
    console: str = ""
    why: str = ""
    snapshots: tuple[str, ...] = ()
