"""Prove that the last user has closed a device: QEMU lets go of VFIO after libvirt's XML forgets it."""

from typing import Any, ClassVar

from gpupass.errors import Pending
from gpupass.model.address import Address
from gpupass.step import Facts, Kind, Step, facts
from gpupass.system import System, interrupts
from gpupass.system.holders import vfio_holders

_LOOK_AGAIN = 0.1
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
            found = vfio_holders(system, self.group, self.addresses)
            if closed is None and not found:
                return
            if system.monotonic() >= deadline or interrupts.asked():
                who = f"{found[0].name} (process {found[0].pid})" if found else "somebody in the kernel"
                node = found[0].node if found else f"/dev/vfio/{self.group}"
                raise Pending(f"{who} still has {node} open", "gpupass recover --wait")
            system.sleep(_LOOK_AGAIN)

    def undo(self, before: Any, system: System) -> None:
        """It has changed nothing."""
