"""NVIDIA MIG as a way to share a GPU: from the GPU as it is to the layout of a profile, and back; pure."""

from collections.abc import Iterator

from msgspec.structs import replace

from gpupass.errors import Usage
from gpupass.method import Rules
from gpupass.methods.mig import making, words
from gpupass.methods.mig.layouts import named_layout
from gpupass.methods.mig.mode import UNTOLD
from gpupass.methods.mig.ownership import (
    Made,
    any_ours,
    foreign_findings,
    mode_is_ours,
    ours,
    outlived,
    remembered,
)
from gpupass.methods.mig.recut import Recut, in_use, plan_recut
from gpupass.methods.mig.rule import MigRule
from gpupass.model.atom import of_slices
from gpupass.model.host import NVIDIA, Device, Host, Nvidia
from gpupass.model.mark import Mark
from gpupass.model.mig import GpuInstance, LayoutEntry, MigGpu
from gpupass.model.profile import Rule
from gpupass.model.slot import Slot, SlotKind
from gpupass.model.user import User, UserKind
from gpupass.plan import NOTHING, Draft, Finding, adopt_or_take_over
from gpupass.step import Deed, Kind
from gpupass.steps.remember import Remember


def slots(host: Host, device: Device) -> Iterator[Slot]:
    """GPU instances by profile and place; their memory slices are nobody else's."""
    at = device.address
    for one in instances(device):
        atoms = of_slices(at, "memory", one.placement.slices)
        yield Slot(kind=SlotKind.MIG, device=at, of=at, part=one.name, size=one.profile, atoms=atoms)


def cut(host: Host, rules: Rules) -> Draft:
    draft = NOTHING
    for address, its in rules.items():
        device = host.device(address)
        if device is None or device.detail is None or not its:
            continue
        rule = rule_of(its)
        if rule is not None and rule.leave:
            continue
        draft += _cut(host, device, rule) if rule is not None else _uncut(host, device, its)
    return draft


def clear(host: Host, device: Device, rules: tuple[Rule, ...], step: Deed) -> Draft:
    """GPU instances that do not outlive the step go before it; a layout makes them again."""
    nvidia = device.facts.nvidia
    there = instances(device)
    if not there or nvidia is None or (Kind.INSTANCE, device.address) not in step.without:
        return NOTHING
    may = any(rule.take_over for rule in rules)
    foreign = frozenset() if may else frozenset(_foreign(host, device, there))
    going = tuple(one for one in there if one not in foreign)
    why = "which another number of virtual functions loses"
    return Draft(
        takes=tuple(end for one in going for end in making.removal(host, device, nvidia, one, step.words())),
        findings=tuple(foreign_findings(device, there, foreign, why)),
        losses=words.of_it(device, words.lost(going)),
    )


def export(host: Host, device: Device, as_rule: Rule, others: tuple[Rule, ...]) -> Rule | None:
    nvidia = device.facts.nvidia
    gpu = nvidia.mig.gpu if nvidia is not None and nvidia.mig is not None and nvidia.mig.on else None
    if gpu is None:
        return None
    return MigRule(
        name=as_rule.name, select=as_rule.select, layout=as_it_is(gpu), take_over=as_rule.take_over
    )


def unseen(host: Host, device: Device) -> bool:
    """Without root or NVML: it has GPU instances, or may have some, that nobody tells of."""
    nvidia = device.facts.nvidia
    if nvidia is None or nvidia.mig is None:
        return nvidia is not None and bool(nvidia.mig_unseen) and any_ours(host, device)
    return nvidia.mig.on and nvidia.mig.gpu is None


def adopt(host: Host, device: Device) -> Iterator[Mark]:
    names = [one.name for one in instances(device)]
    mine = ours(host, device, names)
    yield from (remembered(host, device, name) for name in names if name not in mine)


def foreign(host: Host, device: Device) -> Iterator[str]:
    names = [one.name for one in instances(device)]
    mine = ours(host, device, names)
    others = ", ".join(name for name in names if name not in mine)
    if others:
        yield f"{device.address} has {others}, which gpupass did not make"


