"""Mediated devices of any parent in /sys/class/mdev_bus: so many of each type; pure."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from uuid import UUID, uuid5

from gpupass.model.address import Address
from gpupass.model.host import Device, Host, Mdev, MdevType
from gpupass.model.profile import MdevRule, Rule
from gpupass.model.record import Record, RecordKind
from gpupass.model.slot import Slot, SlotKind
from gpupass.model.user import User, UserKind
from gpupass.model.vgpu_types import param_words
from gpupass.plan import Disruption, Finding, Plan
from gpupass.step import Deed
from gpupass.steps.mdev import SetMdev
from gpupass.steps.record import WriteRecord
from gpupass.steps.vgpu_params import SetVgpuParams

MADE_ANEW = "made anew, so that nothing of its last guest is left"
TOLD_NOTHING = "it goes, and is told its parameters again if that is undone"
Wished = tuple[str, MdevType]  # what its slot is called, and its type
_NAMESPACE = UUID("5d6a9a52-6f0e-4c0f-9d0a-5b1a3c9b7e21")  # gpupass's own


def mdev_uuid(host: Host, parent: Address, part: str) -> str:
    """The same on this host for ever, and on no other host: from its machine-id, the parent and the name."""
    return str(uuid5(uuid5(_NAMESPACE, host.machine_id), f"{parent}/{part}"))


def part_of(host: Host, parent: Device, mdev: Mdev) -> str:
    """What it is called among the slots of its parent: its name in a profile, or its UUID."""
    record = host.record_of_this_boot(RecordKind.MDEV, parent.address, mdev.uuid)
    return (record.part if record is not None else None) or mdev.uuid


def type_of(host: Host, parent: Device, mdev: Mdev) -> str:
    """As the profile that made it calls its type: there are an id and a name."""
    called = part_of(host, parent, mdev).rpartition("-")[0]
    kind = _kind(parent, called)
    return called if kind is not None and kind.id == mdev.type else mdev.type


def slots(host: Host, parent: Device) -> Iterator[Slot]:
    kinds = {kind.id: kind for kind in parent.facts.mdev_types}
    for mdev in parent.facts.mdevs:
        yield Slot(
            kind=SlotKind.MDEV,
            device=parent.address,
            of=parent.address,
            part=part_of(host, parent, mdev),
            mdev=mdev.uuid,
            size=kinds[mdev.type].name if mdev.type in kinds else mdev.type,
        )


def cut(host: Host, parent: Device, rule: MdevRule) -> Plan:
    """The mediated devices that the rule names; what others made is left alone."""
    title = f"make mediated devices of {parent.address}"
    kinds = {count.type: _kind(parent, count.type) for count in rule.types}
    unknown = tuple(_unknown(parent, name) for name, kind in kinds.items() if kind is None)
    if unknown:
        return Plan(title=title, findings=unknown, devices=(parent.address,))
    wish = {
        mdev_uuid(host, parent.address, part): (part, kind)
        for count in rule.types
        if (kind := kinds[count.type]) is not None
        for part in count.parts
    }
    alive = {mdev.uuid: mdev for mdev in parent.facts.mdevs}
    kept = dict(_matched(host, parent, wish))
    gone = tuple(
        mdev
        for uuid, mdev in alive.items()
        if uuid not in kept and (uuid in wish or is_ours(host, parent, mdev) or rule.take_over)
    )
    new = {uuid: one for uuid, one in wish.items() if one not in kept.values()}
    return Plan(
        title=title,
        steps=(
            *(step for mdev in gone for step in removal(host, parent, mdev)),
            *(
                step
                for uuid, (part, kind) in sorted(
                    new.items(), key=lambda item: (item[1][1].available, item[1][0])
                )
                for step in _creation(host, parent, uuid, part, kind)
            ),
            *(
                _remembrance(host, parent, uuid, part, kind)
                for uuid, (part, kind) in kept.items()
                if part_of(host, parent, alive[uuid]) != part
            ),
        ),
        findings=(
            *(finding for mdev in gone for finding in in_use(mdev.uuid, mdev.uuid, mdev.users)),
            *(() if gone else _no_room(parent, tuple(kind for _, kind in new.values()))),
        ),
        devices=(parent.address,),
        disruptions=_losses(parent, gone),
        foreign=tuple(
            f"{mdev.uuid} ({mdev.type}) of {parent.address} was not made by gpupass"
            for uuid, mdev in alive.items()
            if uuid not in kept and mdev not in gone
        ),
    )


def _matched(host: Host, parent: Device, wish: Mapping[str, Wished]) -> Iterator[tuple[str, Wished]]:
    """What stays, by UUID: of its type under its own one, else adopted ones, by name or any."""
    alive = {mdev.uuid: mdev for mdev in parent.facts.mdevs}
    named = {uuid for uuid, (_, kind) in wish.items() if uuid in alive and alive[uuid].type == kind.id}
    yield from ((uuid, wish[uuid]) for uuid in named)
    adopted = [mdev for uuid, mdev in alive.items() if uuid not in wish and is_ours(host, parent, mdev)]
    left = [one for uuid, one in wish.items() if uuid not in named]
    for any_name in (False, True):
        for part, kind in tuple(left):
            fitting = (mdev for mdev in adopted if mdev.type == kind.id)
            found = next((m for m in fitting if any_name or part_of(host, parent, m) == part), None)
            if found is not None:
                adopted.remove(found)
                left.remove((part, kind))
                yield found.uuid, (part, kind)


def uncut(host: Host, parent: Device, rule: Rule) -> Plan:
    """None of those that gpupass made."""
    gone = tuple(mdev for mdev in parent.facts.mdevs if is_ours(host, parent, mdev) or rule.take_over)
    return Plan(
        title=f"remove the mediated devices of {parent.address}",
        steps=tuple(step for mdev in gone for step in removal(host, parent, mdev)),
        findings=tuple(finding for mdev in gone for finding in in_use(mdev.uuid, mdev.uuid, mdev.users)),
        devices=(parent.address,) if gone else (),
        disruptions=_losses(parent, gone),
    )


def anew(host: Host, parent: Device, mdev: Mdev) -> tuple[Deed, ...]:
    """Removed and made again, so that nothing of its last user is left in it; only where it is gpupass's."""
    if not is_ours(host, parent, mdev):
        return ()
    again = tuple(
        SetMdev(
            address=parent.address,
            uuid=mdev.uuid,
            type=mdev.type,
            present=present,
            why=MADE_ANEW if present else "its guest has used it",
        )
        for present in (False, True)
    )
    return told_again(parent.address, mdev.uuid, mdev.params, again)


