"""AMD GPUs in parts on bare metal: compute partitions of one, the memory mode of its whole hive; pure."""

from collections.abc import Iterator

from msgspec.structs import replace

from gpupass.devices.hive import hive_name, hive_of
from gpupass.method import Rules
from gpupass.methods.partition.ownership import (
    Made,
    alike_gpus,
    asked_memory,
    asking,
    first_memory,
    made_by_us,
    mark_of,
    rule_of,
    to_remember,
    whole,
)
from gpupass.methods.partition.rule import COMPUTES, MEMORIES, PartitionRule
from gpupass.methods.partition.steps import SetComputePartition, SetMemoryPartition
from gpupass.model.amd import AMDGPU, Amd
from gpupass.model.host import Device, Host
from gpupass.model.mark import Mark
from gpupass.model.profile import Rule
from gpupass.model.slot import Slot, SlotKind
from gpupass.model.vendor import Vendor
from gpupass.plan import NOTHING, Disruption, Draft, Finding, in_use_by_processes
from gpupass.step import Deed
from gpupass.steps.remember import Remember

# Compute modes by memory mode (__aqua_vanjaram_get_px_mode_info in aqua_vanjaram.c). The driver tells those
# that go with the memory mode it has; of another one only this table can tell.
_GO_WITH = {
    "NPS1": ("SPX", "DPX", "TPX", "QPX", "CPX"),
    "NPS2": ("DPX",),
    "NPS4": ("TPX", "QPX", "CPX"),
}
_NEWER = {"NPS2": ("DPX", "QPX", "CPX")}  # gfx 9.5.0
_NEWER_GPUS = (0x75A0, 0x75A3)  # MI350X, MI355X
_CHOSEN = "where the driver has chosen another one"


def slots(host: Host, gpu: Device) -> Iterator[Slot]:
    amd = gpu.facts.amd
    for part in amd.partitions if amd is not None and len(amd.partitions) > 1 else ():
        size = " ".join(mode for mode in (amd.compute, amd.memory) if mode) if amd is not None else ""
        at, atoms = gpu.address, frozenset({f"partition:{gpu.address}/{part.name}"})
        yield Slot(kind=SlotKind.PARTITION, device=at, of=at, part=part.name, size=size, atoms=atoms)


def alike(host: Host, gpu: Device) -> tuple[Device, ...]:
    return alike_gpus(host, gpu) if gpu.driver == AMDGPU and gpu.is_gpu else ()


def company(host: Host, gpu: Device, rules: tuple[Rule, ...]) -> tuple[Device, ...]:
    """What may be its hive, where its rules change the memory mode, or undoing what was made of it may."""
    rule = rule_of(rules)
    if rule is not None:
        return alike_gpus(host, gpu) if rule.memory is not None else ()
    if gpu.vendor != Vendor.AMD:
        return ()
    others = alike_gpus(host, gpu)
    marks = (made_by_us(host, one) for one in others)
    changed = any(mark is not None and mark.memory is not None for mark in marks)
    take_over = any(rule.take_over for rule in rules)
    return others if changed or (take_over and whole(host, gpu) is not None) else ()


def cut(host: Host, rules: Rules) -> Draft:
    """What goes back first, then the memory modes, then the compute modes that depend on them.

    The record of what each had comes before; who loses something and has a rule of its own knows of it.
    """
    draft = NOTHING
    for phase in (_back, _memory_first, _others):
        for address, its in rules.items():
            gpu = host.device(address)
            if gpu is not None and gpu.detail is not None and its:
                one = phase(host, gpu, its, rules)
                draft += one
                host = host.after(one.steps)
    return draft + Draft(findings=tuple(_quarrels(host, rules))) if draft.steps else draft


def export(host: Host, gpu: Device, as_rule: Rule, others: tuple[Rule, ...]) -> Rule | None:
    parts = gpu.facts.amd
    if parts is None or parts.compute not in COMPUTES:
        return None
    asked = asked_memory(host, gpu)
    return PartitionRule(
        name=as_rule.name,
        select=as_rule.select,
        compute=parts.compute,
        memory=asked if asked in MEMORIES else None,
        take_over=as_rule.take_over,
    )


def adopt(host: Host, gpu: Device) -> Iterator[Mark]:
    split = whole(host, gpu)
    if split is not None and made_by_us(host, gpu) is None:
        yield split


def owner(host: Host, slot: Slot) -> str:
    gpu = host.device(slot.device)
    return "gpupass" if gpu is not None and made_by_us(host, gpu) is not None else ""


def _back(host: Host, gpu: Device, its: tuple[Rule, ...], rules: Rules) -> Draft:
    """While its driver still has it."""
    if rule_of(its) is not None:
        return NOTHING
    draft = _uncut(host, gpu, its, rules)
    left = NOTHING if draft.steps else _left_alone(host, gpu, its)
    return replace(draft, takes=draft.makes, makes=()) + left


def _memory_first(host: Host, gpu: Device, its: tuple[Rule, ...], rules: Rules) -> Draft:
    rule = rule_of(its)
    return _cut(host, gpu, rule, rules) if rule is not None and rule.memory is not None else NOTHING


