"""NVIDIA vGPU: so many of each type on one card, by whichever framework its driver offers; pure.

A VF with `nvidia/current_vgpu_type` is of the vendor-specific framework and stays with its driver, one with
`mdev_supported_types` of the mediated one; cards without SR-IOV have that on the GPU itself. What the files
say decides, no model and no kernel version. Types on GPU instances leave compute instances to their guests,
who make their own (NVIDIA AI Enterprise, MIG-backed vGPU).
"""

from collections.abc import Iterable, Iterator
from itertools import count

from msgspec.structs import replace

from gpupass.devices import mediated
from gpupass.method import Rules
from gpupass.methods.mig.rule import MigRule
from gpupass.methods.sriov.rule import SriovRule, Vf
from gpupass.methods.vgpu import backed, check, making
from gpupass.methods.vgpu.made import (
    Made,
    There,
    Wish,
    card_state,
    functions_of,
    made,
    made_by_us,
    on_itself,
    supported,
    tells,
)
from gpupass.methods.vgpu.rule import VgpuParam, VgpuRule
from gpupass.model.host import NVIDIA, Device, Host, Vgpu
from gpupass.model.mark import Mark
from gpupass.model.profile import Rule
from gpupass.model.slot import Slot
from gpupass.model.types import counted
from gpupass.model.user import User
from gpupass.model.vgpu_types import memory
from gpupass.plan import NOTHING, Draft, Finding
from gpupass.step import Deed, Kind
from gpupass.steps.remember import Remember

_CUTS = {Kind.INSTANCE, Kind.MIG_MODE}


