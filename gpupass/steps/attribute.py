"""One sysfs or debugfs file of a device: written, and read back: some drivers swallow their errors."""

import re
from typing import Any

from gpupass.errors import GpupassError, NeedsPerson, NotClean
from gpupass.model.address import Address
from gpupass.model.step import SetAttribute
from gpupass.system import System
from gpupass.system.guarded import WriteHung

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
    log = system.kernel_log()
    try:
        _put(system, address, path, value)
        now = read(system, path)
        if now != value and before is not None:
            _put(system, address, path, before)
    except OSError as error:
        raise _failed(address, path, value, error.strerror or "", log.since(address)) from None
    if now != value:
        raise _failed(address, path, value, f"the kernel made it {now or 'unreadable'}", log.since(address))


def _put(system: System, address: Address, path: str, value: str) -> None:
    try:
        system.write(path, value, _SECONDS)
    except WriteHung as hung:
        raise NotClean(
            address,
            f"the kernel does not return from {_name(path)} (process {hung.pid} waits in {hung.where})",
            f"close what uses it, or reboot; then: gpupass quarantine clear {address}",
        ) from None


def _failed(address: Address, path: str, value: str, why: str, said: str) -> GpupassError:
    """Where in the device's directories: a file of this name is there for each VF."""
    words = f"cannot set {path.partition(f'/{address}/')[2]} of {address} to {value}: {why}"
    return GpupassError(words + (f"; kernel: {said}" if said else ""), f"dmesg | grep {address}; cat {path}")


def _name(path: str) -> str:
    return path.rpartition("/")[2]
