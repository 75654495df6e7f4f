"""Reset functions and prove that they answer: what one tenant left must not reach the next."""

from gpupass.errors import NotClean
from gpupass.model.address import Address
from gpupass.model.step import ResetDevice
from gpupass.system import System
from gpupass.system.guarded import WriteHung

_RESET_SECONDS = 30.0


def do(step: ResetDevice, system: System) -> None:
    """NotClean when a reset fails, does not return, or the function reads as all ones afterwards."""
    for address in step.addresses:
        require_answer(system, address, "before the reset")
    if step.method == "none":
        raise NotClean(
            step.addresses[0],
            "the kernel knows no way to reset it",
            f"cat /sys/bus/pci/devices/{step.addresses[0]}/reset_method",
        )
    if step.method == "bus":
        _bus_reset(system, step.addresses[0])
    else:
        for address in step.addresses:
            _function_reset(system, address)
    for address in step.addresses:
        require_answer(system, address, "after the reset")


def require_answer(system: System, address: Address, when: str) -> None:
    """A function that is gone reads all ones; a VF has the vendor id 0xffff and is there (PCIe SR-IOV)."""
    config = system.read_bytes(f"/sys/bus/pci/devices/{address}/config", 64) or b""
    if len(config) < 16 or config[14] & 0x7F == 0x7F:  # header type
        raise NotClean(
            address,
            f"its configuration space does not answer {when}",
            f"power the device off and on, then: gpupass quarantine clear {address}",
        )


def _function_reset(system: System, address: Address) -> None:
    try:
        system.write(f"/sys/bus/pci/devices/{address}/reset", "1", _RESET_SECONDS)
    except WriteHung as hung:
        raise NotClean(address, f"its reset does not return (in {hung.where})") from None
    except OSError as error:
        raise NotClean(
            address,
            f"its reset failed: {error.strerror}",
            f"dmesg | grep {address}; then: gpupass quarantine clear {address}",
        ) from None


def _bus_reset(system: System, address: Address) -> None:
    group = system.link(f"/sys/bus/pci/devices/{address}/iommu_group")
    try:
        system.hot_reset(int(group or -1), address)
    except OSError as error:
        raise NotClean(
            address,
            f"the reset of its slot failed: {error.strerror or error}",
            f"dmesg | grep {address}; then: gpupass quarantine clear {address}",
        ) from None
