"""Prove that the last user has closed a device: QEMU lets go of VFIO after libvirt's XML forgets it."""

from gpupass.errors import Pending
from gpupass.model.plan import AwaitRelease
from gpupass.system import System
from gpupass.system.holders import vfio_holders

_LOOK_AGAIN = 0.1
_CLOSING = 2.0  # QEMU closes right after the guest has let go, which may be at the last moment


def do(step: AwaitRelease, system: System, deadline: float) -> None:
    """Pending when a process still has the group open at the deadline."""
    deadline = max(deadline, system.monotonic() + _CLOSING)
    while found := vfio_holders(system, step.group, step.addresses):
        if system.monotonic() >= deadline:
            holder = found[0]
            raise Pending(
                f"{holder.name} (process {holder.pid}) still has {holder.node} open",
                "gpupass recover --wait",
            )
        system.sleep(_LOOK_AGAIN)
