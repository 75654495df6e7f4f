"""One sysfs or debugfs file of a device: written, and read back: some drivers swallow their errors."""

import re
from typing import Any, ClassVar

from gpupass.errors import GpupassError, NeedsPerson
from gpupass.model.address import Address
from gpupass.step import Step
from gpupass.system import System

_SECONDS = 60.0  # amdgpu takes its compute driver down and up again
_RELEASED = "0"  # xe forgets a VF's share when the VF goes (xe_gt_sriov_pf_config.c)
_FILE = re.compile(r"/sys/(bus/pci/devices|kernel/debug/dri)(/[\w:-][\w:.-]*)+")
_WORD = re.compile(r"[\w,=-]*")


class SetAttribute(Step, frozen=True, kw_only=True):
    """One sysfs or debugfs file of a device. ValueError: `path` or `value` is nothing that a device has."""

    address: Address
    path: str
    value: str

    Before: ClassVar[Any] = str | None

    def __post_init__(self) -> None:
        require_file_of(self.address, self.path)
        if not _WORD.fullmatch(self.value):
            raise ValueError(f"{self.value!r} is no value of {self.path}")

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    def words(self) -> str:
        """With where it is in the device's directories: a file of this name is there for each VF."""
        return f"set {_below(self.address, self.path)} of {self.address} to {self.value}"

    def current(self, system: System) -> str | None:
        """None: there is no such file, or the kernel does not let it be read."""
        return read(system, self.path)

    def do(self, system: System, deadline: float) -> None:
        """GpupassError, with the kernel's own line, when it refuses or makes something else of the value."""
        write(system, self.address, self.path, self.value)

    def undo(self, before: Any, system: System) -> None:
        put_back(system, self.address, self.path, self.value, before)


def require_file_of(address: Address, path: str) -> None:
    """ValueError when it is not a file below the device's own directories."""
    if not _FILE.fullmatch(path) or f"/{address}/" not in path:
        raise ValueError(f"{path!r} is no file of {address}")


def read(system: System, path: str) -> str | None:
    """`[low] normal high` is low, `memory_partition_mode: NPS1` (GIM's way) is NPS1."""
    line = (system.read(path) or "").partition("\n")[0]
    chosen = re.search(r"\[(\w+)\]", line)
    return chosen[1] if chosen else line.rpartition(" ")[2] or None


def put_back(system: System, address: Address, path: str, value: str, before: str | None) -> None:
    """From `value`, which we have written; NeedsPerson when it is something else by now."""
    now = read(system, path)
    if now == before:
        return
    if before is None or now not in (value, _RELEASED):
        raise NeedsPerson(
            f"cannot put {_name(path)} of {address} back to {before or 'what it was'}: "
            f"it is {now or 'not to be read'} now",
            f"cat {path}",
        )
    write(system, address, path, before)


def write(system: System, address: Address, path: str, value: str) -> None:
    """What the kernel makes of a value that it rounds is not left there."""
    before = read(system, path)
    if before == value:
        return
    what = f"set {_below(address, path)} of {address} to {value}"
    log = system.kernel_log()
    system.write(path, value, address, what=what, seconds=_SECONDS)
    now = read(system, path)
    if now == value:
        return
    if before is not None:
        system.write(path, before, address, what=what, seconds=_SECONDS)
    said = log.since(address)
    raise GpupassError(
        f"cannot {what}: the kernel made it {now or 'unreadable'}" + (f"; kernel: {said}" if said else ""),
        f"dmesg | grep {address}; cat {path}",
    )


def _below(address: Address, path: str) -> str:
    return path.partition(f"/{address}/")[2]


def _name(path: str) -> str:
    return path.rpartition("/")[2]
