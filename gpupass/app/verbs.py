"""One function per verb that changes the host: which plan, and what it needs to know."""

import re
from collections.abc import Callable

from msgspec.structs import replace

from gpupass.app.change import (
    QEMU,
    Report,
    SlotPlanner,
    change,
    change_slot,
    group_addresses,
    require_libvirt,
)
from gpupass.errors import Usage
from gpupass.lending import handover
from gpupass.methods.passthrough import VFIO, lends, plan_bind
from gpupass.model.domain import Domain, DomainState
from gpupass.model.host import Device, Host
from gpupass.model.record import RecordKind
from gpupass.model.slot import Slot
from gpupass.plan import Plan
from gpupass.planner.ownership import adopt_plan
from gpupass.system import System


def bind(
    system: System,
    device: str,
    *,
    driver: str = VFIO,
    agreed: tuple[str, ...] = (),
    allow_boot_display: bool = False,
    dry_run: bool = False,
) -> Report:
    """Move the device's IOMMU group to a VFIO driver, or the device alone to any other driver."""

    _require_driver(system, driver)
    others = tuple(group_addresses(system, text)[0] for text in agreed)

    def plan(host: Host, chosen: Device) -> Plan:
        group = {member.address for member in host.group_of(chosen)}
        for address in others:
            if address not in group:
                raise Usage(
                    f"cannot bind {address} along: it is not in the IOMMU group of {chosen.address}",
                    f"gpupass bind {address}",
                )
        return plan_bind(host, chosen, driver, others, allow_boot_display)

    return change(system, device, plan, dry_run=dry_run, replaces=False)


def adopt(system: System, device: str, *, connect: str = QEMU, dry_run: bool = False) -> Report:
    """Treat as gpupass's own what somebody else has bound, made or attached here."""
    system.hypervisor(connect)
    return change(system, device, adopt_plan, connect=connect, dry_run=dry_run, replaces=False)


def unbind(system: System, device: str, *, dry_run: bool = False) -> Report:
    """Give the device's IOMMU group back to the drivers it had."""
    return change(system, device, handover.unbind, dry_run=dry_run, replaces=False)


def attach(
    system: System,
    domain: str,
    slot: str,
    *,
    connect: str = QEMU,
    timeout: float = 30.0,
    dry_run: bool = False,
) -> Report:
    """Hand the slot to a running domain."""
    plan = _plan_for(system, domain, connect, handover.attach)
    return change_slot(
        system, slot, plan, windows=(domain,), connect=connect, timeout=timeout, dry_run=dry_run
    )


def detach(
    system: System,
    domain: str,
    slot: str,
    *,
    connect: str = QEMU,
    timeout: float = 30.0,
    dry_run: bool = False,
) -> Report:
    """Ask the guest for the slot, and see it closed and clean."""
    system.hypervisor(connect)
    known: list[Domain] = []

    def plan(host: Host, chosen: Slot) -> Plan:
        found = host.domain(domain) or (_vanished(host, domain, chosen, known))
        known.append(found or _domain(host, domain))
        return handover.detach(host, known[-1], chosen, connect)

    return change_slot(system, slot, plan, connect=connect, timeout=timeout, dry_run=dry_run)


def move(
    system: System,
    slot: str,
    target: str,
    *,
    connect: str = QEMU,
    timeout: float = 30.0,
    dry_run: bool = False,
) -> Report:
    """From whichever domain has the slot to another one, or back to where it was."""
    plan = _plan_for(system, target, connect, handover.move)
    return change_slot(
        system, slot, plan, windows=(target,), connect=connect, timeout=timeout, dry_run=dry_run
    )


def _require_driver(system: System, driver: str) -> None:
    """Before the device leaves the driver it has. A VFIO driver is loaded by the plan's first step."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", driver):
        raise Usage(f"cannot bind to {driver!r}: that is no name of a driver", "gpupass bind --help")
    if not lends(driver) and not system.exists(f"/sys/bus/pci/drivers/{driver}"):
        raise Usage(f"cannot bind to {driver}: no PCI driver of that name is loaded", f"modprobe {driver}")


def _vanished(host: Host, name: str, slot: Slot, known: list[Domain]) -> Domain | None:
    """A transient domain that is gone: what it left behind can still be taken back in its name."""
    require_libvirt(host)
    if known:
        return replace(known[-1], state=DomainState.SHUT_OFF, live=(), config=())
    claim = host.record(RecordKind.CLAIM, slot.device, slot.mdev)
    if claim is None or name not in (claim.domain, claim.uuid):
        return None
    return Domain(name=str(claim.domain), uuid=str(claim.uuid), state=DomainState.SHUT_OFF)


def _domain(host: Host, name: str) -> Domain:
    found = host.domain(name)
    if found is None:
        require_libvirt(host)
        known = ", ".join(domain.name for domain in host.domains) or "none"
        raise Usage(f"cannot find the domain {name}: libvirt knows {known}", "virsh list --all")
    return found


def _plan_for(
    system: System, name: str, connect: str, make: Callable[[Host, Domain, Slot, str], Plan]
) -> SlotPlanner:
    """The plan that hands a slot to the domain of this name; Refused at once when libvirt is away."""
    system.hypervisor(connect)
    return lambda host, chosen: make(host, _domain(host, name), chosen, connect)
