"""What a crash, a reboot or an unwilling guest left open; and the quarantine, which only a person ends."""

import math
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from itertools import chain
from pathlib import Path

from msgspec.structs import replace

from gpupass.app.apply import PATIENCE
from gpupass.app.consent import Consent, Patience, may_go_on
from gpupass.app.history import after
from gpupass.app.hooks import left, tell_the_end
from gpupass.app.intents import Clean, Restart
from gpupass.app.look import group_addresses
from gpupass.app.reach import Reach
from gpupass.app.report import Ending, Report, failed, told
from gpupass.app.rounds import Trip, in_rounds
from gpupass.app.session import Session
from gpupass.app.trip import SETTLE_SECONDS, carry_out, moved, require_ready, require_root
from gpupass.engine import journal
from gpupass.engine.journal import Operation
from gpupass.engine.run import Result, StepStatus, leave_half, resume, statuses
from gpupass.errors import Busy, Damaged, GpupassError, Pending, Refused
from gpupass.lending.plug import found_in
from gpupass.model.address import LASTING, Address, parse_address, sysfs
from gpupass.model.apply import ApplyEnd
from gpupass.model.domain import QEMU
from gpupass.model.host import Base, Device, lends
from gpupass.model.identity import Identity
from gpupass.model.mark import Claim, Mark, Quarantine, Stopped
from gpupass.observe import observe
from gpupass.observe.pci import read_group
from gpupass.plan import HostPlan, Plan
from gpupass.planner.unknown import quarantines, still_meant
from gpupass.store import store_of
from gpupass.store.applies import read_applies, write_apply
from gpupass.store.marks import forget, read_marks, read_marks_of
from gpupass.system import System, interrupts
from gpupass.system.identity import read_identity
from gpupass.system.locks import hold


def unfinished(system: System) -> tuple[Operation, ...]:
    """What `recover` would take to its end."""
    return journal.open_operations(store_of(system))


def left_open(operation: Operation) -> Report:
    """What `recover` would take to its end, as it was left."""
    plan = Plan(title=operation.title, steps=operation.steps, devices=operation.devices)
    known = tuple(
        StepStatus.PENDING if number in operation.before and one is StepStatus.NOT_RUN else one
        for number, one in enumerate(statuses(operation))
    )
    note = f"since {operation.time}" + (f": {operation.pending}" if operation.pending else "")
    ending = Ending.PENDING if operation.pending else Ending.UNFINISHED
    return Report(title=operation.title, ending=ending, plan=plan, note=note, changed=True, statuses=known)


def recover(system: System, *, connect: str = QEMU, wait: bool = False) -> tuple[Report, ...]:
    """Take every crashed or pending operation to its end, then clean what guests left behind without us."""
    with Session(system) as session:
        require_ready(session)
        deadline = math.inf if wait else system.monotonic()
        reports = []
        for operation in unfinished(system):
            with interrupts.deferred():
                reports.append(recover_one(session, operation, deadline))
                if interrupts.asked():
                    return tuple(reports)
        _close_applies(session)
        reports += _tell_hooks(session, tuple(reports))
        cleaned = tuple(_clean_leftovers(session, connect, deadline))
        return (*reports, *cleaned, *_start_again(session, connect))


def start_anew(
    system: System, connect: str = QEMU, *, dry_run: bool = False
) -> tuple[Path | None, tuple[Quarantine, ...]]:
    """Set a store aside that cannot be believed; what is not provably idle is quarantined in a new one.

    Where the old one is then (dry run: None), and who is quarantined.
    """
    if not dry_run:
        require_root()
    with Session(system) as session:
        return _anew(session, connect, dry_run)


def _anew(session: Session, connect: str, dry_run: bool) -> tuple[Path | None, tuple[Quarantine, ...]]:
    from gpupass.store import anew

    system, store = session.system, session.store
    try:
        store.require_sound()
        _ = (
            unfinished(system),
            read_marks(store),
            read_applies(store),
        )  # a row can be whole and mean nothing
    except Damaged as error:
        host = observe(system, connect=connect, marks=False)
        at_work = {Address(name) for devices in store.last_known().values() for name in devices}
        lost = f"gpupass has lost its memory ({error.why})"
        known = quarantines(host, at_work - LASTING, lost, system.now())
        return None if dry_run else anew.start_anew(store, known), known
    raise Refused("cannot forget what gpupass remembers: it is whole", "gpupass recover")


