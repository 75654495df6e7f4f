"""NVIDIA vGPU: so many of each type on one card, by whichever framework its driver offers; pure.

A VF with `nvidia/current_vgpu_type` is of the vendor-specific framework and stays with its driver, one with
`mdev_supported_types` of the mediated one; cards without SR-IOV have that on the GPU itself. What the files
say decides, no model and no kernel version.
"""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from gpupass.methods import vgpu_check, vgpu_steps
from gpupass.methods.sriov import made_by_us, plan_vf_drivers, plan_vfs
from gpupass.methods.vgpu_made import Made, Wish, functions_of, made, on_itself, supported, tells
from gpupass.model.host import Device, Host
from gpupass.model.profile import Rule, Vf, VgpuRule
from gpupass.model.vgpu_types import memory
from gpupass.plan import Finding, Plan

NVIDIA = "nvidia"
ITS_FUNCTIONS = "its virtual functions cannot go"
ITS_MODE = "its MIG mode cannot change"


def cut(host: Host, card: Device, rule: VgpuRule) -> Plan:
    """VFs first; their types can be told only when they are there."""
    title = f"make vGPUs of {card.address}"
    wishes = _wishes(rule)
    vfs = functions(host, card, rule)
    told = {kind.name for kind in supported(card)}
    if told and vfs is not None and any(wish.type not in told for wish in wishes):
        unknown = tuple(vgpu_check.unknown_types(card, sorted({wish.type for wish in wishes}), sorted(told)))
        return Plan(title=title, findings=unknown, devices=(card.address,))
    if vfs is not None:
        first = uncut(host, card, rule, alone=ITS_FUNCTIONS)
        return replace(
            vfs,
            steps=(*first.steps, *vfs.steps),
            findings=(*first.findings, *vfs.findings),
            disruptions=(*first.disruptions, *vfs.disruptions),
        )
    seats = functions_of(host, card)
    unknown = tuple(vgpu_check.unknown(host, card, sorted({wish.type for wish in wishes})))
    if unknown:
        return Plan(title=title, findings=unknown, devices=(card.address,))
    there = made(host, card)
    kept = dict(_matched(rule, there))
    missing = len(kept) < len(wishes)
    if missing and vgpu_steps.shares_otherwise(card, wishes) and all(_may_go(one, rule) for one in there):
        kept = {}
    gone = _smallest_first(one for one in there if one not in kept.values() and _ours(one, rule))
    left = tuple(one for one in there if one not in gone and one not in kept.values())
    free = [vf for vf in seats if tells(vf) and all(one.vf != vf for one in (*left, *kept.values()))]
    new = sorted(
        (wish for wish in wishes if wish not in kept), key=lambda wish: (-memory(wish.type), wish.part)
    )
    placed = tuple(zip(new, free if card.facts.sriov is not None else [card] * len(new), strict=False))
    return Plan(
        title=title,
        steps=(
            *(step for one in gone for step in vgpu_steps.removal(host, one)),
            *(vgpu_steps.sharing(card, wishes) if missing and not left and not kept else ()),
            *vgpu_steps.turns(card, rule),
            *(step for wish, vf in placed for step in vgpu_steps.creation(host, rule, vf, wish)),
            *(
                vgpu_steps.remember(host, rule, one.vf, wish, one.mdev)
                for wish, one in kept.items()
                if _told_otherwise(rule, wish, one)
            ),
            *(step for one in kept.values() for step in vgpu_steps.params(rule, one)),
            *(step for wish, vf in placed for step in vgpu_steps.first_params(host, rule, vf, wish)),
        ),
        findings=(
            *vgpu_check.used(gone),
            *vgpu_check.too_few(card, seats, new, placed),
            *(() if gone else vgpu_check.no_room(host, card, placed)),
            *vgpu_check.mixture(card, wishes, (*left, *kept.values())),
            *vgpu_check.no_turns(card, rule, there),
            *vgpu_check.no_params(rule, kept.values()),
        ),
        devices=(card.address, *(vf.address for vf in seats if vf != card)),
        disruptions=vgpu_check.losses(gone),
        foreign=tuple(f"{one.name} is a vGPU {one.type} that gpupass did not make" for one in left),
    )


