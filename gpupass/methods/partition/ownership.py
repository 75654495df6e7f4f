"""Whose the partition modes of an AMD GPU and of its hive are; pure."""

from typing import ClassVar

from gpupass.devices.hive import hive_of
from gpupass.method import Rules
from gpupass.methods.partition.rule import PartitionRule
from gpupass.model.address import Address
from gpupass.model.amd import Amd
from gpupass.model.host import Device, Host
from gpupass.model.mark import Mark
from gpupass.model.profile import Rule


class Made(Mark, frozen=True, kw_only=True, tag="partition.made"):
    """The modes that it had before gpupass changed them.

    `memory` only where its own rule asked for another one: those of the hive that went along have none.
    """

    compute: str | None = None
    memory: str | None = None

    what: ClassVar[str] = "the former partition modes"


def alike_gpus(host: Host, gpu: Device) -> tuple[Device, ...]:
    """Those that may be of one hive with it, itself included: only amdgpu tells which are."""
    return tuple(one for one in host.devices if one.ids == gpu.ids and one.physfn is None)


def made_by_us(host: Host, gpu: Device) -> Made | None:
    """Of this boot: with the next one the driver chooses anew."""
    return host.mark_of_this_boot(Made, gpu.address)


def whole(host: Host, gpu: Device) -> Made | None:
    """What somebody else's partitions are taken back to; None: it is not split."""
    amd = gpu.facts.amd
    if amd is None or len(amd.partitions) < 2:
        return None
    memory = None if "SPX" in amd.computes else first_memory(host, gpu) or "NPS1"
    return mark_of(host, gpu, "SPX", memory)


def asked_memory(host: Host, gpu: Device) -> str | None:
    """None: another GPU of the hive asked for the memory mode that it has."""
    mark, amd = made_by_us(host, gpu), gpu.facts.amd
    along = mark is not None and mark.memory is None and first_memory(host, gpu) is not None
    return amd.memory if amd is not None and not along else None


def to_remember(host: Host, gpu: Device, amd: Amd, rule: PartitionRule) -> Made | None:
    """None: the rule asks for what it had before."""
    old = made_by_us(host, gpu)
    first = first_memory(host, gpu) or amd.memory
    memory = first if rule.memory not in (None, first) else None
    if rule.memory is None and old is not None:
        memory = old.memory
    compute = old.compute if old is not None else amd.compute or rule.compute
    return mark_of(host, gpu, compute, memory) if memory is not None or compute != rule.compute else None


def first_memory(host: Host, gpu: Device) -> str | None:
    """The memory mode of its hive before gpupass changed it; None: it did not."""
    marks = (made_by_us(host, one) for one in hive_of(host, gpu))
    return next((one.memory for one in marks if one is not None and one.memory is not None), None)


def asking(host: Host, gpu: Device, rules: Rules) -> tuple[Address, ...]:
    """Other GPUs of the hive that are to have its memory mode: by their rules, or by mark without one."""

    def asks(one: Device) -> bool:
        its, mark = rules.get(one.address, ()), made_by_us(host, one)
        rule = rule_of(its)
        if its and rule is None:
            return False
        return (rule is not None and rule.memory is not None) or (
            mark is not None and mark.memory is not None
        )

    return tuple(one.address for one in hive_of(host, gpu) if one != gpu and asks(one))


def rule_of(rules: tuple[Rule, ...]) -> PartitionRule | None:
    return next((rule for rule in rules if isinstance(rule, PartitionRule)), None)


def mark_of(host: Host, gpu: Device, compute: str | None, memory: str | None) -> Made:
    return Made(carrier=gpu.address, compute=compute, memory=memory, boot_id=host.boot_id)
