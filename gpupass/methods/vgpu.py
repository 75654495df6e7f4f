"""NVIDIA vGPU: so many of each type on one card, by whichever framework its driver offers; pure.

A VF with `nvidia/current_vgpu_type` is of the vendor-specific framework and stays with its driver, one with
`mdev_supported_types` of the mediated one; cards without SR-IOV have that on the GPU itself. What the files
say decides, no model and no kernel version.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from gpupass.methods.mdev import MADE_ANEW, in_use, mdev_uuid
from gpupass.methods.sriov import made_by_us, plan_vfs
from gpupass.methods.vgpu_made import Made, functions_of, made, offered, on_itself, type_names
from gpupass.methods.vgpu_types import read_label, type_label
from gpupass.model.host import Device, Host, Mdev, VgpuCard
from gpupass.model.plan import (
    Disruption,
    Finding,
    Plan,
    SetMdev,
    SetVgpuParams,
    SetVgpuScheduler,
    SetVgpuSharing,
    SetVgpuType,
    Step,
    WriteRecord,
)
from gpupass.model.profile import Rule, VgpuRule
from gpupass.model.record import Record, RecordKind
from gpupass.model.user import UserKind

_FIRST_LIBVIRT = (9, 7, 0)  # takes any VF with a vfio-dev directory for one of VFIO (virpci.c)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One vGPU somebody wants; `part` is what its slot is called."""

    part: str
    type: str


def cut(host: Host, card: Device, rule: VgpuRule) -> Plan:
    """VFs first; their types can be told only when they are there."""
    title = f"make vGPUs of {card.address}"
    wishes = _wishes(rule)
    vfs = _enough_vfs(host, card, rule, len(wishes))
    if vfs.steps or vfs.findings:
        names = ", ".join(f"{count.count} {count.type}" for count in rule.types if count.count)
        waits = (f"{names} of {card.address}: made when its VFs are there, which tell their types",)
        return Plan(
            title=title,
            steps=vfs.steps,
            findings=vfs.findings,
            devices=vfs.devices,
            disruptions=vfs.disruptions,
            waits=waits,
        )
    seats = functions_of(host, card)
    unknown = tuple(_unknown(host, card, sorted({wish.type for wish in wishes})))
    if unknown:
        return Plan(title=title, findings=unknown, devices=(card.address,))
    there = made(host, card)
    kept = dict(_matched(wishes, there))
    gone = _unasked(rule, there, kept)
    left = tuple(one for one in there if one not in gone and one not in kept.values())
    free = [vf for vf in seats if all(one.vf != vf for one in (*left, *kept.values()))]
    new = sorted(
        (wish for wish in wishes if wish not in kept), key=lambda wish: (-_memory(wish.type), wish.part)
    )
    placed = tuple(zip(new, free if card.facts.sriov is not None else [card] * len(new), strict=False))
    return Plan(
        title=title,
        steps=(
            *(step for one in gone for step in _removal(host, one)),
            *_sharing(card, wishes, left),
            *_turns(card, rule),
            *(step for wish, vf in placed for step in _creation(host, vf, wish)),
            *(_remember(host, one.vf, wish, one.mdev) for wish, one in kept.items() if _renamed(wish, one)),
            *_params(rule, ((one.vf, one.mdev.uuid if one.mdev else None) for one in kept.values())),
            *_params(rule, ((vf, _uuid(host, vf, wish)) for wish, vf in placed)),
        ),
        findings=(
            *_in_use(gone),
            *_too_few(card, seats, new, placed),
            *(() if gone else _no_room(host, card, placed)),
            *_mixture(card, wishes, (*left, *kept.values())),
            *_no_turns(card, rule, there),
        ),
        devices=(card.address, *(vf.address for vf in seats if vf != card)),
        disruptions=_losses(gone),
        foreign=tuple(f"{one.name} is a vGPU {one.type} that gpupass did not make" for one in left),
    )


def make_way(host: Host, card: Device, rule: VgpuRule, ending: frozenset[int]) -> Plan:
    """What goes before GPU instances of these ids end: vGPUs that nobody asks for, and those on them."""
    there = made(host, card)
    unasked = _unasked(rule, there, dict(_matched(_wishes(rule), there)))
    on_them = tuple(one for one in there if one.vf.facts.vgpu and one.vf.facts.vgpu.instance in ending)
    gone = tuple(one for one in there if one in unasked or (one in on_them and _may_go(rule, one)))
    return Plan(
        title=f"make vGPUs of {card.address}",
        steps=tuple(step for one in gone for step in _removal(host, one)),
        findings=(*_in_use(gone), *(_foreign(card, one) for one in on_them if one not in gone)),
        devices=(card.address, *(one.vf.address for one in gone)),
        disruptions=_losses(gone),
    )


