"""The slots of a device as it is; pure."""

from collections.abc import Iterator

from gpupass.methods import amd, passthrough, sriov
from gpupass.model.host import Device, Host
from gpupass.model.slot import Slot


def slots_of(host: Host, device: Device) -> tuple[Slot, ...]:
    """The device itself first, then its parts."""
    return tuple(_slots(host, device))


def slot_of(host: Host, device: Device, part: str) -> Slot | None:
    """The one of this name; None: there is no such part yet."""
    return next((slot for slot in _slots(host, device) if slot.part == part), None)


def _slots(host: Host, device: Device) -> Iterator[Slot]:
    yield passthrough.slot(device)
    yield from sriov.slots(host, device)
    yield from amd.slots(device)