def _others(host: Host, gpu: Device, its: tuple[Rule, ...], rules: Rules) -> Draft:
    rule = rule_of(its)
    return _cut(host, gpu, rule, rules) if rule is not None and rule.memory is None else NOTHING


def _cut(host: Host, gpu: Device, rule: PartitionRule, rules: Rules) -> Draft:
    """The modes, and with them the mark of those it had."""
    amd = gpu.facts.amd
    untold = tuple(_untold(host, gpu))
    if untold:
        return Draft(waits=untold)
    if amd is None or amd.compute is None:
        finding = Finding(
            message=f"{gpu.address} cannot be split: its driver ({gpu.driver or 'none'}) has no partitions",
            remedy=f"an AMD Instinct GPU with {AMDGPU}; gpupass show {gpu.address}",
        )
        return Draft(findings=(finding,))
    old, new = made_by_us(host, gpu), to_remember(host, gpu, amd, rule)
    grows = new is not None and new != old
    mark = (new,) if new is not None and grows else ()
    forgets = (old,) if old is not None and new is None else ()
    draft = _change(host, gpu, amd, rule.compute, rule.memory, rules, mark, forgets)
    if draft.steps or not (mark or forgets) or (old is None and not draft.steps):
        return draft
    known = tuple(one.key for one in forgets)
    return draft + Draft(makes=(Remember(address=gpu.address, marks=mark, forgets=known),))


def _uncut(host: Host, gpu: Device, its: tuple[Rule, ...], rules: Rules) -> Draft:
    """The modes that it had before gpupass, or those of a whole GPU when the rule takes over.

    The memory mode stays while another GPU of the hive is to have it.
    """
    amd, mark = gpu.facts.amd, made_by_us(host, gpu)
    before = mark or (whole(host, gpu) if any(rule.take_over for rule in its) else None)
    if before is None or amd is None:
        return NOTHING
    untold = tuple(_untold(host, gpu))
    if untold:
        return Draft(waits=untold)
    others = asking(host, gpu, rules)
    memory = amd.memory if others else before.memory or first_memory(host, gpu) or amd.memory
    possible = amd.computes if memory == amd.memory else compute_modes(gpu, memory)
    if possible and before.compute not in possible:
        told = f"{gpu.address} cannot be {before.compute} while its hive has {memory}"
        remedy = f"use: host for {', '.join(others)}, too" if others else f"gpupass show {gpu.address}"
        finding = Finding(message=told, remedy=remedy)
        return Draft(
            findings=(finding,) if any(rule.lends_whole for rule in its) else (),
            foreign=(told,) if any(rule.for_host for rule in its) else (),
        )
    forgets = (mark,) if mark is not None and mark.memory in (None, memory) else ()
    draft = _change(host, gpu, amd, before.compute or "", memory, rules, (), forgets)
    if draft.steps or not forgets:
        return draft
    return draft + Draft(makes=(Remember(address=gpu.address, forgets=(forgets[0].key,)),))


def _left_alone(host: Host, gpu: Device, its: tuple[Rule, ...]) -> Draft:
    """Partitions that no mark says gpupass has made."""
    amd = gpu.facts.amd
    ours = made_by_us(host, gpu) is not None
    if amd is None or ours or len(amd.partitions) < 2 or not any(rule.for_host for rule in its):
        return NOTHING
    told = f"{gpu.address} is split into {len(amd.partitions)} partitions: compute: SPX ends that"
    return Draft(foreign=(told,))


def _quarrels(host: Host, rules: Rules) -> Iterator[Finding]:
    """A hive has one memory mode."""
    asking_it: dict[str, tuple[PartitionRule, str]] = {}
    for address, its in rules.items():
        rule, gpu = rule_of(its), host.device(address)
        hive = hive_name(gpu) if gpu is not None else None
        if rule is None or rule.memory is None or hive is None:
            continue
        other, memory = asking_it.setdefault(hive, (rule, rule.memory))
        if memory != rule.memory:
            yield Finding(
                message=f"{other.name} and {rule.name} are of one hive, which cannot have {memory} and "
                f"{rule.memory} at once",
                remedy="the same memory in both rules, or in one only",
            )


def compute_modes(gpu: Device, memory: str | None) -> tuple[str, ...]:
    """Those that go with a memory mode; () when nobody can tell."""
    if memory is None:
        return ()
    newer = _NEWER if gpu.device in _NEWER_GPUS else {}
    return newer.get(memory, _GO_WITH.get(memory, ()))


# ── from here to there ─────────────────────────────────────────────────────────────────────────────────────


def _untold(host: Host, gpu: Device) -> Iterator[str]:
    """GPUs that amdgpu is about to have: which hive they are of shows then."""
    for one in alike_gpus(host, gpu):
        if one.facts.amd == Amd():
            yield f"{one.address} tells how it is split once {AMDGPU} has it"