def _may_go(rule: Rule, one: Made) -> bool:
    return one.record is not None or rule.take_over


def uncut(host: Host, card: Device, rule: Rule) -> Plan:
    """None of those that gpupass made on VFs; on a card itself they are mediated devices like others."""
    there = made(host, card) if not on_itself(card) else ()
    gone = tuple(one for one in there if _may_go(rule, one))
    return Plan(
        title=f"remove the vGPUs of {card.address}",
        steps=tuple(step for one in gone for step in _removal(host, one)),
        findings=tuple(_in_use(gone)),
        devices=tuple(dict.fromkeys(one.vf.address for one in gone)),
        disruptions=_losses(gone),
    )


def anew(host: Host, vf: Device) -> tuple[Step, ...]:
    """The type taken and given again, which is what clears a vGPU's memory; only where it is gpupass's.

    The host's driver leaves clearing to the vGPU's own plugin (open-gpu-kernel-modules, mem_mgr_ga100.c).
    """
    record = host.record_of_this_boot(RecordKind.VGPU, vf.address)
    current = vf.facts.vgpu.current if vf.facts.vgpu is not None else 0
    if record is None or not current:
        return ()
    name = record.type or str(current)
    params = " ".join(_has(vf, None))
    return (
        SetVgpuType(address=vf.address, id=0, type=name, why="its guest has used it"),
        SetVgpuType(address=vf.address, id=current, type=name, why=MADE_ANEW),
        *([SetVgpuParams(address=vf.address, params=params, why="as it was told before")] if params else []),
    )


def lend_findings(host: Host, vf: Device) -> Iterator[Finding]:
    """What keeps a VF of the vendor-specific framework from being lent."""
    if not vf.own_vfio or vf.facts.vgpu is None:
        return
    if not vf.facts.vgpu.current:
        yield Finding(
            message=f"{vf.address} has no vGPU type, so its driver lets nobody open it",
            remedy="a profile with use: vgpu gives it one",
        )
    if host.libvirt is not None and host.libvirt < _FIRST_LIBVIRT:
        version = ".".join(map(str, host.libvirt))
        yield Finding(
            message=f"{vf.address} stays with its driver {vf.driver}, and libvirt {version} takes such a VF "
            "for one of the host's",
            remedy="libvirt 9.7 or later",
        )


def _memory(name: str) -> int:
    label = read_label(name)
    return label.memory if label is not None else 0


# ── from here to there ─────────────────────────────────────────────────────────────────────────────────────


def _wishes(rule: VgpuRule) -> tuple[Wish, ...]:
    return tuple(
        Wish(part=f"{count.type}-{number}", type=count.type)
        for count in rule.types
        for number in range(count.count)
    )


def _unasked(rule: VgpuRule, there: tuple[Made, ...], kept: dict[Wish, Made]) -> tuple[Made, ...]:
    return tuple(one for one in there if one not in kept.values() and _may_go(rule, one))


def _enough_vfs(host: Host, card: Device, rule: VgpuRule, wanted: int) -> Plan:
    sriov = card.facts.sriov
    if sriov is None or card.facts.mdev_types or sriov.enabled >= wanted:
        return Plan(title="")
    if wanted > sriov.total:
        finding = Finding(
            message=f"{card.address} can have {sriov.total} vGPUs at most, one on each VF, not {wanted}",
            remedy="ask for fewer",
        )
        return Plan(title="", findings=(finding,))
    count = sriov.total if host.sriov_manage else wanted
    take_over = rule.take_over or made_by_us(host, card) is not None
    return plan_vfs(host, card, count, sriov.autoprobe, take_over, script=host.sriov_manage)


def _matched(wishes: tuple[Wish, ...], there: tuple[Made, ...]) -> Iterator[tuple[Wish, Made]]:
    """Those that stay: under their name where they have one, else any of the type, used ones first."""
    left = sorted(there, key=lambda one: (one.record is None, not _at_work(one)))
    open_wishes = list(wishes)
    for fits in (_by_name, _by_type):
        for wish in tuple(open_wishes):
            found = next((one for one in left if fits(wish, one)), None)
            if found is not None:
                left.remove(found)
                open_wishes.remove(wish)
                yield wish, found


