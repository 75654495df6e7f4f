"""Mediated devices of any parent in /sys/class/mdev_bus: so many of each type; pure."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import count

from gpupass.devices.mediated import (
    anew,
    gone,
    in_use,
    losses,
    made_by_us,
    mdev_uuid,
    part_of,
    remembered,
)
from gpupass.method import Rules
from gpupass.methods.mdev.rule import MdevRule
from gpupass.model.atom import of_mdev
from gpupass.model.host import Base, Device, Host
from gpupass.model.mark import Mark
from gpupass.model.mdev import Mdev, MdevType
from gpupass.model.profile import Rule
from gpupass.model.slot import Slot, SlotKind
from gpupass.model.types import counted
from gpupass.model.user import User
from gpupass.plan import NOTHING, Draft, Finding
from gpupass.steps.mdev import SetMdev
from gpupass.steps.remember import Remember

Wished = tuple[str, MdevType]  # what its slot is called, and its type


def slots(host: Host, parent: Base) -> Iterator[Slot]:
    kinds = {kind.id: kind for kind in parent.facts.mdev_types}
    for mdev in parent.facts.mdevs:
        yield Slot(
            kind=SlotKind.MDEV,
            device=parent.address,
            of=parent.address,
            part=part_of(host, parent, mdev),
            mdev=mdev.uuid,
            size=kinds[mdev.type].name if mdev.type in kinds else mdev.type,
            atoms=of_mdev(mdev),
        )


def cut(host: Host, rules: Rules) -> Draft:
    """The mediated devices that the rules name; what others made is left alone."""
    draft = NOTHING
    for address, its in rules.items():
        parent = host.carrier(address)
        wish = next((rule for rule in its if isinstance(rule, MdevRule)), None)
        if parent is None or parent.detail is None or _is_function(parent):
            continue
        if wish is not None:
            draft += _cut(host, parent, wish)
        elif not any(rule.mediates for rule in its):
            draft += _uncut(host, parent, its)
    return draft


def renew(host: Host, slot: Slot) -> Draft:
    """Removed and made again, so that nothing of its last user is left in it; only where it is gpupass's."""
    parent = host.carrier(slot.device)
    mdev = next((one for one in parent.facts.mdevs if one.uuid == slot.mdev), None) if parent else None
    if parent is None or mdev is None or made_by_us(host, parent, mdev.uuid) is None:
        return NOTHING
    return anew(parent, mdev)


def export(host: Host, parent: Base, as_rule: Rule, others: tuple[Rule, ...]) -> Rule | None:
    """Of those that are gpupass's own: what others made it could not make again."""
    if not parent.facts.mdevs:
        return None
    mine = (one for one in parent.facts.mdevs if made_by_us(host, parent, one.uuid) is not None)
    kinds = [_type_of(host, parent, one) for one in mine]
    return MdevRule(name=as_rule.name, select=as_rule.select, types=counted(kinds))


def adopt(host: Host, parent: Base) -> Iterator[Mark]:
    if _is_function(parent):
        return
    known = {part_of(host, parent, mdev) for mdev in parent.facts.mdevs}
    for mdev in parent.facts.mdevs:
        if made_by_us(host, parent, mdev.uuid) is None:
            name = next(n for n in (f"{mdev.type}-{number}" for number in count()) if n not in known)
            known.add(name)
            yield remembered(host, parent, mdev.uuid, name, mdev.type)


def foreign(host: Host, parent: Base) -> Iterator[str]:
    for one in parent.facts.mdevs:
        if made_by_us(host, parent, one.uuid) is None:
            yield f"{parent.address} has a mediated device {one.uuid} that gpupass did not make"


def owner(host: Host, slot: Slot) -> str:
    """mdevctl's, or libvirt's, which defines them through it."""
    parent = host.carrier(slot.device)
    if parent is None or slot.mdev is None:
        return ""
    if made_by_us(host, parent, slot.mdev) is not None:
        return "gpupass"
    return "mdevctl" if any(one.uuid == slot.mdev and one.defined for one in parent.facts.mdevs) else ""


def users(host: Host, slot: Slot) -> tuple[User, ...]:
    parent = host.carrier(slot.device)
    mdevs = parent.facts.mdevs if parent is not None else ()
    return next((mdev.users for mdev in mdevs if mdev.uuid == slot.mdev), ())


def _is_function(parent: Base) -> bool:
    """Those of a virtual function are its card's vGPUs."""
    return isinstance(parent, Device) and parent.physfn is not None


# ── from here to there ─────────────────────────────────────────────────────────────────────────────────────


