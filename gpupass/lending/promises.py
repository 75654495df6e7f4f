"""What a domain is promised, and gets whenever it starts: what is due, and what its end leaves; pure.

Of several domains in line for one device that run, the first has it, and the next when that stops. Who gets
it is given it once for each run: what a person takes away meanwhile stays away until the next start.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from gpupass.devices.binding import give_back, origin_of
from gpupass.lending import handover
from gpupass.lending.claims import declared
from gpupass.lending.managers import even_of_others
from gpupass.lending.plug import AttachDevice
from gpupass.methods import slots_of
from gpupass.model.address import Address
from gpupass.model.domain import Domain
from gpupass.model.host import Base, Device, Host
from gpupass.model.mark import Heir, Promise
from gpupass.model.slot import Slot
from gpupass.plan import NOTHING, Draft, Finding
from gpupass.steps.remember import Remember


class Ahead(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done for the promises of what changes hands together."""

    title: str = ""
    draft: Draft = NOTHING
    stop: tuple[str, ...] = ()
    gives: bool = False


def run_of(boot_id: str, domain: Domain) -> str:
    """libvirt counts from 1 again at each boot; "": it does not run."""
    return f"{boot_id} {domain.run}" if domain.run else ""


def stirs(promise: Promise, domains: Iterable[Domain], boot_id: str) -> bool:
    """Has one of its domains started, or ended, since it was looked after?"""
    known = {domain.uuid: domain for domain in domains}
    return any(
        _ended(heir, known.get(heir.uuid), boot_id) or _due(heir, known.get(heir.uuid), boot_id)
        for heir in promise.to
    )


def promised(host: Host, slot: Slot) -> Promise | None:
    return host.mark(Promise, slot.device, slot.mdev or "")


def promised_heirs(host: Host, slot: Slot) -> tuple[tuple[Heir, str], ...]:
    """With the names that they have now; those that are gone are left out."""
    mark = promised(host, slot)
    known = {domain.uuid: domain.name for domain in host.domains}
    return tuple(
        (heir, known[heir.uuid]) for heir in (mark.to if mark is not None else ()) if heir.uuid in known
    )


def promise(host: Host, slots: Iterable[Slot], heir: Heir) -> Draft:
    """From now on; who is in line already stays where it is."""
    found = [_with(host, slot, heir) for slot in slots]
    steps = tuple(
        Remember(address=mark.carrier, marks=(mark,), why="whenever it starts")
        for mark in found
        if mark != host.mark(Promise, mark.carrier, mark.part)
    )
    return Draft(makes=steps, findings=tuple(obstacles(host, slots, heir)))


def take_back(host: Host, slot: Slot, uuid: str) -> Draft:
    """The domain does not get it any more, nor what it is promised of its group."""
    carrier = host.carrier(slot.device)
    slots = promised_with(host, carrier, slot.mdev) if carrier is not None else ()
    return Draft(takes=tuple(step for one in slots for step in _without(promised(host, one), uuid)))


def in_line(host: Host, slot: Slot, heirs: tuple[Heir, ...], home: bool | None) -> Draft:
    """As a profile says: who is no longer in it goes, but for whom a person has promised it."""
    mark = promised(host, slot)
    before = mark.to if mark is not None else ()
    said = {heir.uuid: heir for heir in heirs}
    kept = tuple(_said_again(one, said.pop(one.uuid, None)) for one in before)
    to = (*(one for one in kept if one is not None), *said.values())
    theirs = tuple(one.domain for one in to if one.uuid not in {heir.uuid for heir in heirs})
    foreign = tuple(f"{name} is promised {slot.what}, which the profile does not speak of" for name in theirs)
    if not to:
        return Draft(takes=tuple(_without(mark, *(one.uuid for one in before))))
    now = replace(mark or _new(host, slot), to=to)
    now = now if home is None or not heirs else replace(now, home=home)
    step = Remember(address=slot.device, marks=(now,), why="as the profile says")
    return Draft(makes=(step,) if now != mark else (), foreign=foreign)


def _said_again(known: Heir, heir: Heir | None) -> Heir | None:
    if heir is None:
        return None if known.declared else known
    return replace(heir, given=heir.given or known.given, declared=known.declared)


def heir_called(host: Host, slot: Slot, name: str) -> Heir | None:
    """By name or UUID: the domain itself may be gone."""
    mark = promised(host, slot)
    heirs = mark.to if mark is not None else ()
    return next((heir for heir in heirs if name in (heir.domain, heir.uuid)), None)


def noted(host: Host, draft: Draft, slots: Iterable[Slot], domain: Domain) -> Draft:
    """Whoever gives it to the domain: it has had it in this run."""
    if draft.refused or not any(isinstance(step, AttachDevice) for step in draft.steps):
        return draft
    marks = (promised(host, slot) for slot in slots)
    return draft + Draft(makes=tuple(_noted(host, (mark for mark in marks if mark), domain)))