def functions(host: Host, card: Device, rule: VgpuRule) -> Plan | None:
    """What makes the VFs that are missing, or gives them their driver; None: there are enough."""
    vfs, when = _enough_vfs(host, card, rule, len(_wishes(rule))), "are there"
    if not vfs.steps and not vfs.findings:
        vfs, when = _driven_vfs(host, card, rule, len(_wishes(rule))), "have their driver"
    if not vfs.steps and not vfs.findings:
        return None
    names = ", ".join(f"{count.count} {count.type}" for count in rule.types if count.count)
    waits = (f"{names} of {card.address}: made when its VFs {when}, which tell their types",)
    return replace(vfs, title=f"make vGPUs of {card.address}", waits=waits)


def uncut(host: Host, card: Device, rule: Rule, alone: str = "") -> Plan:
    """None of those that gpupass made on VFs; on a card itself they are mediated devices like others.

    `alone` is what cannot be while any vGPU is left; then what the card has for all of them goes, too.
    """
    there = made(host, card) if not on_itself(card) else ()
    gone = _smallest_first(one for one in there if _ours(one, rule))
    left = tuple(one for one in there if one not in gone)
    plain = vgpu_steps.plain(card) if alone and host.sriov_manage and not left else ()
    return Plan(
        title=f"remove the vGPUs of {card.address}",
        steps=(*(step for one in gone for step in vgpu_steps.removal(host, one)), *plain),
        findings=(*vgpu_check.used(gone), *(vgpu_check.beside(card, left, alone) if alone else ())),
        devices=tuple(dict.fromkeys(one.vf.address for one in gone)),
        disruptions=vgpu_check.losses(gone),
    )


def making_way(host: Host, card: Device, rule: VgpuRule, instances: frozenset[int]) -> Plan:
    """Those that are in the way when these GPU instances go; a mediated one does not tell where it is."""
    kept = dict(_matched(rule, made(host, card))).values()
    there = tuple(
        one
        for one in made(host, card)
        if one.mdev is not None or one not in kept or one.instance in instances
    )
    gone = _smallest_first(one for one in there if _ours(one, rule) and not (one in kept and one.at_work))
    left = tuple(one for one in there if one not in gone and one.instance in instances)
    return Plan(
        title=f"remove the vGPUs of {card.address}",
        steps=tuple(step for one in gone for step in vgpu_steps.removal(host, one)),
        findings=(*vgpu_check.used(gone), *vgpu_check.beside(card, left, "a GPU instance cannot go")),
        devices=tuple(dict.fromkeys(one.vf.address for one in gone)),
        disruptions=vgpu_check.losses(gone),
    )


def staying(host: Host, card: Device, rule: VgpuRule) -> tuple[Made, ...]:
    """Those that somebody has, or that gpupass may not touch."""
    return tuple(one for one in made(host, card) if not _may_go(one, rule))


def _wishes(rule: VgpuRule) -> tuple[Wish, ...]:
    return tuple(Wish(part=part, type=count.type) for count in rule.types for part in count.parts)


def _smallest_first(vgpus: Iterable[Made]) -> tuple[Made, ...]:
    """Undone in the order that leaves no gaps: the largest are made first."""
    return tuple(sorted(vgpus, key=lambda one: memory(one.type)))


# ── from here to there ─────────────────────────────────────────────────────────────────────────────────────


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


def _driven_vfs(host: Host, card: Device, rule: VgpuRule, wanted: int) -> Plan:
    """VFs that were made for something else have another driver, or none, and tell nothing of vGPUs."""
    if card.facts.sriov is None or card.facts.mdev_types or card.driver != NVIDIA:
        return Plan(title="")
    if sum(map(tells, functions_of(host, card))) >= wanted:
        return Plan(title="")
    return plan_vf_drivers(host, card, Vf(driver=NVIDIA), rule.take_over)


def _matched(rule: VgpuRule, there: tuple[Made, ...]) -> Iterator[tuple[Wish, Made]]:
    """Those that stay: under their name where they have one, else any of the type, used ones first.

    What others made goes last of all, where it may go.
    """
    left = sorted(there, key=lambda one: ((one.record is None) is not rule.take_over, not one.at_work))
    open_wishes = list(_wishes(rule))
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


def _told_otherwise(rule: VgpuRule, wish: Wish, one: Made) -> bool:
    """By its record it has another name, or other params."""
    wanted = (wish.part, vgpu_steps.wanted_params(rule))
    return one.record is not None and (one.record.part, one.record.params) != wanted


def _ours(one: Made, rule: Rule) -> bool:
    return one.record is not None or rule.take_over


def _may_go(one: Made, rule: Rule) -> bool:
    return not one.at_work and _ours(one, rule)
