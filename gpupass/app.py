"""The only wiring of observe → plan → apply → verify; one function per verb that changes the host."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from gpupass import planner
from gpupass.engine import journal
from gpupass.engine.journal import Operation
from gpupass.engine.run import Outcome, Result, execute, resume
from gpupass.errors import NeedsPerson, NotClean, Pending, Refused, Usage
from gpupass.hotplug.windows import with_windows
from gpupass.methods.passthrough import VFIO, plan_bind
from gpupass.model.address import Address, parse_address
from gpupass.model.domain import Domain
from gpupass.model.host import Host
from gpupass.model.plan import Finding, Plan
from gpupass.model.record import Record, RecordKind
from gpupass.model.select import resolve
from gpupass.observe import everything, nothing, observe
from gpupass.system import System
from gpupass.system.locks import hold
from gpupass.system.state import read_record, read_records, record_path, remove, write_record

QEMU = "qemu:///system"


class Ending(StrEnum):
    """What a verb that did not fail came to."""

    DONE = "done"
    NOTHING = "nothing to do"
    PLANNED = "planned"
    ROLLED_BACK = "rolled back"
    PENDING = "pending"
    NEEDS_PERSON = "needs a person"
    BUSY = "at work"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One change, as told to the operator."""

    title: str
    ending: Ending
    plan: Plan
    note: str = ""

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.plan.findings if not finding.fatal)


Planner = Callable[[Host], Plan]


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

    def plan(host: Host) -> Plan:
        chosen = resolve(host, device)
        group = {member.address for member in host.group_of(chosen)}
        others = tuple(resolve(host, text).address for text in agreed)
        for address in others:
            if address not in group:
                raise Usage(
                    f"cannot bind {address} along: it is not in the IOMMU group of {chosen.address}",
                    f"gpupass bind {address}",
                )
        return plan_bind(host, chosen, driver, others, allow_boot_display)

    return _change(system, device, plan, dry_run=dry_run)


def unbind(system: System, device: str, *, dry_run: bool = False) -> Report:
    """Give the device's IOMMU group back to the drivers it had."""
    return _change(
        system, device, lambda host: planner.unbind_plan(host, resolve(host, device)), dry_run=dry_run
    )


def attach(
    system: System,
    domain: str,
    device: str,
    *,
    connect: str = QEMU,
    timeout: float = 30.0,
    dry_run: bool = False,
) -> Report:
    """Hand the device to a running domain."""
    system.hypervisor(connect)
    return _change(
        system,
        device,
        lambda host: planner.attach_plan(
            host, _receiver(system, host, domain, connect), resolve(host, device), connect
        ),
        connect=connect,
        timeout=timeout,
        dry_run=dry_run,
    )


def detach(
    system: System,
    domain: str,
    device: str,
    *,
    connect: str = QEMU,
    timeout: float = 30.0,
    dry_run: bool = False,
) -> Report:
    """Ask the guest for the device, and see it closed and reset."""
    system.hypervisor(connect)
    return _change(
        system,
        device,
        lambda host: planner.detach_plan(host, _domain(host, domain), resolve(host, device), connect),
        connect=connect,
        timeout=timeout,
        dry_run=dry_run,
    )


def move(
    system: System,
    device: str,
    target: str,
    *,
    connect: str = QEMU,
    timeout: float = 30.0,
    dry_run: bool = False,
) -> Report:
    """From whichever domain has the device to another one, or back to where it was."""
    system.hypervisor(connect)
    return _change(
        system,
        device,
        lambda host: planner.move_plan(
            host, _receiver(system, host, target, connect), resolve(host, device), connect
        ),
        connect=connect,
        timeout=timeout,
        dry_run=dry_run,
    )


def unfinished(system: System) -> tuple[Operation, ...]:
    """What `recover` would take to its end."""
    return tuple(journal.open_operations(system))