def ahead(host: Host, carrier: Base, mdev: str | None, connect: str) -> Ahead:
    """Of a function with what is promised of its group, or of one mediated device of a carrier."""
    slots = tuple(promised_with(host, carrier, mdev))
    marks = tuple(mark for slot in slots if (mark := promised(host, slot)) is not None)
    if not marks:
        return Ahead()
    holders = (handover.holder(host, slot) for slot in slots)
    holder = next((one for one in holders if one is not None), None)
    known = {domain.uuid: domain for domain in host.domains}
    heirs = tuple({heir.uuid: heir for mark in marks for heir in mark.to}.values())
    due = (known[heir.uuid] for heir in heirs if _due(heir, known.get(heir.uuid), host.boot_id))
    first = next((one for one in due if holder is None or holder.uuid == one.uuid), None)
    settled = _settled(host, marks)
    if first is not None:
        return _given(host, slots, first, settled, connect)
    what = ", ".join(slot.what for slot in slots)
    if settled == marks:
        return Ahead()
    back = NOTHING
    if holder is None:
        back = handover.clean(host, slots[0])
        back += _home(host, carrier) if any(mark.home for mark in marks) else NOTHING
    noted = _remembered(marks, settled, "it has stopped")
    return Ahead(title=f"take {what} back from what has stopped", draft=back + Draft(makes=noted))


def _given(
    host: Host, slots: tuple[Slot, ...], domain: Domain, settled: tuple[Promise, ...], connect: str
) -> Ahead:
    """With what of its group it is promised, too."""
    run = run_of(host.boot_id, domain)
    its = {mark.key for mark in settled if any(heir.uuid == domain.uuid for heir in mark.to)}
    mine = tuple(slot for slot in slots if (mark := promised(host, slot)) and mark.key in its)
    heir = next(heir for mark in settled for heir in mark.to if heir.uuid == domain.uuid)
    shown = tuple(slot.device for slot in mine[1:])
    draft = handover.attach(host, domain, mine[0], connect, shown, heir.options)
    draft = declared(draft) if heir.declared else draft
    asked = even_of_others(domain, heir.even_of) if draft.steps else ()
    now = tuple(_with_run(mark, domain.uuid, run) for mark in settled)
    before = tuple(mark for slot in slots if (mark := promised(host, slot)) is not None)
    noted = _remembered(before, now, "it is promised")
    return Ahead(
        title=f"attach {', '.join(slot.what for slot in mine)} to {domain.name}, as promised",
        draft=draft + Draft(makes=noted, findings=tuple(asked)),
        stop=heir.stop,
        gives=True,
    )


def _home(host: Host, carrier: Base) -> Draft:
    return give_back(host, carrier) if isinstance(carrier, Device) else NOTHING


def promised_with(host: Host, carrier: Base, mdev: str | None) -> Iterator[Slot]:
    """Those that are promised; of a group the carrier's own first."""
    members = (carrier, *(one for one in host.group_of(carrier) if one.address != carrier.address))
    for member in members if mdev is None else (carrier,):
        for slot in slots_of(host, member):
            whole = slot.mdev is None and slot.device == member.address
            if (slot.mdev == mdev if mdev is not None else whole) and promised(host, slot) is not None:
                yield slot
                break


def _due(heir: Heir, domain: Domain | None, boot_id: str) -> bool:
    return domain is not None and domain.active and heir.given != run_of(boot_id, domain)


def _ended(heir: Heir, domain: Domain | None, boot_id: str) -> bool:
    return bool(heir.given) and (domain is None or heir.given != run_of(boot_id, domain))


def _settled(host: Host, marks: tuple[Promise, ...]) -> tuple[Promise, ...]:
    """Nobody has it in a run that has ended."""
    known = {domain.uuid: domain for domain in host.domains}

    def settled(heir: Heir) -> Heir:
        ended = _ended(heir, known.get(heir.uuid), host.boot_id)
        return replace(heir, given="") if ended else heir

    return tuple(replace(mark, to=tuple(map(settled, mark.to))) for mark in marks)


def _remembered(before: tuple[Promise, ...], now: tuple[Promise, ...], why: str) -> tuple[Remember, ...]:
    return tuple(
        Remember(address=mark.carrier, marks=(mark,), why=why)
        for was, mark in zip(before, now, strict=True)
        if was != mark
    )


def _noted(host: Host, marks: Iterable[Promise], domain: Domain) -> Iterator[Remember]:
    for mark in marks:
        now = _with_run(mark, domain.uuid, run_of(host.boot_id, domain))
        if now != mark:
            yield Remember(address=mark.carrier, marks=(now,), why="it is promised")


def _with_run(mark: Promise, uuid: str, run: str) -> Promise:
    to = tuple(replace(heir, given=run) if heir.uuid == uuid else heir for heir in mark.to)
    return replace(mark, to=to)