def owner(host: Host, slot: Slot) -> str:
    device = host.device(slot.device)
    return "gpupass" if device is not None and ours(host, device, (slot.part,)) else ""


def users(host: Host, slot: Slot) -> tuple[User, ...]:
    device = host.device(slot.device)
    there = instances(device) if device is not None else ()
    return next((one.all_users for one in there if one.name == slot.part), ())


def rule_of(rules: tuple[Rule, ...]) -> MigRule | None:
    return next((rule for rule in rules if isinstance(rule, MigRule)), None)


def as_it_is(gpu: MigGpu) -> tuple[LayoutEntry, ...]:
    """Every GPU instance at its place; its compute instances where they are not the one that fills it."""

    def compute(one: GpuInstance) -> tuple[int, ...] | None:
        parts = tuple(part.placement.size for part in one.compute)
        profile = gpu.profile(one.profile)
        return None if profile is not None and parts == (profile.slices,) else parts

    return tuple(
        LayoutEntry(profile=one.profile, start=one.placement.start, compute=compute(one))
        for one in gpu.instances
    )


def instances(device: Device) -> tuple[GpuInstance, ...]:
    """As far as they were seen."""
    nvidia = device.facts.nvidia
    gpu = nvidia.mig.gpu if nvidia is not None and nvidia.mig is not None else None
    return gpu.instances if gpu is not None else ()


def layout_of(rule: MigRule, gpu: MigGpu) -> tuple[LayoutEntry, ...]:
    """Usage when the GPU has no layout of that name."""
    return named_layout(rule.layout, gpu) if isinstance(rule.layout, str) else rule.layout


# ── from here to there ─────────────────────────────────────────────────────────────────────────────────────


def _cut(host: Host, device: Device, rule: MigRule) -> Draft:
    """The mode, what is destroyed and what is made. Empty when it is so."""
    here = Draft(devices=(device.address,))
    why_not = words.supports(host, device)
    if why_not is not None:
        return here + Draft(findings=(words.cannot(device, why_not),))
    nvidia = device.facts.nvidia
    if nvidia is not None and nvidia.mig is not None and nvidia.mig.unseen == UNTOLD:
        return here + Draft(waits=(words.after_the_mode(device),))
    if nvidia is None or nvidia.mig is None or nvidia.mig.gpu is None:
        wait = f"GPU instances of {device.address}: made when the nvidia driver has it and tells of them"
        return here + Draft(waits=(wait,))
    state, gpu = nvidia.mig, nvidia.mig.gpu
    mode = making.mode(host, device, nvidia, state, True)
    held = Draft(makes=mode, findings=tuple(words.held(device, state, True)) if mode else ())
    if not gpu.profiles:  # told in MIG mode only: the layout after the next look
        return here + held + Draft(waits=(words.after_the_mode(device),))
    try:
        layout = layout_of(rule, gpu)
    except Usage as error:
        return here + Draft(
            findings=(words.named(device, Finding(message=error.message, remedy=error.hint or "")),)
        )
    return here + held + _layout(host, device, nvidia, _with_vgpus(gpu, rule), rule, layout)


def _layout(
    host: Host, device: Device, nvidia: Nvidia, gpu: MigGpu, rule: MigRule, layout: tuple[LayoutEntry, ...]
) -> Draft:
    spare = frozenset() if rule.take_over else frozenset(_foreign(host, device, gpu.instances))
    recut = plan_recut(gpu, layout, disrupt=True, spare=spare)
    if recut.refusals:
        return Draft(findings=tuple(words.named(device, finding) for finding in recut.refusals))
    if rule.bare:
        recut = _without_compute(recut)
    takes = tuple(making.removals(host, device, nvidia, gpu, recut))
    makes = tuple(making.creations(host, device, nvidia, gpu, recut))
    anew = {mark.key for step in makes for mark in step.marks}
    marks = outlived(host, device, (one.name for one in gpu.instances)) if takes or makes else ()
    gone = tuple(mark.key for mark in marks if mark.key not in anew)
    forget = Remember(address=device.address, forgets=gone, why="it is gone")
    why = "the layout has no place for"
    return Draft(
        takes=(*takes, *((forget,) if gone else ())),
        makes=makes,
        findings=(
            *foreign_findings(device, _changed(recut), spare, why),
            *(Finding(message=one.message, remedy="", fatal=False) for one in in_use(gpu, recut)),
        ),
        losses=words.of_it(device, recut.disruptions),
    )


