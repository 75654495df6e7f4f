"""The one trip of every change: lock → settle → look → plan → do → look, until a look wants nothing more."""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from gpupass.app.consent import Consent, Patience, allowed, require_same
from gpupass.app.hooks import INTERRUPTED, Hooks, left, tell_the_end
from gpupass.app.intents import Intent
from gpupass.app.report import Came, Ending, Report, known, planned, told
from gpupass.app.rounds import Stopped, Trip, in_rounds
from gpupass.app.session import Session
from gpupass.engine import journal
from gpupass.engine.journal import Operation
from gpupass.engine.run import Outcome, Result, goes_back, leave_half, resume
from gpupass.errors import GpupassError, NotRoot, Refused
from gpupass.model.address import Address, root_of
from gpupass.model.apply import Apply, ApplyEnd
from gpupass.model.mark import Quarantine
from gpupass.plan import Finding, HostPlan, Plan
from gpupass.store import Store
from gpupass.store.applies import read_applies, write_apply
from gpupass.store.marks import forget, read_marks
from gpupass.system import System, interrupts
from gpupass.system.locks import hold

SETTLE_SECONDS = 10.0  # for a guest that a crashed gpupass was waiting for
_LEFT_OPEN = "a crash had left it open"


def carry_out(trip: Trip, devices: tuple[Address, ...], shown: HostPlan | None = None) -> Came:
    """Have what is wanted, or as it was. `shown` is the plan that somebody agreed to: another is refused.

    `devices` are all that it may touch: locked first, in case they are others by then.
    """
    session, system = trip.session, trip.session.system
    require_ready(session)
    with hold(system.state, devices, wait=trip.patience.for_others):
        with interrupts.deferred():
            pending, settled = settle(session, devices, trip.patience)
        with known(Came(reports=(), plan=HostPlan(), settled=settled)):
            sight = session.look(trip.intent)
            if not set(trip.intent.touches(sight)) <= set(devices):
                raise Refused("cannot apply: the devices changed while they were looked at", "try again")
            intent = trip.intent.fixed(sight)
            made = intent.plan(sight)
        came = Came(reports=(), plan=made, made=made, settled=settled)
        with known(came):
            if shown is not None:
                require_same(shown, made)
            trip.on_plan(made)
            plans = allowed(made, trip.consent, intent.title(made))
            pending, withdrawn = _withdraw(session, intent, sight, made, pending)
            entry = intent.entry(system, sight, plans)
            came = replace(came, withdrawn=withdrawn)
            if not plans:
                _mark_taken_back(session, entry, ())
                return came
            for mark in left(session.store, devices):
                tell_the_end(system, session.store, mark, settled)
            hooks = Hooks(system, session.store, intent.action, plans)
            hooks.before(intent.title(made))
            trip = replace(trip, intent=intent, apply=_begin(session, entry, trip.consent))
        try:
            with interrupts.deferred():
                reports, made = in_rounds(trip, made, plans, pending)
        except Stopped as stopped:
            hooks.after(INTERRUPTED)
            _end(session, entry, trip.consent, ApplyEnd.INTERRUPTED)
            stopped.came = replace(came, reports=stopped.reports)
            raise
        with suppress(GpupassError):  # the store's disk is full: recover says that it was interrupted
            _end(session, entry, trip.consent, _apply_end(reports))
            _mark_taken_back(session, entry, reports)
        warnings = hooks.after(reports=reports)
    return replace(came, reports=reports, plan=made, warnings=warnings)


def rehearse(session: Session, intent: Intent, consent: Consent = Consent()) -> Came:  # noqa: B008 - frozen
    """What the trip would do, refused like it; nothing is locked or written, so anybody may ask."""
    if isinstance(session.reader, System):
        session.store.require_readable()
    sight = session.look(intent)
    made = intent.plan(sight)
    came = Came(reports=(), plan=made, made=made, settled=unsettled(session, intent.touches(sight)))
    with known(came):
        plans = allowed(made, consent, intent.title(made))
    return replace(came, reports=foretold(intent, sight, plans))


def foretold(intent: Intent, sight: Any, plans: tuple[Plan, ...]) -> tuple[Report, ...]:
    """Each of them as it would come about."""
    return tuple(planned(one, intent.foreseen(sight, one)) for one in plans)


def settle(
    session: Session, devices: tuple[Address, ...], patience: Patience
) -> tuple[tuple[Operation, ...], tuple[Report, ...]]:
    """End crashed operations on `devices`, and tell of it; the pending ones: a new order replaces them."""
    pending, store, system = [], session.store, session.system
    settled: list[Report] = []
    for operation in _open_on(store, devices):
        if operation.ended_by_reboot(system.boot_id()):
            journal.end(store, operation, "reboot")
        elif operation.pending is not None:
            pending.append(operation)
        else:
            seconds = min(patience.seconds, SETTLE_SECONDS)
            outcome = resume(operation, system, system.monotonic() + seconds)
            settled += _resumed(operation, outcome)
            if outcome.result is Result.PENDING:
                pending.append(outcome.operation)
            elif outcome.result is Result.NEEDS_PERSON and outcome.error is not None:
                outcome.error.came = Came(reports=(), plan=HostPlan(), settled=tuple(settled))
                raise outcome.error
            elif outcome.result is Result.DONE and outcome.operation.continues:
                leave_half(outcome.operation, system)  # the new order goes on from there
    return tuple(pending), tuple(settled)