def recover(system: System, *, connect: str = QEMU, wait: bool = False) -> tuple[Report, ...]:
    """Take every crashed or pending operation to its end, then clean what guests left behind without us."""
    _require_root()
    deadline = math.inf if wait else system.monotonic()
    reports = [_recover_one(system, operation, deadline) for operation in journal.open_operations(system)]
    return (*reports, *_clean_leftovers(system, connect, deadline))


def quarantine_clear(system: System, device: str) -> Report:
    """A person says the device may be used again."""
    _require_root()
    address = _group_addresses(system, device)[0]
    record = read_record(system.state, RecordKind.QUARANTINE, address)
    plan = Plan(title=f"clear the quarantine of {address}")
    if record is None:
        return Report(title=plan.title, ending=Ending.NOTHING, plan=plan)
    with hold(system.state, (address,)):
        remove(record_path(system.state, RecordKind.QUARANTINE, address))
    return Report(title=plan.title, ending=Ending.DONE, plan=plan, note=f"it was: {record.why}")


def quarantined(system: System) -> tuple[Record, ...]:
    """Every device nobody gets at present."""
    return tuple(record for record in read_records(system.state) if record.kind is RecordKind.QUARANTINE)


def _change(
    system: System,
    device: str,
    make_plan: Planner,
    *,
    connect: str | None = QEMU,
    timeout: float = 30.0,
    dry_run: bool = False,
) -> Report:
    """Lock the group, settle what an earlier gpupass left, look, plan, check, do, look again."""
    group = _group_addresses(system, device)

    def look() -> Host:
        return observe(system, connect=connect, detail=lambda host: _with_bridges_above(host, group))

    if dry_run:
        plan = make_plan(look())
        _refuse(plan)
        ending = Ending.PLANNED if plan.steps else Ending.NOTHING
        return Report(title=plan.title, ending=ending, plan=plan)
    _require_root()
    with hold(system.state, group):
        pending = _settle(system, group)
        plan = make_plan(look())
        _refuse(plan)
        for operation in pending:
            journal.end(operation, "replaced", f"by: {plan.title}")
        if not plan.steps:
            return Report(title=plan.title, ending=Ending.NOTHING, plan=plan)
        _require_success(system, execute(plan, system, system.monotonic() + timeout))
        left = make_plan(look()).steps
        if left:
            raise NeedsPerson(
                f"cannot verify: {plan.title}: a fresh look still wants {type(left[0]).__name__}",
                f"gpupass show {device}",
            )
    return Report(title=plan.title, ending=Ending.DONE, plan=plan)


def _group_addresses(system: System, device: str) -> tuple[Address, ...]:
    """The device first, then the rest of its group; an address needs fewer reads than a name."""
    detail = nothing if parse_address(device) else everything
    host = observe(system, detail=detail, connect=None, processes=False, essentials=False)
    chosen = resolve(host, device)
    others = (member.address for member in host.group_of(chosen) if member.address != chosen.address)
    return (chosen.address, *others)


def _with_bridges_above(host: Host, addresses: tuple[Address, ...]) -> set[Address]:
    """What a plan for one group asks about: its members and the ports they hang from."""
    wanted: set[Address] = set()
    todo = list(addresses)
    while todo:
        device = host.device(todo.pop())
        if device is not None and device.address not in wanted:
            wanted.add(device.address)
            todo += [device.parent] if device.parent else []
    return wanted


def _settle(system: System, devices: tuple[Address, ...]) -> tuple[Operation, ...]:
    """End crashed operations on `devices`; the pending ones are returned: a new order replaces them."""
    pending = []
    for operation in journal.open_operations(system):
        if not set(operation.devices) & set(devices):
            continue
        if operation.boot_id != system.boot_id():
            journal.end(operation, "reboot")
        elif operation.pending is not None:
            pending.append(operation)
        else:
            outcome = resume(operation, system, system.monotonic() + 30.0)
            if outcome.result in (Result.PENDING, Result.NEEDS_PERSON):
                _require_success(system, outcome)
    return tuple(pending)