def quarantine_clear(system: System, device: str, *, dry_run: bool = False) -> Report:
    """A person says the device may be used again."""
    with Session(system) as session:
        if dry_run:
            session.store.require_readable()
        else:
            require_ready(session)
        typed = parse_address(device)
        known = read_marks_of(session.store, Quarantine)
        gone = typed if any(mark.carrier == typed for mark in known) else None  # off the bus, perhaps
        address = gone or group_addresses(system, device)[0]
        mark = _quarantine_of(known, address, read_identity(system, address))
        plan = Plan(title=f"clear the quarantine of {address}")
        if mark is None:
            return Report(title=plan.title, ending=Ending.NOTHING, plan=plan)
        note = f"it was: {mark.why}"
        if dry_run:
            return Report(title=plan.title, ending=Ending.PLANNED, plan=plan, note=note, changed=True)
        with hold(system.state, (address,)):
            forget(session.store, mark.key)
    return Report(title=plan.title, ending=Ending.DONE, plan=plan, note=note, changed=True)


def quarantined(system: System) -> tuple[Quarantine, ...]:
    """Every device nobody gets at present, by the address that it has by now."""
    known = read_marks_of(store_of(system), Quarantine)
    sought = {one.identity.ids for one in known if one.identity and _is_elsewhere(system, one)}
    if not sought:
        return known
    host = observe(
        system,
        detail=lambda host: {device.address for device in host.devices if device.ids in sought},
        connect=None,
        processes=False,
        essentials=False,
        marks=False,
    )
    now = (still_meant((one,), host)[0] for one in known)
    return tuple(replace(one, identity=was.identity) for one, was in zip(now, known, strict=True))


def _is_elsewhere(system: System, mark: Quarantine) -> bool:
    now = read_identity(system, mark.carrier)
    return now is None or (mark.identity is not None and now.contradicts(mark.identity))


def _quarantine_of(
    known: tuple[Quarantine, ...], address: Address, now: Identity | None
) -> Quarantine | None:
    """It may have got another address since."""
    its = (mark for mark in known if now and mark.identity and now.is_surely(mark.identity))
    there = (mark for mark in known if mark.carrier == address)
    return next(chain(its, there), None)


def _close_applies(session: Session) -> None:
    """Applies that were killed: nobody holds their devices, and none of their operations is open."""
    going_on = {operation.apply for operation in unfinished(session.system)}
    for entry in read_applies(session.store):
        if entry.end is ApplyEnd.RUNNING and entry.id not in going_on:
            with suppress(Busy), hold(session.system.state, entry.devices, wait=0.0):
                write_apply(session.store, replace(entry, end=ApplyEnd.INTERRUPTED))


def _tell_hooks(session: Session, reports: tuple[Report, ...]) -> Iterator[Report]:
    """Those that were run before a change hear of its end, but for one whose guest has still not let go."""
    system, store = session.system, session.store
    for mark in left(store):
        if any(set(mark.devices) & set(operation.devices) for operation in unfinished(system)):
            continue
        plan = Plan(
            title=f"run the hooks after {mark.action} of {', '.join(mark.devices)}", devices=mark.devices
        )
        report = Report(title=plan.title, ending=Ending.DONE, plan=plan, changed=True)
        try:
            with hold(system.state, mark.devices, wait=0.0):
                findings = tell_the_end(system, store, mark, reports)
            yield replace(report, plan=replace(plan, findings=findings))
        except Busy:  # its gpupass is still at work
            continue
        except GpupassError as error:
            yield failed(report, error)


