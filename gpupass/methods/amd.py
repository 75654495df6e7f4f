"""AMD GPUs in parts on bare metal: compute partitions of one, the memory mode of its whole hive; pure."""

from collections.abc import Iterator

from msgspec.structs import replace

from gpupass.methods.amd_ownership import (
    Rules,
    alike,
    asking,
    first_memory,
    hive_of,
    made_by_us,
    record_of,
    remember,
    to_remember,
    whole,
)
from gpupass.model.amd import Amd
from gpupass.model.host import Device, Host
from gpupass.model.profile import HostRule, PartitionRule, PassthroughRule, Rule
from gpupass.model.slot import Slot, SlotKind
from gpupass.model.vendor import Vendor
from gpupass.plan import Disruption, Finding, Plan, in_use_by_processes
from gpupass.step import Deed
from gpupass.steps.partition import SetComputePartition, SetMemoryPartition

DRIVER = "amdgpu"
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


def slots(gpu: Device) -> Iterator[Slot]:
    amd = gpu.facts.amd
    for part in amd.partitions if amd is not None and len(amd.partitions) > 1 else ():
        size = " ".join(mode for mode in (amd.compute, amd.memory) if mode) if amd is not None else ""
        yield Slot(kind=SlotKind.PARTITION, device=gpu.address, of=gpu.address, part=part.name, size=size)


def cut(host: Host, gpu: Device, rule: PartitionRule, rules: Rules) -> Plan:
    """The modes, and before them the record of those it had; `rules` are those of the hive."""
    title = f"split {gpu.address}"
    amd = gpu.facts.amd
    untold = tuple(_untold(host, gpu))
    if untold:
        return Plan(title=title, waits=untold)
    if amd is None or amd.compute is None:
        finding = Finding(
            message=f"{gpu.address} cannot be split: its driver ({gpu.driver or 'none'}) has no partitions",
            remedy=f"an AMD Instinct GPU with {DRIVER}; gpupass show {gpu.address}",
        )
        return Plan(title=title, findings=(finding,))
    plan = _change(host, gpu, amd, rule.compute, rule.memory, rules)
    old, new = made_by_us(host, gpu), to_remember(host, gpu, amd, rule)
    if new == old or (old is None and not plan.steps):
        return replace(plan, title=title)
    record = (remember(gpu, new),)
    grows = new is not None and (old is None or new.memory is not None)
    steps = (*record, *plan.steps) if grows else (*plan.steps, *record)
    return replace(plan, title=title, steps=steps)


def uncut(host: Host, gpu: Device, rule: Rule, rules: Rules) -> Plan:
    """The modes that it had before gpupass, or those of a whole GPU when the rule takes over.

    The memory mode stays while another GPU of the hive is to have it.
    """
    title = f"unsplit {gpu.address}"
    amd, record = gpu.facts.amd, made_by_us(host, gpu)
    before = record or (whole(host, gpu) if rule.take_over else None)
    if before is None or amd is None:
        return Plan(title=title)
    untold = tuple(_untold(host, gpu))
    if untold:
        return Plan(title=title, waits=untold)
    others = asking(host, gpu, rules)
    memory = amd.memory if others else before.memory or first_memory(host, gpu) or amd.memory
    possible = amd.computes if memory == amd.memory else compute_modes(gpu, memory)
    if possible and before.compute not in possible:
        told = f"{gpu.address} cannot be {before.compute} while its hive has {memory}"
        remedy = f"use: host for {', '.join(others)}, too" if others else f"gpupass show {gpu.address}"
        finding = Finding(message=told, remedy=remedy)
        return Plan(
            title=title,
            findings=(finding,) if isinstance(rule, PassthroughRule) else (),
            foreign=(told,) if isinstance(rule, HostRule) else (),
        )
    plan = _change(host, gpu, amd, before.compute or "", memory, rules)
    forget = record is not None and before.memory in (None, memory)
    return replace(plan, title=title, steps=(*plan.steps, *([remember(gpu, None)] if forget else [])))


def left_alone(host: Host, gpu: Device) -> tuple[str, ...]:
    """Partitions that no record says gpupass has made."""
    amd = gpu.facts.amd
    count = len(amd.partitions) if amd is not None and made_by_us(host, gpu) is None else 0
    return (f"{gpu.address} is split into {count} partitions: compute: SPX ends that",) if count > 1 else ()


def goes_back_with(host: Host, gpu: Device, rule: Rule) -> tuple[Device, ...]:
    """What may be its hive, where undoing what was made of it may change the memory mode."""
    if gpu.vendor != Vendor.AMD:
        return ()
    others = alike(host, gpu)
    records = (made_by_us(host, one) for one in others)
    changed = any(record is not None and record.memory is not None for record in records)
    return others if changed or (rule.take_over and whole(host, gpu) is not None) else ()