def told_again(address: Address, uuid: str | None, params: str, again: tuple[Deed, ...]) -> tuple[Deed, ...]:
    """What is made anew is told its parameters again, and so it is when that is undone."""
    words = " ".join(param_words(params))
    forget, tell = (
        SetVgpuParams(address=address, mdev=uuid, params=text, why=why)
        for text, why in (("", TOLD_NOTHING), (words, "as it was told before"))
    )
    return (forget, *again, tell) if words else again


def is_ours(host: Host, parent: Device, mdev: Mdev) -> bool:
    """Made by gpupass, or adopted."""
    return host.record_of_this_boot(RecordKind.MDEV, parent.address, mdev.uuid) is not None


def _kind(parent: Device, name: str) -> MdevType | None:
    return next((kind for kind in parent.facts.mdev_types if name in (kind.id, kind.name)), None)


def _unknown(parent: Device, name: str) -> Finding:
    known = [kind.id for kind in parent.facts.mdev_types]
    near = get_close_matches(name, known, n=1)
    has = ", ".join(known)
    return Finding(
        message=f"{parent.address} has no mediated device type {name}"
        + (f", did you mean {near[0]}?" if near else ""),
        remedy=f"it has {has}" if has else f"gpupass show {parent.address}",
    )


def removal(host: Host, parent: Device, mdev: Mdev) -> Iterator[Deed]:
    if mdev.params:
        yield SetVgpuParams(address=parent.address, mdev=mdev.uuid, params="", why=TOLD_NOTHING)
    yield SetMdev(
        address=parent.address, uuid=mdev.uuid, type=mdev.type, present=False, why="the profile has none such"
    )
    for kind in (RecordKind.CLAIM, RecordKind.MDEV):
        if host.record(kind, parent.address, mdev.uuid) is not None:
            yield WriteRecord(
                kind=kind, address=parent.address, mdev=mdev.uuid, record=None, why="it is gone"
            )


def _creation(host: Host, parent: Device, uuid: str, part: str, kind: MdevType) -> Iterator[Deed]:
    yield _remembrance(host, parent, uuid, part, kind)
    yield SetMdev(address=parent.address, uuid=uuid, type=kind.id, present=True, why=part)


def _remembrance(host: Host, parent: Device, uuid: str, part: str, kind: MdevType) -> Deed:
    record = Record(
        kind=RecordKind.MDEV,
        address=parent.address,
        mdev=uuid,
        part=part,
        type=kind.id,
        boot_id=host.boot_id,
    )
    why = "so that it is known as gpupass's"
    return WriteRecord(kind=RecordKind.MDEV, address=parent.address, mdev=uuid, record=record, why=why)


def _no_room(parent: Device, wanted: tuple[MdevType, ...]) -> Iterator[Finding]:
    """As far as the parent tells: types share its memory, and it counts each alone."""
    for kind in dict.fromkeys(wanted):
        if wanted.count(kind) > kind.available:
            yield Finding(
                message=f"{parent.address} has room for {kind.available} more {kind.id}, "
                f"not {wanted.count(kind)}",
                remedy="ask for fewer, or for another type",
            )


def in_use(name: str, what: str, users: tuple[User, ...]) -> Iterator[Finding]:
    """Removing what is open in VFIO never returns, so it is not tried. A domain says more than its QEMU."""
    domains = [user for user in users if user.kind is UserKind.DOMAIN]
    for user in domains or [user for user in users if user.kind is UserKind.PROCESS]:
        domain = user.kind is UserKind.DOMAIN
        yield Finding(
            message=f"{what} is in use by "
            + (f"domain {user.name}" if domain else f"{user.name} ({user.detail})"),
            remedy=f"gpupass detach {user.name} {name}" if domain else "stop using it",
        )


def _losses(parent: Device, gone: tuple[Mdev, ...]) -> tuple[Disruption, ...]:
    return tuple(
        Disruption(victim=parent.address, loses=f"{mdev.uuid} ({mdev.type})", at_work=False) for mdev in gone
    )
