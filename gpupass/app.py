"""The only wiring of observe → plan → apply → verify; one function per verb that changes the host."""

import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from gpupass import planner
from gpupass.engine import journal
from gpupass.engine.journal import Operation
from gpupass.engine.run import Outcome, Result, execute, resume
from gpupass.errors import Busy, GpupassError, NeedsPerson, Pending, Refused, Usage
from gpupass.hotplug.windows import with_windows
from gpupass.methods.passthrough import VFIO, lends, plan_bind
from gpupass.model.address import Address, parse_address
from gpupass.model.domain import Domain, DomainState
from gpupass.model.host import Device, Host
from gpupass.model.plan import Finding, Plan
from gpupass.model.record import Record, RecordKind
from gpupass.model.select import resolve
from gpupass.observe import everything, nothing, observe
from gpupass.system import System
from gpupass.system.locks import hold
from gpupass.system.state import read_record, read_records, record_path, remove, require_readable

QEMU = "qemu:///system"
_SETTLE_SECONDS = 10.0  # for a guest that a crashed gpupass was waiting for


class Ending(StrEnum):
    """What a verb that did not fail came to."""

    DONE = "done"
    NOTHING = "nothing to do"
    PLANNED = "planned"
    ROLLED_BACK = "rolled back"
    PENDING = "pending"
    NEEDS_PERSON = "needs a person"
    BUSY = "at work"
    FAILED = "failed"


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


Planner = Callable[[Host, Device], Plan]


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

    def plan(host: Host, chosen: Device) -> Plan:
        group = {member.address for member in host.group_of(chosen)}
        others = tuple(resolve(host, text).address for text in agreed)
        for address in others:
            if address not in group:
                raise Usage(
                    f"cannot bind {address} along: it is not in the IOMMU group of {chosen.address}",
                    f"gpupass bind {address}",
                )
        return plan_bind(host, chosen, driver, others, allow_boot_display)

    return _change(system, device, plan, dry_run=dry_run, replaces=False)