def asks(host: Host, card: Device, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """VFs of the card's driver, and GPU instances where the types are on such."""
    rule = rule_of(rules)
    if rule is None:
        return ()
    return (*_functions(host, card, rule), *backed.instances(host, card, rule, _staying(host, card, rule)))


def cut(host: Host, rules: Rules) -> Draft:
    draft = NOTHING
    for address, its in rules.items():
        card = host.device(address)
        if card is None or card.detail is None or card.physfn is not None or not its:
            continue
        rule = rule_of(its)
        draft += _cut(host, card, rule) if rule is not None else _uncut(host, card, its)
    return draft


def clear(host: Host, card: Device, rules: tuple[Rule, ...], step: Deed) -> Draft:
    """No functions go and no mode changes beside a vGPU, and no GPU instance goes under one."""
    if card.physfn is not None or card.detail is None or on_itself(card):
        return NOTHING
    take_over = any(rule.take_over for rule in rules)
    there = made(host, card)
    if (Kind.CUT, card.address) in step.without and step.beside:
        going = _smallest_first(one for one in there if _ours(one, take_over))
        left = tuple(one for one in there if one not in going)
        forgotten = (Kind.MIXED, card.address) in step.without and not left
        plain = tuple(making.plain(card)) if forgotten else ()
        return _gone(host, card, going, left, step.beside, plain)
    ended = backed.ended_by(card, step)
    if not ended:
        return NOTHING
    kept = _kept(rule_of(rules), there)
    near = tuple(one for one in there if one.mdev is not None or one not in kept or one.instance in ended)
    going = _smallest_first(
        one for one in near if _ours(one, take_over) and not (one in kept and one.at_work)
    )
    left = tuple(one for one in near if one not in going and one.instance in ended)
    return _gone(host, card, going, left, step.beside, ())


def seen_after(device: Device, step: Deed) -> Device:
    """What a function offers shows when it has its driver, and depends on the GPU instances of its card."""
    if device.physfn is None or device.detail is None:
        return device
    vgpu, card = device.detail.vgpu, device.physfn
    cut = _CUTS & {kind for kind, at in step.gives | step.ends if at == card}
    if cut and device.detail.mdev_types:  # there may be room for any of them then
        types = tuple(replace(kind, available=max(kind.available, 1)) for kind in device.detail.mdev_types)
        return replace(device, detail=replace(device.detail, mdev_types=types))
    if {(Kind.VFS, card), (Kind.DRIVER, device.address)} & step.gives:
        hidden = Vgpu(told=False) if device.driver in (None, NVIDIA) else None
    elif vgpu is not None and not vgpu.current and cut:
        hidden = replace(vgpu, creatable=(), told=False)
    else:
        return device
    return replace(device, detail=replace(device.detail, vgpu=hidden))


def renew(host: Host, slot: Slot) -> Draft:
    vf = host.device(slot.device)
    if vf is None or slot.mdev is None:
        return making.anew(host, vf) if vf is not None else NOTHING
    mdev = next((one for one in vf.facts.mdevs if one.uuid == slot.mdev), None)
    ours = mediated.made_by_us(host, vf, slot.mdev) is not None
    return mediated.anew(vf, mdev) if mdev is not None and ours else NOTHING


def lend_findings(host: Host, slot: Slot) -> Iterator[Finding]:
    vf = host.device(slot.device)
    return check.lend_findings(host, vf) if vf is not None else iter(())


def export(host: Host, card: Device, as_rule: Rule, others: tuple[Rule, ...]) -> Rule | None:
    """Also GPU instances beside virtual functions: these are for vGPUs to come."""
    if card.facts.mdev_types and card.facts.nvidia is None:
        return None
    there = made(host, card)
    layout = next((rule.layout for rule in others if isinstance(rule, MigRule)), None)
    functions = any(isinstance(rule, SriovRule) for rule in others)
    if not there and (layout is None or not functions):
        return None
    return VgpuRule(
        name=as_rule.name,
        select=as_rule.select,
        types=counted([one.type for one in there]),
        layout=layout,
        params=_params(there),
        scheduler=card_state(card).scheduler if there else None,
        take_over=as_rule.take_over,
    )


def adopt(host: Host, card: Device) -> Iterator[Mark]:
    if card.facts.mdev_types and card.facts.nvidia is None:
        return
    there = made(host, card)
    taken = {one.mark.name for one in there if one.mark is not None}
    for one in there:
        if one.mark is not None:
            continue
        name = next(name for name in (f"{one.type}-{number}" for number in count()) if name not in taken)
        taken.add(name)
        if one.uuid is None:
            yield Made(carrier=one.vf.address, name=name, type=one.type, boot_id=host.boot_id)
        else:
            yield mediated.remembered(host, one.vf, one.uuid, name, one.type)


def foreign(host: Host, device: Device) -> Iterator[str]:
    vgpu = device.facts.vgpu
    if vgpu is not None and vgpu.current and made_by_us(host, device) is None:
        yield f"{device.address} is a vGPU that gpupass did not make"


def owner(host: Host, slot: Slot) -> str:
    vf = host.device(slot.device)
    if vf is None:
        return ""
    mark = made_by_us(host, vf) if slot.mdev is None else mediated.made_by_us(host, vf, slot.mdev)
    if mark is not None:
        return "gpupass"
    return "mdevctl" if any(one.uuid == slot.mdev and one.defined for one in vf.facts.mdevs) else ""


def users(host: Host, slot: Slot) -> tuple[User, ...]:
    vf = host.device(slot.device)
    if vf is None or slot.mdev is None:
        return vf.users if vf is not None else ()
    return next((mdev.users for mdev in vf.facts.mdevs if mdev.uuid == slot.mdev), ())


def carries(host: Host, card: Device, slot: Slot) -> bool:
    """Is a vGPU on this GPU instance, also one without a guest? A mediated one does not tell where it is."""
    return any(one.instance in backed.ids_of(card, slot.part) for one in made(host, card))


def rule_of(rules: tuple[Rule, ...]) -> VgpuRule | None:
    return next((rule for rule in rules if isinstance(rule, VgpuRule)), None)


# ── from here to there ─────────────────────────────────────────────────────────────────────────────────────


def _cut(host: Host, card: Device, rule: VgpuRule) -> Draft:
    """VFs and GPU instances first: types can be told only when they are there."""
    wishes = _wishes(rule)
    here = Draft(devices=(card.address,))
    wrong = (*_unknown(host, card, wishes), *backed.mistakes(card, rule), *_too_many(card, wishes))
    if wrong:
        return here + Draft(findings=wrong)
    wait = _not_yet(host, card, rule, wishes)
    if wait:
        return here + Draft(waits=(wait,))
    seats = functions_of(host, card)
    unknown = tuple(check.unknown(host, card, sorted({wish.type for wish in wishes})))
    if unknown:
        return here + Draft(findings=unknown)
    there = made(host, card)
    kept = dict(_matched(rule, there))
    missing = len(kept) < len(wishes)
    may = all(_may_go(one, rule.take_over) for one in there)
    if missing and making.shares_otherwise(card, wishes) and may:
        kept = {}
    going = _smallest_first(one for one in there if one not in kept.values() and _ours(one, rule.take_over))
    left = tuple(one for one in there if one not in going and one not in kept.values())
    free = [vf for vf in seats if tells(vf) and all(one.vf != vf for one in (*left, *kept.values()))]
    new = sorted(
        (wish for wish in wishes if wish not in kept), key=lambda wish: (-memory(wish.type), wish.part)
    )
    placed = tuple(zip(new, free if card.facts.sriov is not None else [card] * len(new), strict=False))
    named = (
        Remember(
            address=one.vf.address,
            marks=(making.remembered(host, rule, one.vf, wish, one.uuid),),
            why="as the profile calls it",
        )
        for wish, one in kept.items()
        if _told_otherwise(rule, wish, one)
    )
    return Draft(
        takes=tuple(step for one in going for step in making.removal(host, one)),
        makes=(
            *(making.sharing(card, wishes) if missing and not left and not kept else ()),
            *making.turns(card, rule),
            *(making.creation(host, rule, vf, wish) for wish, vf in placed),
            *named,
            *(step for one in kept.values() for step in making.params(rule, one)),
            *making.first_params(host, rule, placed),
        ),
        findings=(
            *check.used(going),
            *check.too_few(card, seats, new, placed),
            *(() if going else check.no_room(host, card, placed)),
            *check.mixture(card, wishes, (*left, *kept.values())),
            *check.no_turns(card, rule, there),
            *check.no_params(rule, kept.values()),
        ),
        devices=(card.address, *(vf.address for vf in seats if vf != card)),
        losses=check.losses(going),
        foreign=tuple(f"{one.name} is a vGPU {one.type} that gpupass did not make" for one in left),
    )


def _uncut(host: Host, card: Device, its: tuple[Rule, ...]) -> Draft:
    """None of those that gpupass made on VFs; on a card itself they are mediated devices like others."""
    take_over = any(rule.take_over for rule in its)
    there = made(host, card) if not on_itself(card) else ()
    going = _smallest_first(one for one in there if _ours(one, take_over))
    return _gone(host, card, going, (), "", ())


def _gone(
    host: Host,
    card: Device,
    going: tuple[There, ...],
    left: tuple[There, ...],
    beside: str,
    plain: tuple[Deed, ...],
) -> Draft:
    return Draft(
        takes=(*(step for one in going for step in making.removal(host, one)), *plain),
        findings=(*check.used(going), *(check.beside(card, left, beside) if beside else ())),
        devices=tuple(dict.fromkeys(one.vf.address for one in going)),
        losses=check.losses(going),
    )


def _functions(host: Host, card: Device, rule: VgpuRule) -> Iterator[SriovRule]:
    """As many as are wanted, or more where there are; those that were made for something else have another
    driver, or none, and tell nothing of vGPUs.
    """
    sriov, wanted = card.facts.sriov, len(_wishes(rule))
    if sriov is None or card.facts.mdev_types:
        return
    count = sriov.total if host.sriov_manage else wanted
    vfs = sriov.enabled if sriov.enabled >= wanted or wanted > sriov.total else count
    told = sum(map(tells, functions_of(host, card))) >= wanted
    driven = card.driver == NVIDIA and sriov.enabled >= wanted and not told
    yield SriovRule(
        name=rule.name,
        select=rule.select,
        take_over=rule.take_over,
        vfs=vfs,
        vf=Vf(driver=NVIDIA, autoprobe=sriov.autoprobe),
        driven=driven,
    )


def _unknown(host: Host, card: Device, wishes: tuple[Wish, ...]) -> tuple[Finding, ...]:
    """By what NVML tells, whether there are functions or not."""
    told = {kind.name for kind in supported(card)}
    telling = (vf for vf in functions_of(host, card) if vf.facts.mdev_types or making.told(vf))
    enough = len(tuple(telling)) >= len(wishes)
    if not told or enough or all(wish.type in told for wish in wishes):
        return ()
    return tuple(check.unknown_types(card, sorted({wish.type for wish in wishes}), sorted(told)))


def _too_many(card: Device, wishes: tuple[Wish, ...]) -> tuple[Finding, ...]:
    sriov = card.facts.sriov
    if sriov is None or card.facts.mdev_types or len(wishes) <= max(sriov.total, sriov.enabled):
        return ()
    finding = Finding(
        message=f"{card.address} can have {sriov.total} vGPUs at most, one on each VF, not {len(wishes)}",
        remedy="ask for fewer",
    )
    return (finding,)


def _not_yet(host: Host, card: Device, rule: VgpuRule, wishes: tuple[Wish, ...]) -> str:
    """Why its types cannot be told before another look; ""."""
    names = ", ".join(f"{one.count} {one.type}" for one in rule.types if one.count)
    sriov = card.facts.sriov
    if sriov is None or card.facts.mdev_types or not wishes:
        return ""
    functions = functions_of(host, card)
    untold = any(vf.facts.vgpu is not None and not making.told(vf) for vf in functions)
    if len(functions) < len(wishes) or (untold and rule.layout is None):
        return f"{names} of {card.address}: made when its VFs are there, which tell their types"
    if untold:
        return f"vGPUs of {card.address}: made when its GPU instances are there, which tell their types"
    return ""


def _staying(host: Host, card: Device, rule: VgpuRule) -> tuple[There, ...]:
    """Those that somebody has, or that gpupass may not touch."""
    return tuple(one for one in made(host, card) if not _may_go(one, rule.take_over))


def _kept(rule: VgpuRule | None, there: tuple[There, ...]) -> tuple[There, ...]:
    return tuple(dict(_matched(rule, there)).values()) if rule is not None else ()


def _wishes(rule: VgpuRule) -> tuple[Wish, ...]:
    return tuple(Wish(part=part, type=one.type) for one in rule.types for part in one.parts)


def _params(there: tuple[There, ...]) -> tuple[VgpuParam, ...]:
    """What all of them were told."""
    told = [one.told for one in there]
    common = (pair for pair in told[0] if all(pair in other for other in told)) if told else ()
    return tuple(VgpuParam(name=name, value=value) for name, _, value in (p.partition("=") for p in common))


def _smallest_first(vgpus: Iterable[There]) -> tuple[There, ...]:
    """Undone in the order that leaves no gaps: the largest are made first."""
    return tuple(sorted(vgpus, key=lambda one: memory(one.type)))


def _matched(rule: VgpuRule, there: tuple[There, ...]) -> Iterator[tuple[Wish, There]]:
    """Those that stay: under their name where they have one, else any of the type, used ones first.

    What others made goes last of all, where it may go.
    """
    left = sorted(there, key=lambda one: ((one.mark is None) is not rule.take_over, not one.at_work))
    open_wishes = list(_wishes(rule))
    for fits in (_by_name, _by_type):
        for wish in tuple(open_wishes):
            found = next((one for one in left if fits(wish, one)), None)
            if found is not None:
                left.remove(found)
                open_wishes.remove(wish)
                yield wish, found


def _by_name(wish: Wish, one: There) -> bool:
    return one.mark is not None and (one.mark.name, one.type) == (wish.part, wish.type)


def _by_type(wish: Wish, one: There) -> bool:
    return one.type == wish.type


def _told_otherwise(rule: VgpuRule, wish: Wish, one: There) -> bool:
    """By its record it has another name, or other params."""
    wanted = (wish.part, making.wanted_params(rule))
    return one.mark is not None and (one.mark.name, one.mark.params) != wanted


def _ours(one: There, take_over: bool) -> bool:
    return one.mark is not None or take_over


def _may_go(one: There, take_over: bool) -> bool:
    return not one.at_work and _ours(one, take_over)
