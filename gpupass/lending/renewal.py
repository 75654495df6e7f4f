"""A slot made anew between two guests, by the method that it is of; pure."""

from gpupass.lending.lender import device_of, mdev_of
from gpupass.methods import mdev, vgpu_steps
from gpupass.model.host import Host
from gpupass.model.slot import Slot, SlotKind
from gpupass.step import Deed


def renew(host: Host, slot: Slot) -> tuple[Deed, ...]:
    """() where a reset is enough, or gpupass has not made it."""
    if slot.mdev is not None:
        return mdev.anew(host, device_of(host, slot), mdev_of(host, slot))
    if slot.kind is SlotKind.VGPU:
        return vgpu_steps.anew(host, device_of(host, slot))
    return ()
