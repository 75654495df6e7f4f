"""DEVICE or SLOT as people type it, names of the last applied profile included; pure."""

from collections.abc import Callable, Iterator

from gpupass.devices.binding import no_endpoint
from gpupass.errors import GpupassError, Refused, Usage
from gpupass.methods import slot_of, slots_of
from gpupass.model.address import Address
from gpupass.model.apply import Apply, ApplyEnd
from gpupass.model.carrier import CarrierKind, kind_of
from gpupass.model.host import Base, Device, Host
from gpupass.model.select import resolve
from gpupass.model.slot import Slot
from gpupass.planner.selection import choose, names_of
from gpupass.profiles import load_profile

Applies = Callable[[], tuple[Apply, ...]]  # asked only where nothing on the host has such a name


def find(host: Host, text: str, applies: Applies = tuple) -> Base:
    """Usage when nothing, or more than one device, is called so."""
    try:
        return resolve(host, text)
    except Usage:
        names = profile_names(host, applies)
        device = host.carrier(names[text]) if text in names else None
        if device is None:
            raise
        return device


def find_slot(host: Host, text: str, applies: Applies = tuple) -> Slot:
    """DEVICE, DEVICE/PART, or the UUID of a mediated device. Usage when there is no such slot."""
    by_uuid = next((slot for slot in _mediated(host) if slot.mdev == text.strip().lower()), None)
    if by_uuid is not None:
        return by_uuid
    name, _, part = text.strip().rpartition("/")
    device = find(host, text if not name or part.isdecimal() else name, applies)
    if not name or part.isdecimal():
        part = ""
    slot = slot_of(host, device, part)
    if slot is None:
        known = ", ".join(slot.name for slot in slots_of(host, device))
        if not part:
            what = no_endpoint(device)
            if isinstance(device, Device) and device.is_bridge:
                raise Refused(f"cannot hand out {text}: it is {what}", "gpupass slots")
            raise Usage(
                f"cannot hand {text} out as a whole: it is {what}; it has {known or 'no slots'}",
                f"gpupass slots {device.address}",
            )
        raise Usage(
            f"cannot find {text}: {device.address} has {known or 'no slots'}",
            f"gpupass slots {device.address}",
        )
    return slot


def _mediated(host: Host) -> Iterator[Slot]:
    for carrier in host.carriers:
        if carrier.detail is not None and kind_of(carrier) is not CarrierKind.VF:
            yield from slots_of(host, carrier)


def profile_names(host: Host, applies: Applies) -> dict[str, Address]:
    """Of the last applied profile, resolved anew: what a name means may have changed places since."""
    try:
        after = [apply.after for apply in applies() if apply.end is not ApplyEnd.TAKEN_BACK]
        if not after:
            return {}
        profile = load_profile("the last profile", lambda _: after[-1], "")
        return dict(names_of(choose(profile, host)))
    except GpupassError:
        return {}
