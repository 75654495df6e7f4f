"""The plans of a profile, each an operation of its own, several at a time, and again after a fresh look."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event

from msgspec.structs import replace

from gpupass.app.change import Ending, Report, told
from gpupass.app.consent import allowed, may_go_on
from gpupass.app.profile import Order, plan
from gpupass.engine import journal
from gpupass.engine.journal import Operation
from gpupass.engine.run import Outcome, conclude, execute, extend, roll_back
from gpupass.errors import GpupassError
from gpupass.model.profile import Profile
from gpupass.plan import HostPlan, Plan
from gpupass.planner.estimate import gpu_resets
from gpupass.step import Deed
from gpupass.store import store_of
from gpupass.system import System

_ROUNDS = 4  # the driver, then MIG mode and functions, then GPU instances, then the vGPUs on them


def in_rounds(
    system: System,
    profile: Profile,
    order: Order,
    made: HostPlan,
    pending: tuple[Operation, ...],
    apply_id: str,
) -> tuple[tuple[Report, ...], HostPlan]:
    """Until a fresh look wants nothing more of what is said to be done."""
    reports: dict[str, Report] = {}
    left = todo = allowed(made, order)
    unseen: tuple[Plan, ...] = ()
    for rounds_left in reversed(range(_ROUNDS)):
        ran = _run(system, todo, pending, order, apply_id)
        reports |= {report.title: _since(reports.get(report.title), report) for report in ran}
        pending = ()
        try:
            made = plan(system, profile, order)
        except GpupassError as error:
            reports |= _told(reports, take_back(system, apply_id, error))
            why = f"done, but cannot be verified: {error.message}"
            reports = {title: _unless_done(report, why) for title, report in reports.items()}
            return tuple(reports.values()), _unwaiting(made, reports)
        ended = _conclude(system, apply_id, made, order if rounds_left else None)
        reports |= _told(reports, ended)
        made = _without(made, {title for title, outcome in ended.items() if outcome.error is not None})
        done = {title for title, report in reports.items() if report.ending is Ending.DONE}
        unseen = tuple(one for one in made.plans if one.title in done and one.refusals)
        left = tuple(one for one in made.to_do if one.title in done)
        todo = tuple(one for one in left if may_go_on(one, order))
        if not todo and not unseen:
            break
    for one in (*left, *unseen):
        why = (
            f"done, but cannot be verified: {one.refusals[0].message}"
            if one.refusals
            else f"done, but {_still_wants(one)}"
        )
        reports[one.title] = _unless_done(reports[one.title], why)
    return tuple(reports.values()), _unwaiting(made, reports)


def _continuing(system: System, apply_id: str) -> dict[str, Operation]:
    """Of this apply, by title: those whose first rounds are done."""
    mine = (one for one in journal.open_operations(store_of(system)) if one.apply == apply_id)
    return {one.title: one for one in mine if one.continues and not (one.pending or one.rolling_back)}


def _conclude(system: System, apply_id: str, made: HostPlan, order: Order | None) -> dict[str, Outcome]:
    """What continues ends as done, or is taken back as a whole when its rest may not be done (any more)."""
    plans = {one.title: one for one in made.plans}
    ended: dict[str, Outcome] = {}
    for title, operation in _continuing(system, apply_id).items():
        rest = plans.get(title)
        if rest is None:
            gone = GpupassError("the profile means no such device any more")
            ended[title] = roll_back(operation, system, gone)
        elif not rest.steps and not rest.refusals:
            ended[title] = conclude(operation, system)
        elif order is None or not may_go_on(rest, order):
            ended[title] = roll_back(operation, system, GpupassError(_why_not(rest, order)))
    return ended


def _why_not(rest: Plan, order: Order | None) -> str:
    if rest.refusals:
        return rest.refusals[0].message
    victims = ", ".join(loss.victim for loss in rest.disruptions if loss.at_work)
    if victims and (order is None or not order.allow_disruption):
        return f"it disrupts {victims}, which takes --allow-disruption"
    resets = ", ".join(gpu_resets(rest))
    if resets and (order is None or not order.allow_reset):
        return f"it resets {resets} for another MIG mode, which takes --allow-reset"
    return _still_wants(rest)


def _still_wants(rest: Plan) -> str:
    deeds = [step for step in rest.steps if not step.hidden]
    return f"a fresh look still wants {type((deeds or rest.steps)[0]).__name__}"


def take_back(system: System, apply_id: str, cause: GpupassError) -> dict[str, Outcome]:
    return {
        title: roll_back(operation, system, cause)
        for title, operation in _continuing(system, apply_id).items()
    }


def _without(made: HostPlan, titles: set[str]) -> HostPlan:
    """What was taken back is as it was before: a look in between says nothing of it."""
    return replace(made, plans=tuple(one for one in made.plans if one.title not in titles))


def _since(earlier: Report | None, report: Report) -> Report:
    """With the findings and devices of the rounds before."""
    if earlier is None:
        return report
    findings = tuple(dict.fromkeys((*earlier.plan.findings, *report.plan.findings)))
    devices = tuple(dict.fromkeys((*earlier.plan.devices, *report.plan.devices)))
    return replace(report, plan=replace(report.plan, findings=findings, devices=devices))


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


def _run(
    system: System, plans: tuple[Plan, ...], pending: tuple[Operation, ...], order: Order, apply_id: str
) -> tuple[Report, ...]:
    """Each plan in an operation of its own; steps of one in order, several at a time.

    An interruption takes back what is at work, before its next step.
    """
    interrupted = Event()
    continuing = _continuing(system, apply_id)

    def watching(plan: Plan, step: Deed) -> None:
        if interrupted.is_set():
            raise GpupassError("interrupted")
        order.on_step(plan.title, step)

    def one(plan: Plan) -> Report:
        begun = continuing.get(plan.title)
        whole = plan if begun is None else replace(plan, steps=(*begun.steps, *plan.steps))
        report = Report(title=plan.title, ending=Ending.DONE, plan=whole)
        replaced = tuple(operation for operation in pending if set(operation.devices) & set(plan.devices))
        try:
            deadline = system.monotonic() + order.timeout
            on_step = partial(watching, plan)
            if begun is not None:
                return told(report, extend(begun, plan, system, deadline, on_step))
            return told(report, execute(plan, system, deadline, replaced, apply_id, on_step))
        except GpupassError as error:
            return replace(report, ending=Ending.FAILED, note=error.message)

    if order.workers == 1 or len(plans) <= 1:
        return tuple(one(plan) for plan in plans)
    with ThreadPoolExecutor(max_workers=min(order.workers, len(plans))) as pool:
        try:
            return tuple(pool.map(one, plans))
        except KeyboardInterrupt:
            interrupted.set()
            raise


def _unless_done(report: Report, why: str) -> Report:
    return replace(report, ending=Ending.NEEDS_PERSON, note=why) if report.ending is Ending.DONE else report