def recover_one(session: Session, operation: Operation, deadline: float) -> Report:
    """One that cannot be ended now must not keep the others from it."""
    plan = Plan(title=operation.title, steps=operation.steps, devices=operation.devices)
    report = Report(title=operation.title, ending=Ending.DONE, plan=plan, statuses=statuses(operation))
    system, store = session.system, session.store
    try:
        with hold(system.state, operation.devices, wait=0.0):
            fresh = journal.read(store, operation.id)
            if fresh is None:
                return replace(report, note="ended by another gpupass")
            if fresh.ended_by_reboot(system.boot_id()):
                journal.end(store, fresh, "reboot")
                return replace(report, ending=Ending.ROLLED_BACK, note="the host has been rebooted since")
            patience = 0.0 if fresh.pending is not None else SETTLE_SECONDS
            until = max(deadline, system.monotonic() + patience)
            outcome = resume(fresh, system, until)
            ended = moved(fresh, outcome)
            if outcome.result is Result.DONE and outcome.operation.continues:
                report = _go_on(session, outcome.operation, report, until - system.monotonic())
                return replace(report, changed=ended or report.changed)
            return replace(told(report, outcome), changed=ended)
    except Busy as busy:
        return replace(report, ending=Ending.BUSY, note=busy.message, error=busy)
    except GpupassError as error:
        return failed(report, error)


def _go_on(session: Session, operation: Operation, report: Report, seconds: float) -> Report:
    """Its first rounds are done, the others take another look: at what the profile wants that it was for.

    With no more than was agreed to then; where profile or devices are not to be had (any more) it ends half
    done, and says so.
    """
    with ExitStack() as locks:
        try:
            trip = _what_for(session, operation)
            rest = _rest(trip)
            more = set(rest.devices) - set(operation.devices)
            if more:
                locks.enter_context(hold(session.system.state, more))
                rest = _rest(trip, (*operation.devices, *more))
        except GpupassError:
            return told(report, leave_half(operation, session.system))
        trip = replace(trip, patience=Patience(seconds=max(seconds, PATIENCE.seconds)))
        return in_rounds(trip, HostPlan(plans=(rest,)), (rest,), ())[0][0]


def _rest(trip: Trip, locked: Collection[Address] | None = None) -> Plan:
    """What a fresh look still wants; Refused when that is not to be done, or not with these locks."""
    plans = trip.intent.plan(trip.session.look(trip.intent)).plans
    if not plans or not may_go_on(plans[0], trip.consent):
        raise Refused("cannot go on: what is left takes a person", "gpupass history")
    if locked is not None and not set(plans[0].devices) <= set(locked):
        raise Refused("cannot go on: the devices changed while they were looked at", "gpupass history")
    return plans[0]


def _what_for(session: Session, operation: Operation) -> Trip:
    """What the operation was for, its one plan of it, with what had been agreed to."""
    entry = next((one for one in read_applies(session.store) if one.id == operation.apply), None)
    if entry is None:
        raise Refused("cannot go on: the history has forgotten what it was for", "gpupass history")
    reach = Reach(
        profile=after(entry),
        source=entry.source,
        connect=entry.connect,
        devices_only=entry.devices_only,
        only=operation.title,
    )
    consent = Consent(disruption=entry.disruption, reset=entry.reset)
    return Trip(session=session, intent=reach, consent=consent, apply=entry.id)


def _clean_leftovers(session: Session, connect: str, deadline: float) -> Iterator[Report]:
    """Devices claimed by a domain that no longer has them: stopped, crashed, or detached by somebody else."""
    system = session.system
    claims = read_marks_of(session.store, Claim)
    if not claims:
        return
    addresses = {claim.carrier for claim in claims if claim.part}
    host = observe(
        system,
        detail=lambda host: addresses & {carrier.address for carrier in host.carriers},
        connect=None,
        described=False,
        processes=False,
        essentials=False,
    )
    seen: set[str] = set()
    for claim in claims:
        device = host.carrier(claim.carrier)
        another = device if isinstance(device, Device) and _is_anothers(device, claim) else None
        if device is None or another is not None or _mdev_is_gone(device, claim):
            yield _forget_vanished(session, claim, connect, another)
            continue
        group = tuple(member.address for member in host.group_of(device))
        if (claim.part or claim.carrier) in seen:
            continue
        seen.update((claim.part,) if claim.part else group)
        if _is_open(system, group):  # that operation's report says more
            continue
        report = Report(
            title=f"clean {claim.part or claim.carrier} (was {claim.domain}'s)",
            ending=Ending.DONE,
            plan=Plan(title=f"clean {claim.part or claim.carrier}", devices=group),
        )
        try:
            yield from _clean_leftover(session, report, claim.part or None, connect, deadline)
        except Busy as busy:
            yield replace(report, ending=Ending.BUSY, note=busy.message, error=busy)
        except GpupassError as error:
            yield failed(report, error)