def _recover_one(system: System, operation: Operation, deadline: float) -> Report:
    plan = Plan(title=operation.title, steps=operation.steps, devices=operation.devices)
    report = Report(title=operation.title, ending=Ending.DONE, plan=plan)
    if operation.boot_id != system.boot_id():
        journal.end(operation, "reboot")
        return replace(report, ending=Ending.ROLLED_BACK, note="the host has been rebooted since")
    try:
        with hold(system.state, operation.devices, wait=0.0):
            fresh = journal.read(operation.path) if operation.path.exists() else None
            if fresh is None:
                return replace(report, note="ended by another gpupass")
            return _told(report, _quarantined_if_unclean(system, resume(fresh, system, deadline)))
    except Refused as busy:
        return replace(report, ending=Ending.BUSY, note=busy.message)


def _clean_leftovers(system: System, connect: str, deadline: float) -> tuple[Report, ...]:
    """Devices claimed by a domain that no longer has them: stopped, crashed, or detached by somebody else."""
    reports = []
    host = observe(system, connect=connect)
    seen: set[Address] = set()
    for record in host.records:
        device = host.device(record.address)
        if record.kind is not RecordKind.CLAIM or record.address in seen or device is None:
            continue
        seen.update(member.address for member in host.group_of(device))
        plan = planner.clean_plan(host, device)
        if not plan.steps or any(set(op.devices) & seen for op in journal.open_operations(system)):
            continue
        with hold(system.state, plan.devices):
            outcome = _quarantined_if_unclean(system, execute(plan, system, deadline))
        report = Report(title=f"{plan.title} (was {record.domain}'s)", ending=Ending.DONE, plan=plan)
        reports.append(_told(report, outcome))
    return tuple(reports)


def _told(report: Report, outcome: Outcome) -> Report:
    ending = {
        Result.DONE: Ending.DONE,
        Result.PENDING: Ending.PENDING,
        Result.ROLLED_BACK: Ending.ROLLED_BACK,
        Result.NEEDS_PERSON: Ending.NEEDS_PERSON,
    }[outcome.result]
    return replace(report, ending=ending, note=outcome.error.message if outcome.error else report.note)


def _require_success(system: System, outcome: Outcome) -> None:
    _quarantined_if_unclean(system, outcome)
    if outcome.error is None:
        return
    if isinstance(outcome.error, Pending):
        raise Pending(f"pending: {outcome.operation.title}: {outcome.error.message}", outcome.error.hint)
    raise outcome.error


def _quarantined_if_unclean(system: System, outcome: Outcome) -> Outcome:
    error = outcome.error
    if isinstance(error, NotClean):
        write_record(
            system.state,
            Record(
                kind=RecordKind.QUARANTINE,
                address=Address(error.address),
                why=error.why,
                boot_id=system.boot_id(),
                since=system.now(),
            ),
        )
    return outcome


def _refuse(plan: Plan) -> None:
    refusals = plan.refusals
    if len(refusals) == 1:
        raise Refused(f"cannot {plan.title}: {refusals[0].message}", refusals[0].remedy or None)
    if refusals:
        reasons = tuple((finding.message, finding.remedy) for finding in refusals)
        raise Refused(f"cannot {plan.title}: {len(refusals)} reasons", reasons=reasons)


def _require_root() -> None:
    if os.geteuid() != 0:
        raise Refused(
            "cannot change this host: you are not root", "run it with sudo; --dry-run needs no root"
        )


def _domain(host: Host, name: str) -> Domain:
    found = host.domain(name)
    if found is None:
        known = ", ".join(domain.name for domain in host.domains) or "none"
        raise Usage(f"cannot find the domain {name}: libvirt knows {known}", "virsh list --all")
    return found


def _receiver(system: System, host: Host, name: str, connect: str) -> Domain:
    """The domain with its guest's port windows, which only QEMU can tell."""
    domain = _domain(host, name)
    return (
        with_windows(domain, system.hypervisor(connect).query_pci(domain.uuid)) if domain.active else domain
    )
