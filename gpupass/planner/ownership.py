"""What somebody else has bound, made or attached becomes gpupass's own; pure."""

from collections.abc import Iterator
from itertools import count

from msgspec.structs import replace

from gpupass.lending.claims import adopted
from gpupass.lending.handover import holder
from gpupass.lending.lender import Loan
from gpupass.methods import amd_ownership, mig_ownership, mig_plan
from gpupass.methods.passthrough import endpoints, slot
from gpupass.methods.sriov import made_by_us
from gpupass.methods.vgpu_made import made, on_itself
from gpupass.model.host import Device, Host
from gpupass.model.record import Record, RecordKind
from gpupass.model.slot import Slot, SlotKind
from gpupass.plan import Plan
from gpupass.step import Deed
from gpupass.steps.record import WriteRecord


def adopt_plan(host: Host, device: Device) -> Plan:
    """Remember as gpupass's own what somebody else has bound, made or attached."""
    steps = tuple(_adoptions(host, device))
    devices = tuple(member.address for member in host.group_of(device))
    return Plan(title=f"adopt {device.address}", steps=steps, devices=devices)


def _adoptions(host: Host, device: Device) -> Iterator[Deed]:
    sriov = device.facts.sriov
    functions = (*endpoints(host, device), *(host.devices_at(sriov.vfs) if sriov is not None else ()))
    if sriov is not None and sriov.enabled and made_by_us(host, device) is None:
        yield _remember(host, device, RecordKind.VFS, vfs=sriov.enabled, autoprobe=True)
    names = tuple(sorted(one.name for one in mig_plan.instances(device)))
    if len(mig_ownership.ours(host, device, names)) < len(names):
        record = mig_ownership.made_by_us(host, device)
        mode = record is not None and record.mode
        yield _remember(host, device, RecordKind.MIG, instances=names, mode=mode)
    split = amd_ownership.whole(host, device)
    if split is not None and amd_ownership.made_by_us(host, device) is None:
        yield _remember(host, device, RecordKind.PARTITION, compute=split.compute, memory=split.memory)
    there = made(host, device)
    parts = {one.record.part for one in there if one.record is not None}
    for one in there:
        if one.record is None:
            others = on_itself(device) and device.facts.nvidia is None
            name = one.mdev.type if one.mdev is not None and others else one.type
            part = _free_part(name, parts)
            parts.add(part)
            kind = RecordKind.VGPU if one.mdev is None else RecordKind.MDEV
            uuid = one.mdev.uuid if one.mdev is not None else None
            yield _remember(host, one.vf, kind, mdev=uuid, part=part, type=name)
            if uuid is not None:  # a vGPU that is a function is claimed like others
                at = one.vf.address
                yield from _claim(host, Slot(kind=SlotKind.MDEV, device=at, of=at, mdev=uuid))
    for function in functions:
        if (
            function.on_vfio
            and not function.own_vfio
            and host.record_of_this_boot(RecordKind.ORIGIN, function.address) is None
        ):
            yield _remember(host, function, RecordKind.ORIGIN, driver=function.facts.host_driver)
        yield from _claim(host, slot(function))


def _free_part(kind: str, taken: set[str | None]) -> str:
    """As a profile would call it."""
    return next(part for part in (f"{kind}-{number}" for number in count()) if part not in taken)


def _claim(host: Host, slot: Slot) -> Iterator[Deed]:
    owner = holder(host, slot)
    if owner is not None:
        yield from adopted(host, owner, Loan(address=slot.device, mdev=slot.mdev))


def _remember(
    host: Host, device: Device, kind: RecordKind, mdev: str | None = None, **facts: object
) -> WriteRecord:
    record = Record(kind=kind, address=device.address, mdev=mdev, boot_id=host.boot_id)
    record = replace(record, **facts)
    return WriteRecord(kind=kind, address=device.address, mdev=mdev, record=record, why="adopted")
