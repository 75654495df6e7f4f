"""Whose the partition modes of an AMD GPU and of its hive are; pure."""

from collections.abc import Mapping

from gpupass.model.address import Address
from gpupass.model.amd import Amd
from gpupass.model.host import Device, Host
from gpupass.model.profile import PartitionRule, Rule
from gpupass.model.record import Record, RecordKind
from gpupass.steps.record import WriteRecord

Rules = Mapping[Address, Rule]


def hive_of(host: Host, gpu: Device) -> tuple[Device, ...]:
    """The GPUs that change their memory mode together, itself included."""
    hive = hive_name(gpu)
    return (gpu,) if hive is None else tuple(d for d in host.devices if hive_name(d) == hive)


def alike(host: Host, gpu: Device) -> tuple[Device, ...]:
    """Those that may be of one hive with it, itself included: only amdgpu tells which are."""
    return tuple(one for one in host.devices if one.ids == gpu.ids and one.physfn is None)


def hive_name(device: Device) -> str | None:
    """None: a GPU by itself, or none that can be told of."""
    amd = device.detail.amd if device.detail is not None else None
    return amd.hive if amd is not None else None


def made_by_us(host: Host, gpu: Device) -> Record | None:
    """The modes it had before gpupass, this boot: with the next one the driver chooses anew.

    `memory` only where its own rule asked for another one: those of the hive that went along have none.
    """
    return host.record_of_this_boot(RecordKind.PARTITION, gpu.address)


def whole(host: Host, gpu: Device) -> Record | None:
    """What somebody else's partitions are taken back to; None: it is not split."""
    amd = gpu.facts.amd
    if amd is None or len(amd.partitions) < 2:
        return None
    memory = None if "SPX" in amd.computes else first_memory(host, gpu) or "NPS1"
    return record_of(host, gpu, "SPX", memory)


def asked_memory(host: Host, gpu: Device) -> str | None:
    """None: another GPU of the hive asked for the memory mode that it has."""
    record, amd = made_by_us(host, gpu), gpu.facts.amd
    along = record is not None and record.memory is None and first_memory(host, gpu) is not None
    return amd.memory if amd is not None and not along else None


def to_remember(host: Host, gpu: Device, amd: Amd, rule: PartitionRule) -> Record | None:
    """None: the rule asks for what it had before."""
    old = made_by_us(host, gpu)
    first = first_memory(host, gpu) or amd.memory
    memory = first if rule.memory not in (None, first) else None
    if rule.memory is None and old is not None:
        memory = old.memory
    compute = old.compute if old is not None else amd.compute or rule.compute
    return record_of(host, gpu, compute, memory) if memory is not None or compute != rule.compute else None


def first_memory(host: Host, gpu: Device) -> str | None:
    """The memory mode of its hive before gpupass changed it; None: it did not."""
    records = (made_by_us(host, one) for one in hive_of(host, gpu))
    return next((one.memory for one in records if one is not None and one.memory is not None), None)


def asking(host: Host, gpu: Device, rules: Rules) -> tuple[Address, ...]:
    """Other GPUs of the hive that are to have its memory mode: by their rules, or by record without one."""

    def asks(one: Device) -> bool:
        rule, record = rules.get(one.address), made_by_us(host, one)
        if rule is not None and not isinstance(rule, PartitionRule):
            return False
        return (rule is not None and rule.memory is not None) or (
            record is not None and record.memory is not None
        )

    return tuple(one.address for one in hive_of(host, gpu) if one != gpu and asks(one))


def record_of(host: Host, gpu: Device, compute: str | None, memory: str | None) -> Record:
    return Record(
        kind=RecordKind.PARTITION,
        address=gpu.address,
        compute=compute,
        memory=memory,
        boot_id=host.boot_id,
    )


def remember(gpu: Device, record: Record | None) -> WriteRecord:
    why = "so that it can have its modes back" if record is not None else "it has the modes it had before"
    return WriteRecord(kind=RecordKind.PARTITION, address=gpu.address, record=record, why=why)