def _with(host: Host, slot: Slot, heir: Heir) -> Promise:
    known = promised(host, slot)
    if known is None:
        return replace(_new(host, slot), to=(heir,))
    if any(one.uuid == heir.uuid for one in known.to):
        kept = (
            replace(heir, given=heir.given or one.given, declared=one.declared and heir.declared)
            if one.uuid == heir.uuid
            else one
            for one in known.to
        )
        return replace(known, to=tuple(kept))
    return replace(known, to=(*known.to, heir))


def _new(host: Host, slot: Slot) -> Promise:
    home = slot.mdev is None and _at_home(host, slot.device)
    return Promise(carrier=slot.device, part=slot.mdev or "", to=(), home=home, boot_id=host.boot_id)


def _at_home(host: Host, address: Address) -> bool:
    """The host works with it, or did until somebody gave it to the domain that has it now."""
    device = host.device(address)
    if device is None:
        return False
    lent = any(hostdev.is_of(address) for domain in host.domains for hostdev in domain.live)
    return not device.on_vfio or (lent and origin_of(host, device) is not None)


def _without(mark: Promise | None, *uuids: str) -> Iterator[Remember]:
    left = tuple(heir for heir in mark.to if heir.uuid not in uuids) if mark is not None else ()
    if mark is None or left == mark.to:
        return
    marks = (replace(mark, to=left),) if left else ()
    forgets = () if left else (mark.key,)
    yield Remember(address=mark.carrier, marks=marks, forgets=forgets, why="no longer promised")


def obstacles(host: Host, slots: Iterable[Slot], heir: Heir) -> Iterator[Finding]:
    """What could never be kept."""
    domain = host.domain(heir.uuid)
    if domain is None:
        return
    if domain.transient:
        yield Finding(
            message=f"{domain.name} is transient: it never starts again",
            remedy=f"virsh dumpxml {domain.name} >FILE; virsh define FILE",
        )
    yield from even_of_others(domain, heir.even_of)
    for slot in slots:
        yield from handover.unlent(slot)
        if any(hostdev.is_of(slot.device, slot.mdev) for hostdev in domain.config):
            yield Finding(
                message=f"{domain.name}'s own definition has {slot.what}: libvirt gives it at its start",
                remedy=f"virsh edit {domain.name}: take its <hostdev> out",
            )


class Standing(StrEnum):
    """How it stands with a promise."""

    KEPT = "with it"
    SHUT_OFF = "when it starts"
    IN_LINE = "another has it"
    TAKEN = "at its next start"  # somebody has taken it away since this one
    DUE = "now"
    REFUSED = "cannot be given"
    NO_DOMAIN = "no such domain"
    NO_DEVICE = "no such device"


class Told(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One promise, how it stands, and why not otherwise."""

    device: Address
    mdev: str | None
    domain: str
    uuid: str
    standing: Standing
    why: str = ""
    remedy: str = ""


def told(host: Host, mark: Promise, connect: str) -> Iterator[Told]:
    """Each domain in line."""
    slot = _slot_of(host, mark)
    holder = handover.holder(host, slot) if slot is not None else None
    known = {domain.uuid: domain for domain in host.domains}
    for heir in mark.to:
        domain = known.get(heir.uuid)
        standing, why, remedy = _standing(host, slot, heir, domain, holder, connect)
        yield Told(
            device=mark.carrier,
            mdev=mark.part or None,
            domain=domain.name if domain is not None else heir.domain,
            uuid=heir.uuid,
            standing=standing,
            why=why,
            remedy=remedy,
        )


def _standing(
    host: Host, slot: Slot | None, heir: Heir, domain: Domain | None, holder: Domain | None, connect: str
) -> tuple[Standing, str, str]:
    if slot is None:
        return Standing.NO_DEVICE, "", "gpupass list --all"
    if domain is None:
        return Standing.NO_DOMAIN, "", f"gpupass detach {heir.domain} {slot.what} --at-start"
    if holder is not None and holder.uuid == domain.uuid:
        return Standing.KEPT, "", ""
    if not domain.active:
        return Standing.SHUT_OFF, f"{domain.name} is {domain.state.value}", ""
    if heir.given == run_of(host.boot_id, domain):
        return Standing.TAKEN, "", f"gpupass attach {domain.name} {slot.what}"
    if holder is not None:
        return Standing.IN_LINE, f"{holder.name} has it", f"gpupass move {slot.what} --to {domain.name}"
    draft = handover.attach(host, domain, slot, connect)
    refused = next((finding for finding in draft.findings if finding.fatal), None)
    if refused is not None:
        return Standing.REFUSED, refused.message, refused.remedy
    return Standing.DUE, "", "systemctl status gpupass-promises"


def _slot_of(host: Host, mark: Promise) -> Slot | None:
    carrier = host.carrier(mark.carrier)
    slots = promised_with(host, carrier, mark.part or None) if carrier is not None else ()
    return next((slot for slot in slots if slot.device == mark.carrier), None)