def _start_again(session: Session, connect: str) -> Iterator[Report]:
    """What was stopped for devices that somebody else has brought back to the host."""
    system = session.system
    boot_id = system.boot_id()
    known = (mark for mark in read_marks_of(store_of(system), Stopped) if mark.boot_id == boot_id)
    for address in dict.fromkeys(Address(mark.carrier) for mark in known):
        driver = system.link(sysfs(address, "driver"))
        group = read_group(system, address)
        if driver is None or lends(driver) or not group or _is_open(system, group):
            continue
        plan = Plan(title=f"start again what was stopped for {address}", devices=group)
        report = Report(title=plan.title, ending=Ending.DONE, plan=plan)
        trip = Trip(session=session, intent=Restart(group=group, connect=connect))
        try:
            for done in carry_out(trip, group).reports:
                yield replace(done, title=report.title)
        except Busy as busy:
            yield replace(report, ending=Ending.BUSY, note=busy.message)
        except GpupassError as error:
            yield failed(report, error)


def _mdev_is_gone(parent: Base, claim: Claim) -> bool:
    return bool(claim.part) and all(mdev.uuid != claim.part for mdev in parent.facts.mdevs)


def _is_anothers(device: Device, mark: Mark) -> bool:
    """The address is."""
    return mark.identity is not None and device.identity.contradicts(mark.identity)


def _still_has(system: System, claim: Claim, connect: str) -> bool:
    xml = system.hypervisor(connect).live_xml(claim.uuid)
    return xml is not None and found_in(xml, claim.domain, claim.carrier, claim.part or None) is not None


def _forget_vanished(session: Session, claim: Claim, connect: str, another: Device | None) -> Report:
    """Pulled out or dead: when the slot has a device again, it is `another` one."""
    what = claim.part or claim.carrier
    title = f"forget {what} (was {claim.domain}'s)"
    plan = Plan(title=title, devices=(claim.carrier,))
    try:
        if _still_has(session.system, claim, connect):
            take = f"gpupass detach {claim.domain} {what}"
            still = Pending(f"{claim.domain} still has what has left the host", take)
            return Report(
                title=title, ending=Ending.PENDING, plan=plan, note=f"{still.message}: {take}", error=still
            )
    except GpupassError as error:
        return failed(Report(title=title, ending=Ending.FAILED, plan=plan), error)
    with hold(session.system.state, (claim.carrier,)):
        known = read_marks(session.store)
        gone = (
            mark
            for mark in known
            if (mark.carrier, mark.part) == (claim.carrier, claim.part)
            and (another is None or _is_anothers(another, mark))
        )
        forget(session.store, *(mark.key for mark in gone if not isinstance(mark, Quarantine)))
    note = "it is gone from the host"
    return Report(title=title, ending=Ending.DONE, plan=plan, note=note, changed=True)


def _clean_leftover(
    session: Session, report: Report, mdev: str | None, connect: str, deadline: float
) -> Iterator[Report]:
    """Nothing where there is nothing to clean."""
    group = report.plan.devices
    session.system.hypervisor(connect)  # its guests live on while libvirt is away: nobody knows who has what
    patience = Patience(seconds=max(0.0, deadline - session.system.monotonic()), for_others=0.0)
    trip = Trip(session=session, intent=Clean(group=group, connect=connect, mdev=mdev), patience=patience)
    came = carry_out(trip, group)
    for done in came.reports:
        yield replace(done, title=report.title)


def _is_open(system: System, devices: tuple[Address, ...]) -> bool:
    return any(set(operation.devices) & set(devices) for operation in unfinished(system))
