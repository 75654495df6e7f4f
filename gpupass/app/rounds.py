"""Plans, each an operation of its own, several at a time, and what a fresh look still wants of them."""

from collections.abc import Callable, Container
from contextlib import suppress
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from gpupass.app.consent import Consent, Patience, may_go_on, still_wants, why_not
from gpupass.app.intents import Intent
from gpupass.app.report import Ending, Report, failed, told
from gpupass.app.session import Session
from gpupass.engine import journal
from gpupass.engine.journal import Operation
from gpupass.engine.run import Outcome, StepStatus, conclude, execute, extend, roll_back
from gpupass.errors import GpupassError, Interrupted, NeedsPerson, as_error
from gpupass.model.address import BOOT, DEFINITIONS
from gpupass.plan import HostPlan, Plan
from gpupass.planner.difference import come_about, together
from gpupass.step import Deed
from gpupass.system import interrupts

_A_MOMENT = 0.2
_LOOK = {BOOT: "ls -lt /etc", DEFINITIONS: "virsh list --all"}  # at what is no device
OnStep = Callable[[str, Deed], None]  # the title of its plan, and the step that begins
OnPlan = Callable[[HostPlan], None]  # what is about to be done, where it may be


def quiet(title: str, step: Deed) -> None:
    """Nobody is told of single steps."""


def unshown(made: HostPlan) -> None:
    """Nobody is shown the plan, or has been already."""


