"""The slots of a device as it is; pure. One line for each method."""

from collections.abc import Iterator

from gpupass.methods import amd, mdev, mig_plan, passthrough, sriov, vgpu_made
from gpupass.model.host import Device, Host
from gpupass.model.slot import Slot


def slots_of(host: Host, device: Device) -> tuple[Slot, ...]:
    """The device itself first, then its parts."""
    return tuple(_slots(host, device))


def slot_of(host: Host, device: Device, part: str) -> Slot | None:
    """The one of this name; None: there is no such part yet."""
    return next((slot for slot in _slots(host, device) if slot.part == part), None)


def _slots(host: Host, device: Device) -> Iterator[Slot]:
    if not passthrough.no_endpoint(device):
        yield passthrough.slot(device)
    cut = tuple(vgpu_made.slots(host, device))
    taken = {slot.device for slot in cut}
    yield from (slot for slot in sriov.slots(host, device) if slot.device not in taken)
    yield from cut
    yield from mdev.slots(host, device)
    yield from amd.slots(device)
    yield from mig_plan.slots(device)