def _by_name(wish: Wish, one: Made) -> bool:
    return one.record is not None and (one.record.part, one.type) == (wish.part, wish.type)


def _by_type(wish: Wish, one: Made) -> bool:
    return one.type == wish.type


def _renamed(wish: Wish, one: Made) -> bool:
    return one.record is not None and one.record.part != wish.part


def _removal(host: Host, one: Made) -> Iterator[Step]:
    kind = RecordKind.VGPU if one.mdev is None else RecordKind.MDEV
    uuid = one.mdev.uuid if one.mdev is not None else None
    why = "the profile has none such"
    if one.mdev is None:
        yield SetVgpuType(address=one.vf.address, id=0, type=one.type, why=why)
    else:
        yield SetMdev(address=one.vf.address, uuid=one.mdev.uuid, type=one.mdev.type, present=False, why=why)
    for known in (RecordKind.CLAIM, kind):
        if host.record(known, one.vf.address, uuid) is not None:
            yield WriteRecord(kind=known, address=one.vf.address, mdev=uuid, record=None, why="it is gone")


def _creation(host: Host, vf: Device, wish: Wish) -> Iterator[Step]:
    if vf.facts.vgpu is not None:
        yield _remember(host, vf, wish, None)
        yield SetVgpuType(address=vf.address, id=_id(host, vf, wish.type), type=wish.type, why=wish.part)
        return
    kind = next((kind.id for kind in vf.facts.mdev_types if type_label(kind.name) == wish.type), wish.type)
    mdev = Mdev(uuid=mdev_uuid(host, vf.address, wish.part), type=kind)
    yield _remember(host, vf, wish, mdev)
    yield SetMdev(address=vf.address, uuid=mdev.uuid, type=kind, present=True, why=wish.part)


def _id(host: Host, vf: Device, name: str) -> int:
    """Ids are those of one card (kubevirt-gpu-device-plugin). 0: nobody tells, and `_no_room` has said so."""
    card = host.device(vf.physfn) if vf.physfn is not None else None
    names = type_names(host, card) if card is not None else {}
    return next((number for number, known in names.items() if known == name), 0)


def _uuid(host: Host, vf: Device, wish: Wish) -> str | None:
    return None if vf.facts.vgpu is not None else mdev_uuid(host, vf.address, wish.part)


def _remember(host: Host, vf: Device, wish: Wish, mdev: Mdev | None) -> Step:
    kind = RecordKind.VGPU if mdev is None else RecordKind.MDEV
    uuid = mdev.uuid if mdev is not None else None
    record = Record(
        kind=kind, address=vf.address, mdev=uuid, part=wish.part, type=wish.type, boot_id=host.boot_id
    )
    return WriteRecord(
        kind=kind, address=vf.address, mdev=uuid, record=record, why="so that it is known as gpupass's"
    )


def _card(card: Device) -> VgpuCard:
    nvidia = card.facts.nvidia
    return (nvidia.vgpu_card if nvidia is not None else None) or VgpuCard()


def _sharing(card: Device, wishes: tuple[Wish, ...], left: tuple[Made, ...]) -> Iterator[Step]:
    """Types of several sizes side by side: a mode that can only change while there is no vGPU."""
    mixed = _card(card).mixed
    if mixed is False and not left and _sizes(wish.type for wish in wishes) > 1:
        yield SetVgpuSharing(address=card.address, mixed=True, why="types of several sizes share the card")


def _sizes(types: Iterator[str]) -> int:
    """Of time-sliced types; those on MIG have their GPU instance's size."""
    labels = (read_label(name) for name in types)
    return len({label.memory for label in labels if label is not None and label.slices is None})


def _mixture(card: Device, wishes: tuple[Wish, ...], staying: tuple[Made, ...]) -> Iterator[Finding]:
    wanted = {*(wish.type for wish in wishes), *(one.type for one in staying)}
    if _card(card).mixed is False and staying and _sizes(iter(wanted)) > 1:
        yield Finding(
            message=f"{card.address} has vGPUs of one size only, and can be switched to several sizes "
            f"only while it has none: {', '.join(one.name for one in staying)}",
            remedy="apply a profile with types: {} first",
        )