class Trip(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wanted, by whom, and what may be done for it."""

    session: Session
    intent: Intent
    consent: Consent = Consent()
    patience: Patience = Patience()
    on_plan: OnPlan = unshown
    on_step: OnStep = quiet
    apply: str = ""  # the id of its entry in the history, where it has one


class Stopped(Interrupted):
    """Between two rounds; `reports` is what had become of each change by then."""

    def __init__(self, reports: tuple[Report, ...]) -> None:
        super().__init__("interrupted: what had begun is rolled back", "gpupass history")
        self.reports = reports


def in_rounds(
    trip: Trip, made: HostPlan, plans: tuple[Plan, ...], pending: tuple[Operation, ...]
) -> tuple[tuple[Report, ...], HostPlan]:
    """Until a fresh look wants nothing more of what is said to be done; the reports, and the last plan."""
    reports: dict[str, Report] = {}
    left = todo = plans
    unseen: tuple[Plan, ...] = ()
    for rounds_left in reversed(range(trip.intent.rounds)):
        ran = _run(trip, todo, pending)
        reports |= {report.title: since(reports.get(report.title), report) for report in ran}
        pending = ()
        if not trip.apply and ran[0].ending is not Ending.DONE:
            return _looked_at(trip, tuple(reports.values())), _unwaiting(made, reports)
        if interrupts.asked() and (trip.apply or _continuing(trip, reports)):
            stopped = Interrupted("interrupted: what had begun is rolled back", "gpupass history")
            reports |= _told(reports, take_back(trip, stopped, reports))
            raise Stopped(tuple(reports.values()))
        try:
            made = _titled(trip, trip.intent.plan(trip.session.look(trip.intent)), plans)
        except Exception as bug:
            error = as_error(bug)
            reports |= _told(reports, take_back(trip, error, reports))
            reports = {title: _unverified(report, error) for title, report in reports.items()}
            return tuple(reports.values()), _unwaiting(made, reports)
        reports = {title: _as_seen(trip, report) for title, report in reports.items()}
        ended = _conclude(trip, reports, made, trip.consent if rounds_left else None)
        reports |= _told(reports, ended)
        made = _without(made, {title for title, outcome in ended.items() if outcome.error is not None})
        done = {title for title, report in reports.items() if report.ending is Ending.DONE}
        unseen = tuple(one for one in made.plans if one.title in done and one.refusals)
        left = tuple(one for one in made.to_do if one.title in done)
        goes_on = bool(trip.apply) or any(step.leaves_open for plan in todo for step in plan.steps)
        todo = tuple(one for one in left if goes_on and may_go_on(one, trip.consent))
        if not todo and not unseen:
            break
    for one in (*left, *unseen):
        reports[one.title] = _unfinished(reports[one.title], one)
    return tuple(reports.values()), _unwaiting(made, reports)


def _looked_at(trip: Trip, reports: tuple[Report, ...]) -> tuple[Report, ...]:
    """How what stands half-way is, only a fresh look can tell; where none is to be had, nothing differs."""
    if not any(report.changed for report in reports):
        return reports
    with suppress(GpupassError):
        trip.session.look(trip.intent)
    return tuple(_as_seen(trip, report) for report in reports)


def _as_seen(trip: Trip, report: Report) -> Report:
    """What of that which was to differ does so."""
    facts = trip.intent.facts(trip.session.last, report.difference.after)
    return replace(report, difference=come_about(report.difference, facts))


def take_back(trip: Trip, cause: GpupassError, titles: Container[str] | None = None) -> dict[str, Outcome]:
    """What has done its first rounds only, of these titles or all."""
    return {
        title: roll_back(operation, trip.session.system, cause)
        for title, operation in _continuing(trip, titles).items()
    }


def _continuing(trip: Trip, titles: Container[str] | None) -> dict[str, Operation]:
    """Of this apply, or of this change alone, by title: those whose first rounds are done."""
    mine = (one for one in journal.open_operations(trip.session.store) if one.apply == trip.apply)
    half = (one for one in mine if one.continues and not (one.pending or one.rolling_back))
    return {one.title: one for one in half if titles is None or one.title in titles}


def _conclude(
    trip: Trip, titles: Container[str], made: HostPlan, consent: Consent | None
) -> dict[str, Outcome]:
    """What continues ends as done, or is taken back as a whole when its rest may not be done (any more)."""
    plans = {one.title: one for one in made.plans}
    ended: dict[str, Outcome] = {}
    for title, operation in _continuing(trip, titles).items():
        rest = plans.get(title)
        if rest is None:
            gone = GpupassError("the profile means no such device any more")
            ended[title] = roll_back(operation, trip.session.system, gone)
        elif not rest.steps and not rest.refusals:
            ended[title] = conclude(operation, trip.session.system)
        elif consent is None or not may_go_on(rest, consent):
            ended[title] = roll_back(operation, trip.session.system, GpupassError(why_not(rest, consent)))
    return ended


def _titled(trip: Trip, made: HostPlan, plans: tuple[Plan, ...]) -> HostPlan:
    """What is left of a single change goes by its first title: "move" may have become "attach" meanwhile."""
    if trip.apply or len(made.plans) != 1:
        return made
    return HostPlan(plans=(replace(made.plans[0], title=plans[0].title),))


def _without(made: HostPlan, titles: set[str]) -> HostPlan:
    """What was taken back is as it was before: a look in between says nothing of it."""
    return replace(made, plans=tuple(one for one in made.plans if one.title not in titles))


def since(earlier: Report | None, report: Report) -> Report:
    """With the findings, devices and steps of the rounds before."""
    if earlier is None:
        return report
    findings = tuple(dict.fromkeys((*earlier.plan.findings, *report.plan.findings)))
    devices = tuple(dict.fromkeys((*earlier.plan.devices, *report.plan.devices)))
    same = report.plan.steps[: len(earlier.plan.steps)] == earlier.plan.steps  # one operation went on
    return replace(
        report,
        plan=replace(
            report.plan,
            findings=findings,
            devices=devices,
            steps=report.plan.steps if same else (*earlier.plan.steps, *report.plan.steps),
        ),
        statuses=report.statuses if same else (*earlier.statuses, *report.statuses),
        changed=report.changed or (earlier.changed and not same),
        difference=together(earlier.difference, report.difference),
    )


def _unwaiting(made: HostPlan, reports: dict[str, Report]) -> HostPlan:
    """Nothing of what failed will come by itself."""
    ended = {
        title for title, report in reports.items() if report.ending in (Ending.FAILED, Ending.NEEDS_PERSON)
    }
    return replace(
        made, plans=tuple(replace(one, waits=()) if one.title in ended else one for one in made.plans)
    )


def _told(reports: dict[str, Report], ended: dict[str, Outcome]) -> dict[str, Report]:
    return {title: told(reports[title], outcome) for title, outcome in ended.items()}


def _run(trip: Trip, plans: tuple[Plan, ...], pending: tuple[Operation, ...]) -> tuple[Report, ...]:
    """Each plan in an operation of its own; steps of one in order, several at a time."""
    work = partial(_one, trip, _continuing(trip, {plan.title for plan in plans}), pending)
    nvml = trip.session.system.nvml
    with nvml.kept():  # closed by the steps that reset or unbind, and before the next look
        if trip.patience.workers == 1 or len(plans) <= 1:
            return tuple(map(work, plans))
        from concurrent.futures import ThreadPoolExecutor, wait

        with ThreadPoolExecutor(max_workers=min(trip.patience.workers, len(plans))) as pool:
            going_on = [pool.submit(work, plan) for plan in plans]
            while wait(going_on, timeout=_A_MOMENT).not_done:
                pass  # a signal that the kernel hands to another thread is heard when this one goes on
            return tuple(one.result() for one in going_on)


def _one(trip: Trip, continuing: dict[str, Operation], pending: tuple[Operation, ...], plan: Plan) -> Report:
    system, begun = trip.session.system, continuing.get(plan.title)
    whole = plan if begun is None else replace(plan, steps=(*begun.steps, *plan.steps))
    report = Report(
        title=plan.title,
        ending=Ending.DONE,
        plan=whole,
        statuses=(StepStatus.NOT_RUN,) * len(whole.steps),
        difference=trip.intent.foreseen(trip.session.last, plan),
    )
    replaced = tuple(operation for operation in pending if set(operation.devices) & set(plan.devices))
    deadline = system.monotonic() + trip.patience.seconds
    on_step = partial(trip.on_step, plan.title)
    try:
        if begun is not None:
            return told(report, extend(begun, plan, system, deadline, on_step))
        return told(report, execute(plan, system, deadline, replaced, trip.apply, on_step))
    except GpupassError as error:
        return failed(report, error)


def _unverified(report: Report, error: GpupassError) -> Report:
    """Done, but the look afterwards has failed."""
    note = f"done, but cannot be verified: {error.message}"
    return _unless_done(report, note, f"done, but then: {error.message}", error.hint)


def _unfinished(report: Report, rest: Plan) -> Report:
    """Done, but not all that is wanted is so."""
    if rest.refusals:
        return _unverified(report, GpupassError(rest.refusals[0].message, rest.refusals[0].remedy or None))
    look = _LOOK.get(rest.devices[0]) or f"gpupass show {rest.devices[0]}"
    return _unless_done(report, f"done, but {still_wants(rest)}", still_wants(rest), look)


def _unless_done(report: Report, note: str, why: str, hint: str | None) -> Report:
    if report.ending is not Ending.DONE:
        return report
    error = NeedsPerson(f"cannot verify: {report.title}: {why}", hint)
    return replace(report, ending=Ending.NEEDS_PERSON, note=note, error=error)