def unbind(system: System, device: str, *, dry_run: bool = False) -> Report:
    """Give the device's IOMMU group back to the drivers it had."""
    return _change(
        system,
        device,
        planner.unbind_plan,
        dry_run=dry_run,
        replaces=False,
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
        lambda host, chosen: planner.attach_plan(
            host, _receiver(system, host, domain, connect), chosen, connect
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
    known: list[Domain] = []

    def plan(host: Host, chosen: Device) -> Plan:
        found = host.domain(domain) or (_vanished(host, domain, chosen, known))
        known.append(found or _domain(host, domain))
        return planner.detach_plan(host, known[-1], chosen, connect)

    return _change(
        system,
        device,
        plan,
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
        lambda host, chosen: planner.move_plan(
            host, _receiver(system, host, target, connect), chosen, connect
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
    reports = [_recover_one(system, operation, deadline) for operation in unfinished(system)]
    return (*reports, *_clean_leftovers(system, connect, deadline))


def quarantine_clear(system: System, device: str) -> Report:
    """A person says the device may be used again."""
    _require_root()
    typed = parse_address(device)
    known = {record.address for record in quarantined(system)}  # it may have fallen off the bus since
    address = typed if typed is not None and typed in known else _group_addresses(system, device)[0]
    record = read_record(system.state, RecordKind.QUARANTINE, address)
    plan = Plan(title=f"clear the quarantine of {address}")
    if record is None:
        return Report(title=plan.title, ending=Ending.NOTHING, plan=plan)
    with hold(system.state, (address,)):
        remove(record_path(system.state, RecordKind.QUARANTINE, address))
    return Report(title=plan.title, ending=Ending.DONE, plan=plan, note=f"it was: {record.why}")


def quarantined(system: System) -> tuple[Record, ...]:
    """Every device nobody gets at present."""
    require_readable(system.state)
    return tuple(record for record in read_records(system.state) if record.kind is RecordKind.QUARANTINE)


def _change(
    system: System,
    device: str,
    make_plan: Planner,
    *,
    connect: str | None = QEMU,
    timeout: float = 30.0,
    dry_run: bool = False,
    replaces: bool = True,
) -> Report:
    """Lock the group, settle what an earlier gpupass left, look, plan, check, do, look again."""
    group = _group_addresses(system, device)

    def plan_now() -> Plan:
        """By address: what `device` named it by may be known only while the host's driver has it."""
        host = observe(system, connect=connect, detail=lambda host: _with_bridges_above(host, group))
        chosen = host.device(group[0])
        if chosen is None:
            raise GpupassError(f"cannot find {group[0]} any more: it has left the host", "gpupass list --all")
        return make_plan(host, chosen)

    if dry_run:
        plan = plan_now()
        _refuse(plan)
        ending = Ending.PLANNED if plan.steps else Ending.NOTHING
        return Report(title=plan.title, ending=ending, plan=plan)
    _require_root()
    with hold(system.state, group):
        pending = _settle(system, group, timeout)
        plan = plan_now()
        _refuse(plan)
        if not plan.steps:
            note = _withdraw(pending, plan) if replaces else ""
            return Report(title=plan.title, ending=Ending.NOTHING, plan=plan, note=note)
        _require_success(execute(plan, system, system.monotonic() + timeout, pending))
        _verify(plan, plan_now)
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


def _verify(plan: Plan, plan_now: Callable[[], Plan]) -> None:
    try:
        left = plan_now().steps
    except GpupassError as error:
        raise NeedsPerson(
            f"cannot verify: {plan.title}: done, but then: {error.message}", error.hint
        ) from None
    if left:
        raise NeedsPerson(
            f"cannot verify: {plan.title}: a fresh look still wants {type(left[0]).__name__}",
            f"gpupass show {plan.devices[0]}",
        )


def _withdraw(pending: tuple[Operation, ...], plan: Plan) -> str:
    """The new order is what is so already; what the guest was asked for before cannot be unsaid."""
    for operation in pending:
        journal.end(operation, "replaced", f"by: {plan.title}")
    if not pending:
        return ""
    return f"no longer wanted: {pending[-1].title}; but its guest has been asked and may still let go"


def _settle(system: System, devices: tuple[Address, ...], timeout: float) -> tuple[Operation, ...]:
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
            outcome = resume(operation, system, system.monotonic() + min(timeout, _SETTLE_SECONDS))
            if outcome.result is Result.PENDING:
                pending.append(outcome.operation)
            elif outcome.result is Result.NEEDS_PERSON:
                _require_success(outcome)
    return tuple(pending)


def _recover_one(system: System, operation: Operation, deadline: float) -> Report:
    """One that cannot be ended now must not keep the others from it."""
    plan = Plan(title=operation.title, steps=operation.steps, devices=operation.devices)
    report = Report(title=operation.title, ending=Ending.DONE, plan=plan)
    try:
        with hold(system.state, operation.devices, wait=0.0):
            fresh = journal.read(operation.path)
            if fresh is None:
                return replace(report, note="ended by another gpupass")
            if fresh.boot_id != system.boot_id():
                journal.end(fresh, "reboot")
                return replace(report, ending=Ending.ROLLED_BACK, note="the host has been rebooted since")
            patience = 0.0 if fresh.pending is not None else _SETTLE_SECONDS
            return _told(report, resume(fresh, system, max(deadline, system.monotonic() + patience)))
    except Busy as busy:
        return replace(report, ending=Ending.BUSY, note=busy.message)
    except GpupassError as error:
        return replace(report, ending=Ending.FAILED, note=error.message)


def _clean_leftovers(system: System, connect: str, deadline: float) -> Iterator[Report]:
    """Devices claimed by a domain that no longer has them: stopped, crashed, or detached by somebody else."""
    claims = [record for record in read_records(system.state) if record.kind is RecordKind.CLAIM]
    if not claims:
        return
    host = observe(system, detail=nothing, connect=None, processes=False, essentials=False)
    seen: set[Address] = set()
    for record in claims:
        device = host.device(record.address)
        if device is None:
            yield _forget_vanished(system, record)
        if device is None or record.address in seen:
            continue
        group = tuple(member.address for member in host.group_of(device))
        seen.update(group)
        if _is_open(system, group):  # that operation's report says more
            continue
        report = Report(
            title=f"clean {record.address} (was {record.domain}'s)",
            ending=Ending.DONE,
            plan=Plan(title=f"clean {record.address}", devices=group),
        )
        try:
            with hold(system.state, group, wait=0.0):
                cleaned = _clean_leftover(system, report, connect, deadline)
        except Busy as busy:
            cleaned = replace(report, ending=Ending.BUSY, note=busy.message)
        except GpupassError as error:
            cleaned = replace(report, ending=Ending.FAILED, note=error.message)
        if cleaned is not None:
            yield cleaned


def _forget_vanished(system: System, record: Record) -> Report:
    """Pulled out or dead: when the slot has a device again, it is another one."""
    title = f"forget {record.address} (was {record.domain}'s)"
    with hold(system.state, (record.address,)):
        for kind in (RecordKind.CLAIM, RecordKind.ORIGIN):
            remove(record_path(system.state, kind, record.address))
    plan = Plan(title=title, devices=(record.address,))
    return Report(title=title, ending=Ending.DONE, plan=plan, note="it is gone from the host")


def _clean_leftover(system: System, report: Report, connect: str, deadline: float) -> Report | None:
    """Under the lock. None when there is nothing to clean."""
    group = report.plan.devices
    if _is_open(system, group):
        return None
    system.hypervisor(connect)  # its guests live on while libvirt is away: nobody knows then who has what
    host = observe(system, connect=connect, detail=lambda host: _with_bridges_above(host, group))
    _require_libvirt(host)
    plan = planner.clean_plan(host, host.devices_at(group)[0])
    if not plan.steps:
        return None
    return _told(replace(report, plan=plan), execute(plan, system, deadline))


def _is_open(system: System, devices: tuple[Address, ...]) -> bool:
    return any(set(operation.devices) & set(devices) for operation in journal.open_operations(system))


def _told(report: Report, outcome: Outcome) -> Report:
    ending = {
        Result.DONE: Ending.DONE,
        Result.PENDING: Ending.PENDING,
        Result.ROLLED_BACK: Ending.FAILED if outcome.error else Ending.ROLLED_BACK,
        Result.NEEDS_PERSON: Ending.NEEDS_PERSON,
    }[outcome.result]
    return replace(report, ending=ending, note=outcome.error.message if outcome.error else report.note)


def _require_success(outcome: Outcome) -> None:
    if outcome.error is None:
        return
    if isinstance(outcome.error, Pending):
        raise Pending(f"pending: {outcome.operation.title}: {outcome.error.message}", outcome.error.hint)
    raise outcome.error


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


def _require_driver(system: System, driver: str) -> None:
    """Before the device leaves the driver it has. A VFIO driver is loaded by the plan's first step."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", driver):
        raise Usage(f"cannot bind to {driver!r}: that is no name of a driver", "gpupass bind --help")
    if not lends(driver) and not system.exists(f"/sys/bus/pci/drivers/{driver}"):
        raise Usage(f"cannot bind to {driver}: no PCI driver of that name is loaded", f"modprobe {driver}")


def _require_libvirt(host: Host) -> None:
    for unseen in host.unseen:
        if unseen.startswith("libvirt:"):
            raise Refused(
                f"cannot tell which domain has what: {unseen.partition(': ')[2]}", "virsh list --all"
            )


def _vanished(host: Host, name: str, device: Device, known: list[Domain]) -> Domain | None:
    """A transient domain that is gone: what it left behind can still be taken back in its name."""
    _require_libvirt(host)
    if known:
        return replace(known[-1], state=DomainState.SHUT_OFF, live=(), config=())
    claim = host.record(RecordKind.CLAIM, device.address)
    if claim is None or name not in (claim.domain, claim.uuid):
        return None
    return Domain(name=str(claim.domain), uuid=str(claim.uuid), state=DomainState.SHUT_OFF)


def _domain(host: Host, name: str) -> Domain:
    found = host.domain(name)
    if found is None:
        _require_libvirt(host)
        known = ", ".join(domain.name for domain in host.domains) or "none"
        raise Usage(f"cannot find the domain {name}: libvirt knows {known}", "virsh list --all")
    return found


def _receiver(system: System, host: Host, name: str, connect: str) -> Domain:
    """The domain with its guest's port windows, which only QEMU can tell."""
    domain = _domain(host, name)
    return (
        with_windows(domain, system.hypervisor(connect).query_pci(domain.uuid)) if domain.active else domain
    )