def compute_modes(gpu: Device, memory: str | None) -> tuple[str, ...]:
    """Those that go with a memory mode; () when nobody can tell."""
    if memory is None:
        return ()
    newer = _NEWER if gpu.device in _NEWER_GPUS else {}
    return newer.get(memory, _GO_WITH.get(memory, ()))


# ── from here to there ─────────────────────────────────────────────────────────────────────────────────────


def _untold(host: Host, gpu: Device) -> Iterator[str]:
    """GPUs that amdgpu is about to have: which hive they are of shows then."""
    for one in alike(host, gpu):
        if one.facts.amd == Amd():
            yield f"{one.address} tells how it is split once {DRIVER} has it"


def _change(host: Host, gpu: Device, amd: Amd, compute: str, memory: str | None, rules: Rules) -> Plan:
    """The memory mode first: which compute modes there are depends on it."""
    steps: list[Deed] = []
    findings: list[Finding] = []
    disruptions: list[Disruption] = []
    changing: tuple[Device, ...] = (gpu,)
    memory = memory if memory not in (None, amd.memory) else None
    if memory is not None:
        changing = hive_of(host, gpu)
        findings += _memory_findings(host, gpu, amd, memory)
        disruptions += _hive_disruptions(gpu, changing, amd.memory, memory)
        addresses = tuple(device.address for device in changing)
        why = f"it has {amd.memory}; all GPUs of a hive have the same, and {DRIVER} must let go of them"
        others = tuple(device for device in changing if device != gpu)
        going_back = memory == first_memory(host, gpu)
        steps += () if going_back else _others_remembered(host, others)
        steps.append(SetMemoryPartition(addresses=addresses, mode=memory, why=why))
        steps += _others_back(host, others, memory, rules) if going_back else ()
    if memory is not None or compute != amd.compute:
        findings += _compute_findings(gpu, amd, compute, memory)
        disruptions.append(Disruption(victim=gpu.address, loses=_parts(amd), at_work=False))
        why = f"it has {amd.compute}" if memory is None and amd.compute else _CHOSEN
        steps.append(_set_compute(gpu, compute, why))
    if steps:
        findings += _in_use(changing)
    return Plan(
        title="",
        steps=tuple(steps),
        findings=tuple(findings),
        devices=tuple(device.address for device in changing),
        disruptions=tuple(disruptions),
    )


def _others_remembered(host: Host, others: tuple[Device, ...]) -> Iterator[Deed]:
    """They lose their compute modes with the memory mode."""
    for one in others:
        if made_by_us(host, one) is None and one.facts.amd is not None and one.facts.amd.compute:
            yield remember(one, record_of(host, one, one.facts.amd.compute, None))


def _others_back(host: Host, others: tuple[Device, ...], memory: str, rules: Rules) -> Iterator[Deed]:
    """Those without a rule of their own."""
    for one in others:
        record = made_by_us(host, one)
        if record is None or record.compute is None or one.address in rules:
            continue
        if record.compute in compute_modes(one, memory):
            yield _set_compute(one, record.compute, _CHOSEN)
            yield remember(one, None)


def _set_compute(gpu: Device, mode: str, why: str) -> SetComputePartition:
    return SetComputePartition(address=gpu.address, mode=mode, why=why)


def _memory_findings(host: Host, gpu: Device, amd: Amd, memory: str) -> Iterator[Finding]:
    if memory not in amd.memories:
        known = ", ".join(amd.memories) or "none that can be changed"
        yield Finding(
            message=f"{gpu.address} has no memory mode {memory}: its driver offers {known}",
            remedy=f"memory: {amd.memories[-1]}" if amd.memories else "leave memory out",
        )
    for device in alike(host, gpu) if amd.hive is not None else ():
        if device.driver != DRIVER:
            yield Finding(
                message=f"{device.address} is on {device.driver or 'no driver'}, and {gpu.address} may be of "
                "one hive with it: they change their memory mode together, under amdgpu",
                remedy=f"gpupass unbind {device.address}",
            )


def _hive_disruptions(
    gpu: Device, hive: tuple[Device, ...], old: str | None, new: str
) -> Iterator[Disruption]:
    for other in hive:
        if other != gpu and other.facts.amd is not None:
            loses = f"{_parts(other.facts.amd)}: {DRIVER} lets go of it, {old} becomes {new}"
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
    return (finding for gpu in gpus for finding in in_use_by_processes(gpu.address, gpu.users))


def _parts(amd: Amd) -> str:
    count = len(amd.partitions)
    return f"its {count} partitions" if count > 1 else "its only partition"