def _cut(host: Host, parent: Base, rule: MdevRule) -> Draft:
    kinds = {one.type: _kind(parent, one.type) for one in rule.types}
    unknown = tuple(_unknown(parent, name) for name, kind in kinds.items() if kind is None)
    if unknown:
        return Draft(findings=unknown, devices=(parent.address,))
    wish = {
        mdev_uuid(host, parent.address, part): (part, kind)
        for one in rule.types
        if (kind := kinds[one.type]) is not None
        for part in one.parts
    }
    alive = {mdev.uuid: mdev for mdev in parent.facts.mdevs}
    kept = dict(_matched(host, parent, wish))
    going = tuple(
        mdev
        for uuid, mdev in alive.items()
        if uuid not in kept and (uuid in wish or made_by_us(host, parent, uuid) is not None or rule.take_over)
    )
    new = {uuid: one for uuid, one in wish.items() if one not in kept.values()}
    renamed = (
        Remember(
            address=parent.address, marks=(remembered(host, parent, uuid, part, kind.id),), why="adopted"
        )
        for uuid, (part, kind) in kept.items()
        if part_of(host, parent, alive[uuid]) != part
    )
    return Draft(
        takes=tuple(step for mdev in going for step in gone(host, parent, mdev)),
        makes=(*(_made(host, parent, uuid, part, kind) for uuid, (part, kind) in new.items()), *renamed),
        findings=(
            *(finding for mdev in going for finding in in_use(mdev.uuid, mdev.uuid, mdev.users)),
            *(() if going else _no_room(parent, tuple(kind for _, kind in new.values()))),
        ),
        losses=losses(parent, going),
        devices=(parent.address,),
        foreign=tuple(
            f"{mdev.uuid} ({mdev.type}) of {parent.address} was not made by gpupass"
            for uuid, mdev in alive.items()
            if uuid not in kept and mdev not in going
        ),
    )


def _uncut(host: Host, parent: Base, rules: tuple[Rule, ...]) -> Draft:
    """None of those that gpupass made."""
    all_of_them = any(rule.take_over for rule in rules)
    going = tuple(
        mdev for mdev in parent.facts.mdevs if all_of_them or made_by_us(host, parent, mdev.uuid) is not None
    )
    return Draft(
        takes=tuple(step for mdev in going for step in gone(host, parent, mdev)),
        findings=tuple(finding for mdev in going for finding in in_use(mdev.uuid, mdev.uuid, mdev.users)),
        losses=losses(parent, going),
        devices=(parent.address,) if going else (),
    )


def _matched(host: Host, parent: Base, wish: Mapping[str, Wished]) -> Iterator[tuple[str, Wished]]:
    """What stays, by UUID: of its type under its own one, else adopted ones, by name or any."""
    alive = {mdev.uuid: mdev for mdev in parent.facts.mdevs}
    named = {uuid for uuid, (_, kind) in wish.items() if uuid in alive and alive[uuid].type == kind.id}
    yield from ((uuid, wish[uuid]) for uuid in named)
    adopted = [
        mdev
        for uuid, mdev in alive.items()
        if uuid not in wish and made_by_us(host, parent, uuid) is not None
    ]
    left = [one for uuid, one in wish.items() if uuid not in named]
    for any_name in (False, True):
        for part, kind in tuple(left):
            fitting = (mdev for mdev in adopted if mdev.type == kind.id)
            found = next((m for m in fitting if any_name or part_of(host, parent, m) == part), None)
            if found is not None:
                adopted.remove(found)
                left.remove((part, kind))
                yield found.uuid, (part, kind)


def _kind(parent: Base, name: str) -> MdevType | None:
    return next((kind for kind in parent.facts.mdev_types if name in (kind.id, kind.name)), None)


def _type_of(host: Host, parent: Base, mdev: Mdev) -> str:
    """As the profile that made it calls its type: there are an id and a name."""
    called = part_of(host, parent, mdev).rpartition("-")[0]
    kind = _kind(parent, called)
    return called if kind is not None and kind.id == mdev.type else mdev.type


def _unknown(parent: Base, name: str) -> Finding:
    known = [kind.id for kind in parent.facts.mdev_types]
    near = get_close_matches(name, known, n=1)
    has = ", ".join(known)
    return Finding(
        message=f"{parent.address} has no mediated device type {name}"
        + (f", did you mean {near[0]}?" if near else ""),
        remedy=f"it has {has}" if has else f"gpupass show {parent.address}",
    )


def _made(host: Host, parent: Base, uuid: str, part: str, kind: MdevType) -> SetMdev:
    return SetMdev(
        address=parent.address,
        uuid=uuid,
        type=kind.id,
        present=True,
        marks=(remembered(host, parent, uuid, part, kind.id),),
        turn=-kind.available,  # types share memory: the scarcest first
        why=part,
    )


def _no_room(parent: Base, wanted: tuple[MdevType, ...]) -> Iterator[Finding]:
    """As far as the parent tells: types share its memory, and it counts each alone."""
    for kind in dict.fromkeys(wanted):
        if wanted.count(kind) > kind.available:
            yield Finding(
                message=f"{parent.address} has room for {kind.available} more {kind.id}, "
                f"not {wanted.count(kind)}",
                remedy="ask for fewer, or for another type",
            )