def unsettled(session: Session, devices: tuple[Address, ...]) -> tuple[Report, ...]:
    """What `settle` would take to its end there. How the host is then, only a look at it can tell."""
    if not isinstance(session.reader, System):
        return ()
    system = session.system
    return tuple(
        _to_resume(operation, goes_back(operation, system))
        for operation in _open_on(session.store, devices)
        if not operation.ended_by_reboot(system.boot_id()) and operation.pending is None
        if operation.before.keys() - operation.undone
    )


def _open_on(store: Store, devices: tuple[Address, ...]) -> Iterator[Operation]:
    return (one for one in journal.open_operations(store) if set(one.devices) & set(devices))


def _to_resume(operation: Operation, back: bool) -> Report:
    what = "taken back" if back else "gone on with"
    message = (
        f"a crash has left {operation.title} open: it is {what} first, and what is to be done then may differ"
    )
    finding = Finding(message=message, remedy="gpupass recover, and look again", fatal=False)
    plan = Plan(title=operation.title, steps=operation.steps, devices=operation.devices, findings=(finding,))
    return replace(planned(plan), note=_LEFT_OPEN)


def _resumed(operation: Operation, outcome: Outcome) -> Iterator[Report]:
    """Where there was something to take back or to go on with."""
    plan = Plan(title=operation.title, steps=operation.steps, devices=operation.devices)
    report = told(Report(title=plan.title, ending=Ending.DONE, plan=plan), outcome)
    if moved(operation, outcome):
        yield replace(report, changed=True, note=report.note or _LEFT_OPEN)


def moved(operation: Operation, outcome: Outcome) -> bool:
    """Has it been taken back or gone on with, from how it was left?"""
    left = operation.before.keys() - operation.undone
    ended = bool(left) and outcome.result is not Result.PENDING
    return ended or outcome.operation.done != operation.done


def require_root(hint: str = "run it with sudo; --dry-run needs no root") -> None:
    if os.geteuid() != 0:
        raise NotRoot("cannot change this host: you are not root", hint)


def require_ready(session: Session) -> None:
    """Root, and a store that can be believed: one that cannot tells of nothing, not that nothing is open."""
    require_root()
    session.store.require_sound()


def _withdraw(
    session: Session, intent: Intent, sight: Any, made: HostPlan, pending: tuple[Operation, ...]
) -> tuple[tuple[Operation, ...], tuple[str, ...]]:
    """What is pending and not wanted any more ends, where no plan takes its place; what its guest was asked
    for cannot be unsaid. The rest of `pending`, and the titles of what has ended."""
    keeps = intent.keeps(sight) if pending else frozenset()
    changing = {address for plan in made.to_do for address in plan.devices}
    left, ended = [], []
    for operation in pending:
        if keeps.intersection(operation.devices) and not changing.intersection(operation.devices):
            journal.end(session.store, operation, "replaced", f"by: {intent.title(made)}")
            ended.append(operation.title)
        else:
            left.append(operation)
    return tuple(left), tuple(ended)


def _begin(session: Session, entry: Apply | None, consent: Consent) -> str:
    """Before the first device is touched; its id."""
    _end(session, entry, consent, ApplyEnd.RUNNING)
    return entry.id if entry is not None else ""


def _end(session: Session, entry: Apply | None, consent: Consent, end: ApplyEnd) -> None:
    if entry is not None:
        agreed = replace(entry, disruption=consent.disruption, reset=consent.reset)
        write_apply(session.store, replace(agreed, end=end))


def _apply_end(reports: tuple[Report, ...]) -> ApplyEnd:
    endings = {report.ending for report in reports}
    if Ending.NEEDS_PERSON in endings:
        return ApplyEnd.NEEDS_PERSON
    if Ending.FAILED in endings:
        return ApplyEnd.FAILED
    return ApplyEnd.PENDING if Ending.PENDING in endings else ApplyEnd.DONE


def _mark_taken_back(session: Session, entry: Apply | None, reports: tuple[Report, ...]) -> None:
    if entry is None or not entry.takes_back or _apply_end(reports) is not ApplyEnd.DONE:
        return
    for old in read_applies(session.store):
        if old.id == entry.takes_back:
            write_apply(session.store, replace(old, end=ApplyEnd.TAKEN_BACK))
            _leave_to_others(session.store, old, reports)


def _leave_to_others(store: Store, old: Apply, reports: tuple[Report, ...]) -> None:
    """What was not gpupass's before the apply is not when it is back, though gpupass has made it anew."""
    if old.known is None:
        return
    touched = {address for report in reports for address in report.plan.devices}
    here = (mark for mark in read_marks(store) if root_of(mark.carrier) in touched)
    ours = (mark.key for mark in here if not isinstance(mark, Quarantine))
    forget(store, *(key for key in ours if key not in old.known))
