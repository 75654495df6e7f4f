"""AMD GPUs in parts on bare metal: compute partitions of one, the memory mode of its whole hive; pure."""

from collections.abc import Iterator

from gpupass.model.amd import Amd
from gpupass.model.host import Device, Host
from gpupass.model.plan import Disruption, Finding, Plan
from gpupass.model.profile import PartitionRule
from gpupass.model.slot import Slot, SlotKind
from gpupass.model.step import SetAttribute, SetMemoryPartition, Step
from gpupass.model.user import UserKind

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


def hive_of(host: Host, gpu: Device) -> tuple[Device, ...]:
    """The GPUs that change their memory mode together, itself included."""
    hive = hive_name(gpu)
    return (gpu,) if hive is None else tuple(d for d in host.devices if hive_name(d) == hive)


def hive_name(device: Device) -> str | None:
    """None: a GPU by itself, or none that can be told of."""
    amd = device.detail.amd if device.detail is not None else None
    return amd.hive if amd is not None else None


def slots(gpu: Device) -> Iterator[Slot]:
    amd = gpu.facts.amd
    for part in amd.partitions if amd is not None and len(amd.partitions) > 1 else ():
        size = " ".join(mode for mode in (amd.compute, amd.memory) if mode) if amd is not None else ""
        yield Slot(kind=SlotKind.PARTITION, device=gpu.address, of=gpu.address, part=part.name, size=size)


def cut(host: Host, gpu: Device, rule: PartitionRule) -> Plan:
    """The memory mode first: which compute modes there are depends on it."""
    title = f"split {gpu.address}"
    amd = gpu.facts.amd
    if amd == Amd():
        return Plan(title=title, waits=(f"{gpu.address} tells how it is split once {DRIVER} has it",))
    if amd is None or amd.compute is None:
        finding = Finding(
            message=f"{gpu.address} cannot be split: its driver ({gpu.driver or 'none'}) has no partitions",
            remedy=f"an AMD Instinct GPU with {DRIVER}; gpupass show {gpu.address}",
        )
        return Plan(title=title, findings=(finding,))
    steps: list[Step] = []
    findings: list[Finding] = []
    disruptions: list[Disruption] = []
    changing: tuple[Device, ...] = (gpu,)
    memory = rule.memory if rule.memory not in (None, amd.memory) else None
    if memory is not None:
        changing = hive_of(host, gpu)
        findings += _memory_findings(host, gpu, amd, memory)
        disruptions += _hive_disruptions(gpu, changing, amd.memory, memory)
        addresses = tuple(device.address for device in changing)
        why = f"it has {amd.memory}; all GPUs of a hive have the same, and {DRIVER} must let go of them"
        steps.append(SetMemoryPartition(addresses=addresses, mode=memory, why=why))
    if memory is not None or rule.compute != amd.compute:
        findings += _compute_findings(gpu, amd, rule.compute, memory)
        disruptions.append(Disruption(victim=gpu.address, loses=_parts(amd), at_work=False))
        known = memory is None and amd.compute
        why = f"it has {amd.compute}" if known else "where the driver has chosen another one"
        path = f"/sys/bus/pci/devices/{gpu.address}/current_compute_partition"
        steps.append(SetAttribute(address=gpu.address, path=path, value=rule.compute, why=why))
    if steps:
        findings += _in_use(changing)
    return Plan(
        title=title,
        steps=tuple(steps),
        findings=tuple(findings),
        devices=tuple(device.address for device in changing),
        disruptions=tuple(disruptions),
    )


def left_alone(gpu: Device) -> tuple[str, ...]:
    """No record says who has split it."""
    amd = gpu.facts.amd
    count = len(amd.partitions) if amd is not None else 0
    return (f"{gpu.address} is split into {count} partitions: compute: SPX ends that",) if count > 1 else ()


def compute_modes(gpu: Device, memory: str) -> tuple[str, ...]:
    """Those that go with a memory mode; () when nobody can tell."""
    newer = _NEWER if gpu.device in _NEWER_GPUS else {}
    return newer.get(memory, _GO_WITH.get(memory, ()))


def _memory_findings(host: Host, gpu: Device, amd: Amd, memory: str) -> Iterator[Finding]:
    if memory not in amd.memories:
        known = ", ".join(amd.memories) or "none that can be changed"
        yield Finding(
            message=f"{gpu.address} has no memory mode {memory}: its driver offers {known}",
            remedy=f"memory: {amd.memories[-1]}" if amd.memories else "leave memory out",
        )
    for device in host.devices:
        like = device.ids == gpu.ids and device.physfn is None
        if amd.hive is not None and like and device.driver != DRIVER:
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
    for gpu in gpus:
        for user in gpu.users:
            if user.kind is UserKind.PROCESS:
                yield Finding(
                    message=f"{gpu.address} is in use by {user.name} ({user.detail})",
                    remedy=f"stop it: kill {user.pid}",
                )


def _parts(amd: Amd) -> str:
    count = len(amd.partitions)
    return f"its {count} partitions" if count > 1 else "its only partition"
