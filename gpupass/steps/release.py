"""Prove that the last user has closed a device: QEMU lets go of VFIO after libvirt's XML forgets it.

What somebody has open is never taken away: the kernel would wait for him, or has a guest unplug it.
"""

from typing import Any, ClassVar

from gpupass.errors import Pending
from gpupass.model.address import Address
from gpupass.step import Facts, Kind, Step, facts
from gpupass.system import System, interrupts
from gpupass.system.holders import Holder, vfio_holders

_LOOK_AGAIN = 0.05
_CLOSING = 2.0  # QEMU closes right after the guest has let go, which may be at the last moment


class AwaitRelease(Step, frozen=True, kw_only=True):
    """Until no process holds the VFIO files of these functions."""

    addresses: tuple[Address, ...]
    group: int

    Before: ClassVar[Any] = type(None)
    means: ClassVar[bool] = True

    @property
    def carriers(self) -> tuple[Address, ...]:
        return self.addresses

    @property
    def needs(self) -> Facts:
        return super().needs | facts(*((Kind.ASKED, address) for address in self.addresses))

    @property
    def gives(self) -> Facts:
        return facts(*((Kind.CLOSED, address) for address in self.addresses))

    def words(self) -> str:
        return f"wait until nobody has {', '.join(self.addresses)} open"

    def current(self, system: System) -> None:
        return None

    def do(self, system: System, deadline: float) -> None:
        """Pending when a process still has the group open at the deadline."""
        deadline = max(deadline, system.monotonic() + _CLOSING)
        while (closed := system.vfio_group_is_closed(self.group)) is not True:
            at_last = system.monotonic() >= deadline or interrupts.asked()
            found = vfio_holders(system, self.group, self.addresses) if at_last or closed is None else ()
            if closed is None and not found:
                return
            if at_last:
                raise Pending(_words(found, self.group, "still has"), "gpupass recover --wait")
            system.sleep(_LOOK_AGAIN)

    def undo(self, before: Any, system: System) -> None:
        """It has changed nothing."""


def opener(system: System, device: str, *addresses: Address) -> str | None:
    """Who has the VFIO file of what lies there in sysfs open, a look at the last moment; in words."""
    group = system.link(f"{device}/iommu_group") or ""
    if not group.isdecimal() or system.vfio_group_is_closed(int(group)) is not False:
        return None
    return _words(vfio_holders(system, int(group), addresses), int(group), "has")


def _words(found: tuple[Holder, ...], group: int, has: str) -> str:
    if not found:
        return f"somebody in the kernel {has} /dev/vfio/{group} open"
    return f"{found[0].name} (process {found[0].pid}) {has} {found[0].node} open"
