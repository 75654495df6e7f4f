"""The memory mode of a hive of AMD GPUs: asked for, then done while amdgpu lets go of all of them.

A write to current_memory_partition only records the wish. It reaches the firmware when the first GPU of
the hive leaves the driver (amdgpu_gmc_prepare_nps_mode_change), and comes true with the reset that follows
when the driver has all of them again (amdgpu_xgmi_reset_on_init). The way back is the same way once more, so
it is one step: the wish must be said while the driver is there; steps undone one by one would be too late.
"""

from typing import Any, TypedDict

from gpupass.errors import GpupassError, NeedsPerson
from gpupass.model.address import Address
from gpupass.model.step import BindDriver, SetMemoryPartition
from gpupass.steps import attribute, bind
from gpupass.system import System

_DRIVER = "amdgpu"


class Modes(TypedDict):
    """The memory mode of the hive and the compute mode of each GPU, which goes with it."""

    memory: str
    computes: dict[Address, str]


def current(step: SetMemoryPartition, system: System) -> Modes:
    return _modes(step, system)


def do(step: SetMemoryPartition, system: System) -> None:
    """GpupassError when the driver cannot take all GPUs back, or the firmware keeps the old mode."""
    _reach(step.addresses, step.mode, system)


def undo(step: SetMemoryPartition, before: Any, system: System) -> None:
    """From any point in between: first everything back to the driver, then look."""
    for address in step.addresses:
        _bind(address, _DRIVER, system)
    now = _modes(step, system)
    if now["memory"] not in (before["memory"], step.mode):
        raise NeedsPerson(
            f"cannot put the memory mode of {step.addresses[0]} back to {before['memory']}: "
            f"somebody else has made it {now['memory']} meanwhile",
            f"gpupass show {step.addresses[0]}",
        )
    _reach(step.addresses, before["memory"], system)
    for address, mode in before["computes"].items():
        attribute.write(system, address, _path(address, "compute"), mode)


def _modes(step: SetMemoryPartition, system: System) -> Modes:
    memories = {attribute.read(system, _path(address, "memory")) for address in step.addresses}
    memory = memories.pop()
    if memories or memory is None:
        raise GpupassError(
            f"cannot tell the memory mode of {', '.join(step.addresses)}: they do not say the same",
            f"gpupass show {step.addresses[0]}",
        )
    computes = {a: attribute.read(system, _path(a, "compute")) for a in step.addresses}
    return {"memory": memory, "computes": {a: mode for a, mode in computes.items() if mode is not None}}


def _reach(addresses: tuple[Address, ...], mode: str, system: System) -> None:
    first = addresses[0]
    if _has(addresses, mode, system):
        return
    log = system.kernel_log()
    system.write(_path(first, "memory"), mode, *addresses, what=f"ask for {mode} on {first}")
    try:
        _bind(first, None, system)
    except GpupassError as error:  # amdgpu passes over a wish for the mode it has, so this one stays
        error.message += f"; {_DRIVER} still changes to {mode} when it next lets go of a GPU of the hive"
        raise
    for address in addresses[1:]:
        _bind(address, None, system)
    for address in addresses:
        _bind(address, _DRIVER, system)
    if not _has(addresses, mode, system):
        said = log.since(first)
        raise GpupassError(
            f"cannot change the memory mode of {', '.join(addresses)} to {mode}: "
            "the firmware has kept the old one" + (f"; kernel: {said}" if said else ""),
            f"dmesg | grep {first}",
        )


def _has(addresses: tuple[Address, ...], mode: str, system: System) -> bool:
    return all(attribute.read(system, _path(address, "memory")) == mode for address in addresses)


def _bind(address: Address, driver: str | None, system: System) -> None:
    """With whatever driver_override there is."""
    now = bind.current(BindDriver(address=address, driver=driver, override=None), system)
    bind.do(BindDriver(address=address, driver=driver, override=now["override"]), system)


def _path(address: Address, what: str) -> str:
    return f"/sys/bus/pci/devices/{address}/current_{what}_partition"
