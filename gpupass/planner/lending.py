"""Slot and domain → the plan that brings them together, or apart; pure. Each kind of slot has its own way."""

from collections.abc import Callable

from gpupass.model.domain import Domain
from gpupass.model.host import Device, Host, Mdev
from gpupass.model.slot import Slot, SlotKind
from gpupass.plan import Finding, Plan
from gpupass.planner.handover import attach_plan, clean_plan, detach_plan, holder_of, move_plan
from gpupass.planner.mediated import attach_mdev, clean_mdev, detach_mdev, mdev_holder, mdev_of, move_mdev


def holder(host: Host, slot: Slot) -> Domain | None:
    """The running domain that has it."""
    if slot.mdev is not None:
        return mdev_holder(host, slot.mdev)
    return None if slot.kind.only_for_containers else holder_of(host, _device(host, slot))


def attach(host: Host, domain: Domain, slot: Slot, connect: str) -> Plan:
    title = f"attach {slot.name} to {domain.name}"
    return _by_kind(host, domain, slot, connect, title, attach_plan, attach_mdev)


def detach(host: Host, domain: Domain, slot: Slot, connect: str) -> Plan:
    title = f"detach {slot.name} from {domain.name}"
    return _by_kind(host, domain, slot, connect, title, detach_plan, detach_mdev)


def move(host: Host, target: Domain, slot: Slot, connect: str) -> Plan:
    title = f"move {slot.name} to {target.name}"
    return _by_kind(host, target, slot, connect, title, move_plan, move_mdev)


def _by_kind(
    host: Host,
    domain: Domain,
    slot: Slot,
    connect: str,
    title: str,
    of_function: Callable[[Host, Domain, Device, str], Plan],
    of_mdev: Callable[[Host, Domain, Device, Mdev, str], Plan],
) -> Plan:
    device = _device(host, slot)
    if slot.kind.only_for_containers:
        return _only_for_containers(title, slot)
    if slot.mdev is not None:
        return of_mdev(host, domain, device, mdev_of(device, slot.mdev), connect)
    return of_function(host, domain, device, connect)


def clean(host: Host, slot: Slot) -> Plan:
    device = _device(host, slot)
    if slot.mdev is not None:
        return clean_mdev(host, device, mdev_of(device, slot.mdev))
    return clean_plan(host, device)


def _device(host: Host, slot: Slot) -> Device:
    found = host.device(slot.device)
    if found is None:
        raise LookupError(f"{slot.device} is not on this host")
    return found


def _only_for_containers(title: str, slot: Slot) -> Plan:
    finding = Finding(
        message=f"{slot.name} has no PCI function of its own, so no domain can have it",
        remedy="for domains cut the GPU with use: vgpu and MIG-backed types; containers: gpupass cdi"
        if slot.kind is SlotKind.MIG
        else "for domains use virtual functions; containers: gpupass cdi",
    )
    return Plan(title=title, findings=(finding,), devices=(slot.device,))
