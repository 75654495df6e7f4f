"""Reset functions and prove that they answer: what one tenant left must not reach the next."""

from typing import Any, ClassVar

from gpupass.errors import KernelRefused, NotClean
from gpupass.model.address import Address, sysfs
from gpupass.model.host import lends
from gpupass.step import Facts, Kind, Step, facts
from gpupass.system import System

_RESET_SECONDS = 30.0


class ResetDevice(Step, frozen=True, kw_only=True):
    """Reset `addresses`, which share one slot or bus, and read their configuration space back."""

    addresses: tuple[Address, ...]
    method: str  # "function": sysfs reset of each; "bus": VFIO hot reset of all; "none": impossible

    Before: ClassVar[Any] = type(None)
    means: ClassVar[bool] = True

    @property
    def carriers(self) -> tuple[Address, ...]:
        return self.addresses

    @property
    def needs(self) -> Facts:
        kinds = (Kind.CLOSED, Kind.TUNED)  # by the method that was chosen
        return super().needs | facts(*((kind, address) for kind in kinds for address in self.addresses))

    @property
    def gives(self) -> Facts:
        return facts(*((Kind.CLEAN, address) for address in self.addresses))

    @property
    def resets(self) -> tuple[Address, ...]:
        return self.addresses

    def words(self) -> str:
        return f"reset {', '.join(self.addresses)}"

    def seconds(self) -> float:
        return 1.0

    def current(self, system: System) -> None:
        return None

    def do(self, system: System, deadline: float) -> None:
        """NotClean when a reset fails, does not return, or the function reads as all ones afterwards."""
        for address in self.addresses:
            _require_lent(system, address)
            require_answer(system, address, "before the reset")
        if self.method == "none":
            raise NotClean(
                self.addresses[0],
                "the kernel knows no way to reset it",
                f"cat {sysfs(self.addresses[0], 'reset_method')}",
            )
        if self.method == "bus":
            _bus_reset(system, self.addresses)
        else:
            for address in self.addresses:
                _function_reset(system, address)
        for address in self.addresses:
            require_answer(system, address, "after the reset")

    def undo(self, before: Any, system: System) -> None:
        """What it has lost nobody can give back."""


def _require_lent(system: System, address: Address) -> None:
    """A driver of the host's may be at work on it by now: libvirt, driverctl or udev have bound it."""
    driver = system.link(sysfs(address, "driver"))
    if driver is not None and not lends(driver):
        clear = f"gpupass quarantine clear {address}"
        raise NotClean(address, f"somebody has bound it to {driver} before it was reset", clear)


def require_answer(system: System, address: Address, when: str) -> None:
    """A function that is gone reads all ones; a VF has the vendor id 0xffff and is there (PCIe SR-IOV)."""
    config = system.read_bytes(sysfs(address, "config"), 64) or b""
    if len(config) < 16 or config[14] & 0x7F == 0x7F:  # header type
        raise NotClean(
            address,
            f"its configuration space does not answer {when}",
            f"power the device off and on, then: gpupass quarantine clear {address}",
        )


def _function_reset(system: System, address: Address) -> None:
    try:
        system.write(sysfs(address, "reset"), "1", address, seconds=_RESET_SECONDS)
    except KernelRefused as error:
        raise _failed((address,), "its reset failed", error) from None


def _bus_reset(system: System, addresses: tuple[Address, ...]) -> None:
    group = system.link(sysfs(addresses[0], "iommu_group"))
    try:
        system.hot_reset(int(group or -1), *addresses)
    except KernelRefused as error:
        raise _failed(addresses, "the reset of its slot failed", error) from None


def _failed(addresses: tuple[Address, ...], what: str, error: KernelRefused) -> NotClean:
    clear = " && ".join(f"gpupass quarantine clear {address}" for address in addresses)
    return NotClean(addresses, f"{what}: {error.why}", f"dmesg | grep {addresses[0]}; then: {clear}")
