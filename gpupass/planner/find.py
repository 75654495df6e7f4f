"""DEVICE, SLOT or DOMAIN as people type it, names of the last applied profile included; pure."""

from collections.abc import Callable, Iterator

from gpupass.devices.binding import no_endpoint
from gpupass.errors import GpupassError, NoLibvirt, Refused, Usage
from gpupass.methods import carrier_at, carrier_called, slot_of, slots_of
from gpupass.model.address import Name, root_of
from gpupass.model.apply import Apply, ApplyEnd
from gpupass.model.carrier import Carrier, CarrierKind, kind_of
from gpupass.model.domain import Domain
from gpupass.model.host import Base, Device, Host
from gpupass.model.select import resolve
from gpupass.model.slot import Slot
from gpupass.planner.selection import choose, names_of
from gpupass.profiles import load_profile

Applies = Callable[[], tuple[Apply, ...]]  # asked only where nothing on the host has such a name


def find(host: Host, text: str, applies: Applies = tuple) -> Base:
    """The device that is called so, or that a slot is cut from which a rule speaks of.

    Usage when nothing, or more than one device, is called so.
    """
    carrier, _ = _found(host, text.strip(), (), applies)
    base = host.carrier(root_of(carrier.address))
    if base is None:
        raise Usage(f"cannot find {text}: its device has left the host", "gpupass list --all")
    return base


def find_slot(host: Host, text: str, applies: Applies = tuple) -> Slot:
    """DEVICE, DEVICE/PART, a part of that, or the UUID of a mediated device. Usage: there is no such slot."""
    text = text.strip()
    by_uuid = next((slot for slot in _mediated(host) if slot.mdev == text.lower()), None)
    if by_uuid is not None:
        return by_uuid
    words = text.split("/")
    at = 2 if len(words) > 1 and words[1].isdecimal() else 1  # gpu/1: the second of a rule's
    carrier, path = _found(host, "/".join(words[:at]), tuple(words[at:]), applies)
    of = carrier_at(host, carrier, path[:-1])
    slot = _whole_or_part(host, of, path[-1] if path else "") if of is not None else None
    if slot is None:
        raise _no_slot(host, text, of or carrier, bool(path))
    return slot


def _found(host: Host, name: str, path: tuple[str, ...], applies: Applies) -> tuple[Carrier, tuple[str, ...]]:
    """What is called `name`, and the way from there."""
    try:
        return resolve(host, name), path
    except Usage:
        names = profile_names(host, applies)
        called = carrier_called(host, names[name]) if name in names else None
        if called is None:
            raise
        return called, path


def _whole_or_part(host: Host, of: Carrier, part: str) -> Slot | None:
    """A slot that a rule speaks of by a name of its own is that slot, whole."""
    return of if isinstance(of, Slot) and not part else slot_of(host, of, part)


def _no_slot(host: Host, text: str, of: Carrier, parted: bool) -> GpupassError:
    known = ", ".join(slot.name for slot in slots_of(host, of)) or "no slots"
    look = f"gpupass slots {root_of(of.address)}"
    if parted or isinstance(of, Slot):
        return Usage(f"cannot find {text}: {of.address} has {known}", look)
    what = no_endpoint(of)
    if isinstance(of, Device) and of.is_bridge:
        return Refused(f"cannot hand out {text}: it is {what}", "gpupass slots")
    return Usage(f"cannot hand {text} out as a whole: it is {what}; it has {known}", look)


def _mediated(host: Host) -> Iterator[Slot]:
    for carrier in host.carriers:
        if carrier.detail is not None and kind_of(carrier) is not CarrierKind.VF:
            yield from slots_of(host, carrier)


def profile_names(host: Host, applies: Applies) -> dict[str, Name]:
    """Of the last applied profile, resolved anew: what a name means may have changed places since.

    Refused where that may not be read: a name is not unknown because nobody looked.
    """
    after = [apply.after for apply in applies() if apply.end is not ApplyEnd.TAKEN_BACK]
    if not after:
        return {}
    try:
        profile = load_profile("the last profile", lambda _: after[-1], "")
        return dict(names_of(choose(profile, host), host))
    except GpupassError:
        return {}


def domain_called(sight: Host, name: str) -> Domain:
    found = sight.domain(name)
    if found is None:
        require_libvirt(sight)
        known = ", ".join(domain.name for domain in sight.domains) or "none"
        raise Usage(f"cannot find the domain {name}: libvirt knows {known}", "virsh list --all")
    return found


def require_libvirt(host: Host) -> None:
    for unseen in host.unseen:
        if unseen.startswith("libvirt:"):
            raise NoLibvirt(
                f"cannot tell which domain has what: {unseen.replace(': ', ' ', 1)}",
                "systemctl status libvirtd virtqemud",  # virsh would hang like it
            )