def _change(
    host: Host,
    gpu: Device,
    amd: Amd,
    compute: str,
    memory: str | None,
    rules: Rules,
    marks: tuple[Made, ...],
    forgets: tuple[Made, ...],
) -> Draft:
    """The memory mode first: which compute modes there are depends on it."""
    makes: list[Deed] = []
    findings: list[Finding] = []
    losses: list[Disruption] = []
    changing: tuple[Device, ...] = (gpu,)
    memory = memory if memory not in (None, amd.memory) else None
    if memory is not None:
        changing = hive_of(host, gpu)
        findings += _memory_findings(host, gpu, amd, memory)
        losses += _hive_losses(gpu, changing, amd.memory, memory, rules)
        others = tuple(device for device in changing if device != gpu)
        going_back = memory == first_memory(host, gpu)
        along = () if going_back else tuple(_others_remembered(host, others))
        makes.append(
            SetMemoryPartition(
                addresses=tuple(device.address for device in changing),
                mode=memory,
                marks=(*along, *marks),
                why=f"it has {amd.memory}; a hive has one for all its GPUs, and {AMDGPU} must let go of them",
            )
        )
        makes += _others_back(host, others, memory, rules) if going_back else ()
    if memory is not None or compute != amd.compute:
        findings += _compute_findings(gpu, amd, compute, memory)
        losses.append(Disruption(victim=gpu.address, loses=_parts(amd), at_work=False))
        why = f"it has {amd.compute}" if memory is None and amd.compute else _CHOSEN
        makes.append(_set_compute(gpu, compute, why, () if memory is not None else marks, forgets))
    if makes:
        findings += _in_use(changing)
    return Draft(
        makes=tuple(makes),
        findings=tuple(findings),
        losses=tuple(losses),
        devices=tuple(device.address for device in changing),
    )


def _others_remembered(host: Host, others: tuple[Device, ...]) -> Iterator[Made]:
    """They lose their compute modes with the memory mode."""
    for one in others:
        if made_by_us(host, one) is None and one.facts.amd is not None and one.facts.amd.compute:
            yield mark_of(host, one, one.facts.amd.compute, None)


def _others_back(host: Host, others: tuple[Device, ...], memory: str, rules: Rules) -> Iterator[Deed]:
    """Those without a rule of their own."""
    for one in others:
        mark = made_by_us(host, one)
        if mark is None or mark.compute is None or rules.get(one.address):
            continue
        if mark.compute in compute_modes(one, memory):
            yield _set_compute(one, mark.compute, _CHOSEN, (), (mark,))


def _set_compute(
    gpu: Device, mode: str, why: str, marks: tuple[Made, ...], forgets: tuple[Made, ...]
) -> SetComputePartition:
    known = tuple(mark.key for mark in forgets)
    return SetComputePartition(address=gpu.address, mode=mode, marks=marks, forgets=known, why=why)


def _memory_findings(host: Host, gpu: Device, amd: Amd, memory: str) -> Iterator[Finding]:
    if memory not in amd.memories:
        known = ", ".join(amd.memories) or "none that can be changed"
        yield Finding(
            message=f"{gpu.address} has no memory mode {memory}: its driver offers {known}",
            remedy=f"memory: {amd.memories[-1]}" if amd.memories else "leave memory out",
        )
    for device in alike_gpus(host, gpu) if amd.hive is not None else ():
        if device.driver != AMDGPU:
            yield Finding(
                message=f"{device.address} is on {device.driver or 'no driver'}, and {gpu.address} may be of "
                "one hive with it: they change their memory mode together, under amdgpu",
                remedy=f"gpupass unbind {device.address}",
            )


def _hive_losses(
    gpu: Device, hive: tuple[Device, ...], old: str | None, new: str, rules: Rules
) -> Iterator[Disruption]:
    """Of those that have no rule of the same kind: these know of it."""
    for other in hive:
        told = rule_of(rules.get(other.address, ())) is not None
        if other != gpu and other.facts.amd is not None and not told:
            loses = f"{_parts(other.facts.amd)}: {AMDGPU} lets go of it, {old} becomes {new}"
            yield Disruption(victim=other.address, loses=loses)


def _compute_findings(gpu: Device, amd: Amd, compute: str, memory: str | None) -> Iterator[Finding]:
    possible = compute_modes(gpu, memory) if memory is not None else amd.computes
    if not possible or compute in possible:
        return
    others = [mode for mode in amd.memories if compute in compute_modes(gpu, mode)]
    yield Finding(
        message=f"{gpu.address} cannot be {compute} with {memory or amd.memory}: "
        f"that goes with {', '.join(possible)}",
        remedy=f"memory: {others[0]}" if others else f"compute: {possible[0]}",
    )


def _in_use(gpus: tuple[Device, ...]) -> Iterator[Finding]:
    """amdgpu refuses (EBUSY) while a process has a compute context; an unbind may wait for it for ever."""
    for gpu in gpus:
        yield from in_use_by_processes(gpu.address, gpu.users)


def _parts(amd: Amd) -> str:
    count = len(amd.partitions)
    return f"its {count} partitions" if count > 1 else "its only partition"
