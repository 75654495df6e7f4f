"""Prove that the last user has closed a device: QEMU lets go of VFIO after libvirt's XML forgets it."""

from gpupass.errors import Pending
from gpupass.model.step import AwaitRelease
from gpupass.system import System
from gpupass.system.holders import vfio_holders

_LOOK_AGAIN = 0.1
_CLOSING = 2.0  # QEMU closes right after the guest has let go, which may be at the last moment


def do(step: AwaitRelease, system: System, deadline: float) -> None:
    """Pending when a process still has the group open at the deadline."""
    deadline = max(deadline, system.monotonic() + _CLOSING)
    while (closed := system.vfio_group_is_closed(step.group)) is not True:
        found = vfio_holders(system, step.group, step.addresses)
        if closed is None and not found:
            return
        if system.monotonic() >= deadline:
            who = f"{found[0].name} (process {found[0].pid})" if found else "somebody in the kernel"
            node = found[0].node if found else f"/dev/vfio/{step.group}"
            raise Pending(f"{who} still has {node} open", "gpupass recover --wait")
        system.sleep(_LOOK_AGAIN)