def _uncut(host: Host, device: Device, its: tuple[Rule, ...]) -> Draft:
    """What gpupass made goes, and everything when the rule takes over; the mode is what it was before."""
    nvidia = device.facts.nvidia
    state = nvidia.mig if nvidia is not None else None
    mine = any_ours(host, device)
    if nvidia is None or state is None or state.gpu is None:
        why_not = words.supports(host, device) if mine and device.driver == NVIDIA else None
        return (
            Draft(findings=(words.cannot(device, why_not),), devices=(device.address,))
            if why_not
            else NOTHING
        )
    all_of_it = any(rule.take_over and rule.whole for rule in its)
    there = state.gpu.instances
    known = ours(host, device, (one.name for one in there))
    going = tuple(one for one in there if all_of_it or one.name in known)
    staying = tuple(one for one in there if one not in going)
    off = state.pending and not staying and (all_of_it or mode_is_ours(host, device))
    mode = making.mode(host, device, nvidia, state, False) if off else ()
    takes = (
        *(end for one in going for end in making.removal(host, device, nvidia, one, "not asked for")),
        *mode,
    )
    forgotten = {key for step in takes for key in step.forgets}
    left = tuple(
        mark.key
        for mark in host.marks_of(Made, device.address)
        if mark.key not in forgotten and (mark.part or not staying)
    )
    forget = Remember(address=device.address, forgets=left, why="nothing of it is gpupass's any more")
    told = ""
    if staying:
        names = ", ".join(one.name for one in staying)
        told = f"{device.address} has {names}, which gpupass did not make"
    elif state.pending and not off:
        told = f"{device.address} is in MIG mode, which gpupass did not switch on"
    lent = staying and any(rule.lends_whole for rule in its)
    return Draft(
        takes=(*takes, *((forget,) if left else ())),
        findings=(
            *([Finding(message=told, remedy=adopt_or_take_over(device.address))] if lent else []),
            *(words.held(device, state, False) if mode else ()),
        ),
        losses=words.of_it(device, words.lost(going)),
        foreign=(told,) if told and any(rule.for_host for rule in its) else (),
        devices=(device.address,) if takes or left else (),
    )


def _with_vgpus(gpu: MigGpu, rule: MigRule) -> MigGpu:
    """Instances that somebody of another way is on are spared for it, as if a process were."""

    def used(one: GpuInstance) -> GpuInstance:
        names = tuple(name for at, name in rule.used if at == one.id)
        more = tuple(User(kind=UserKind.PROCESS, name=name) for name in names)
        return replace(one, users=(*one.users, *more)) if more else one

    return replace(gpu, instances=tuple(map(used, gpu.instances))) if rule.used else gpu


def _without_compute(recut: Recut) -> Recut:
    """Compute instances change only together with their GPU instance's end."""
    kept = tuple(replace(one, destroyed=(), created=()) for one in recut.kept)
    created = tuple(replace(one, compute=()) for one in recut.created)
    return replace(recut, kept=kept, created=created)


def _foreign(host: Host, device: Device, there: tuple[GpuInstance, ...]) -> Iterator[GpuInstance]:
    mine = set(ours(host, device, (one.name for one in there)))
    return (one for one in there if one.name not in mine)


def _changed(recut: Recut) -> tuple[GpuInstance, ...]:
    return (*recut.destroyed, *(kept.instance for kept in recut.kept if kept.destroyed))