def _turns(card: Device, rule: VgpuRule) -> Iterator[Step]:
    if rule.scheduler is not None and rule.scheduler != _card(card).scheduler:
        yield SetVgpuScheduler(address=card.address, policy=rule.scheduler, why="the profile says so")


def _no_turns(card: Device, rule: VgpuRule, there: tuple[Made, ...]) -> Iterator[Finding]:
    """Only while no guest runs (nvml.h)."""
    if not any(_turns(card, rule)):
        return
    busy = [one.name for one in there if any(user.kind is UserKind.DOMAIN for user in one.users)]
    if _card(card).scheduler is None:
        yield Finding(
            message=f"{card.address} does not tell how its vGPUs take turns, so it cannot be changed",
            remedy="leave scheduler out",
        )
    elif busy:
        yield Finding(
            message=f"{card.address} can change how its vGPUs take turns only while no guest has one: "
            f"{', '.join(busy)}",
            remedy="gpupass detach them first, or leave scheduler out",
        )


def _params(rule: VgpuRule, made: Iterator[tuple[Device, str | None]]) -> Iterator[Step]:
    """As key=value, which the driver reads when the guest starts."""
    wanted = " ".join(f"{param.name}={param.value}" for param in rule.params)
    for vf, mdev in made:
        if set(wanted.split()) - set(_has(vf, mdev)):
            yield SetVgpuParams(address=vf.address, mdev=mdev, params=wanted, why="the profile says so")


def _has(vf: Device, mdev: str | None) -> list[str]:
    """The driver puts commas or blanks between them."""
    if mdev is not None:
        text = next((one.params for one in vf.facts.mdevs if one.uuid == mdev), "")
    else:
        text = vf.facts.vgpu.params if vf.facts.vgpu is not None else ""
    return text.replace(",", " ").split()


# ── why not ────────────────────────────────────────────────────────────────────────────────────────────────


def _unknown(host: Host, card: Device, types: list[str]) -> Iterator[Finding]:
    """A full card offers nothing: then only what it has is known."""
    known = sorted(offered(host, card) | {one.type for one in made(host, card)})
    functions = functions_of(host, card)
    if not any(vf.facts.vgpu is not None or vf.facts.mdev_types for vf in functions):
        yield Finding(
            message=f"{card.address} has no vGPUs: neither it nor its VFs have mdev_supported_types or "
            "nvidia/current_vgpu_type",
            remedy="install NVIDIA's vGPU host driver, then: gpupass show " + card.address,
        )
        return
    for name in types:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            yield Finding(
                message=f"{card.address} offers no vGPU type {name}"
                + (f", did you mean {near[0]}?" if near else ""),
                remedy=f"it offers {', '.join(known) or 'none at present'}",
            )


def _too_few(
    card: Device, seats: tuple[Device, ...], new: list[Wish], placed: tuple[tuple[Wish, Device], ...]
) -> Iterator[Finding]:
    if len(placed) < len(new):
        yield Finding(
            message=f"{card.address} has {len(seats)} VFs, and {len(new) - len(placed)} vGPUs find none",
            remedy="ask for fewer, or adopt what others made: gpupass adopt " + card.address,
        )


def _no_room(host: Host, card: Device, placed: tuple[tuple[Wish, Device], ...]) -> Iterator[Finding]:
    """A card lists what it has room for; what goes first makes room that no list tells."""
    left = offered(host, card)
    for name in dict.fromkeys(wish.type for wish, _ in placed if wish.type not in left):
        yield Finding(
            message=f"{card.address} has room for no more {name}",
            remedy=f"it offers {', '.join(sorted(left)) or 'nothing'} at present",
        )


def _foreign(card: Device, one: Made) -> Finding:
    return Finding(
        message=f"the GPU instance of {one.name} would go, and gpupass did not make its vGPU {one.type}",
        remedy=f"gpupass adopt {card.address}, or take-over: true in the rule",
    )


def _at_work(one: Made) -> bool:
    return any(user.kind in (UserKind.DOMAIN, UserKind.PROCESS) for user in one.users)


def _in_use(gone: tuple[Made, ...]) -> Iterator[Finding]:
    for one in gone:
        yield from in_use(one.name, f"{one.name} ({one.type})", one.users)


def _losses(gone: tuple[Made, ...]) -> tuple[Disruption, ...]:
    return tuple(
        Disruption(victim=one.vf.address, loses=f"its vGPU {one.type}", at_work=False) for one in gone
    )
