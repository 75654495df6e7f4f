"""The slots of a host as an operator sees them: how large, whose, and what they do just now; pure."""

from collections.abc import Iterator

from msgspec import Struct

from gpupass.devices.conditions import promised_to
from gpupass.lending.handover import holder
from gpupass.lending.judgement import judged
from gpupass.methods import METHODS, carrier_of, method_of, slots_of, ways
from gpupass.model.carrier import Carrier
from gpupass.model.host import Device, Host
from gpupass.model.mark import Claim, Quarantine
from gpupass.model.slot import Slot, SlotKind, SlotState
from gpupass.model.user import User, UserKind


class Offer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One slot; `owner` is who made it: gpupass, mdevctl, "" for anybody else or where nothing was made."""

    slot: Slot
    size: str
    owner: str
    state: SlotState
    users: tuple[User, ...] = ()
    domains: bool = True  # a domain can have it
    promised: tuple[str, ...] = ()  # the domains that get it when they start


def offers_of(host: Host, carrier: Carrier) -> Iterator[Offer]:
    """The device itself first; each part before what it is cut into again."""
    slots = slots_of(host, carrier)
    for slot in slots:
        part = carrier_of(host, slot) if slot.part else None
        looked_at = part if isinstance(part, Slot) or (part is not None and part.detail is not None) else None
        below = tuple(one for one in offers_of(host, looked_at) if one.slot.part) if looked_at else ()
        yield _offer(host, slot, cut=bool(below) or (not slot.part and len(slots) > 1))
        yield from below


def is_cut(host: Host, carrier: Carrier) -> bool:
    """Into the slots below it."""
    whole = next(offers_of(host, carrier), None)
    return whole is not None and whole.state is SlotState.CUT


def _offer(host: Host, slot: Slot, cut: bool) -> Offer:
    method = method_of(slot)
    users = method.users(host, slot)
    return Offer(
        slot=slot,
        size=slot.size or _size(host.device(slot.device)),
        owner=method.owner(host, slot),
        state=SlotState.CUT if cut else _state(host, slot, users),
        users=users,
        domains=not slot.kind.only_for_containers,
        promised=promised_to(host, slot.device, slot.mdev or "") if slot.is_function or slot.mdev else (),
    )


def _size(device: Device | None) -> str:
    """Of a whole function what NVML says of its memory."""
    nvidia = device.facts.nvidia if device is not None else None
    return f"{nvidia.memory_total} MiB" if nvidia is not None and nvidia.memory_total else ""


def _state(host: Host, slot: Slot, users: tuple[User, ...]) -> SlotState:
    if host.mark(Quarantine, slot.device) is not None:
        return SlotState.QUARANTINED
    if holder(host, slot) is not None:
        return SlotState.ATTACHED
    if host.mark(Claim, slot.device, slot.mdev or "") is not None:
        return SlotState.CLAIMED
    given = _can_be_given(host, slot)
    if not given and any(user.kind is not UserKind.DOMAIN_CONFIG for user in users):
        return SlotState.IN_USE
    device = host.carrier(slot.device)
    if slot.part and device is not None and any(way.carries(host, device, slot) for way in ways(device)):
        return SlotState.CUT
    unlent = slot.kind is SlotKind.VF and any(
        finding for method in METHODS for finding in method.lend_findings(host, slot)
    )
    if unlent:
        return SlotState.EMPTY
    return SlotState.FREE if given or not _is_function(slot) else SlotState.REFUSED


def _is_function(slot: Slot) -> bool:
    return slot.mdev is None and slot.kind in (SlotKind.FUNCTION, SlotKind.VF, SlotKind.VGPU)


def _can_be_given(host: Host, slot: Slot) -> bool:
    """What `attach` and `show` say of a function; of another slot whether somebody uses it is all."""
    device = host.device(slot.device)
    return _is_function(slot) and device is not None and judged(host, device).viable
