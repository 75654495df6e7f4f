"""One sysfs or debugfs file of a device: written, and read back: some drivers swallow their errors."""

import re
from typing import Any

from gpupass.errors import GpupassError, NeedsPerson
from gpupass.model.address import Address
from gpupass.model.step import SetAttribute
from gpupass.system import System

_SECONDS = 60.0  # amdgpu takes its compute driver down and up again
_RELEASED = "0"  # xe forgets a VF's share when the VF goes (xe_gt_sriov_pf_config.c)


def current(step: SetAttribute, system: System) -> str | None:
    """None: there is no such file, or the kernel does not let it be read."""
    return read(system, step.path)


def do(step: SetAttribute, system: System) -> None:
    """GpupassError, with the kernel's own line, when it refuses or makes something else of the value."""
    write(system, step.address, step.path, step.value)


def undo(step: SetAttribute, before: Any, system: System) -> None:
    now = read(system, step.path)
    if now == before:
        return
    if before is None or now not in (step.value, _RELEASED):
        raise NeedsPerson(
            f"cannot put {_name(step.path)} of {step.address} back to {before or 'what it was'}: "
            f"it is {now or 'not to be read'} now",
            f"cat {step.path}",
        )
    write(system, step.address, step.path, before)


def read(system: System, path: str) -> str | None:
    """`[low] normal high` is low, `memory_partition_mode: NPS1` (GIM's way) is NPS1."""
    line = (system.read(path) or "").partition("\n")[0]
    chosen = re.search(r"\[(\w+)\]", line)
    return chosen[1] if chosen else line.rpartition(" ")[2] or None


def write(system: System, address: Address, path: str, value: str) -> None:
    """What the kernel makes of a value that it rounds is not left there."""
    before = read(system, path)
    if before == value:
        return
    # where in the device's directories: a file of this name is there for each VF
    what = f"set {path.partition(f'/{address}/')[2]} of {address} to {value}"
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


def _name(path: str) -> str:
    return path.rpartition("/")[2]
