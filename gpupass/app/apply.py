"""The apply of a profile, now or as soon as what it wants is there."""

from collections import Counter

from msgspec.structs import replace

from gpupass.app.consent import Consent, Patience
from gpupass.app.promises import listen_as_promised
from gpupass.app.reach import Reach
from gpupass.app.report import Came, Ending, Report
from gpupass.app.rounds import OnPlan, OnStep, Trip, quiet, since, unshown
from gpupass.app.session import Session
from gpupass.app.trip import carry_out, require_ready, unsettled
from gpupass.cdi.specification import PATH as CDI_FILE
from gpupass.errors import GpupassError, Refused, Usage
from gpupass.plan import HostPlan, Plan

PATIENCE = Patience(seconds=60.0)
_TRIES = 3


def plan_apply(session: Session, reach: Reach) -> HostPlan:
    """What an apply would do now. Usage when the profile does not fit this host."""
    return reach.plan(session.look(reach))


def foretell(session: Session, reach: Reach, made: HostPlan) -> Came:
    """What an apply would do beside `made`: first what a crash has left, last what containers are told."""
    came = Came(reports=(), plan=made, made=made, settled=unsettled(session, reach.touches(session.last)))
    if not reach.devices_only:
        warnings, unit = listen_as_promised(session, reach.profile, made)
        came = replace(came, warnings=warnings, refreshed=unit)
    if not _tells_containers(session, reach):
        return came
    from gpupass.app.cdi import to_refresh

    first = bool(made.to_do or came.settled)
    warnings, refreshed = to_refresh(session.system, reach.profile.containers, reach.libvirt, first)
    return replace(came, warnings=(*came.warnings, *warnings), refreshed=(*came.refreshed, *refreshed))


def apply_profile(
    session: Session,
    reach: Reach,
    consent: Consent = Consent(),  # noqa: B008 - frozen
    patience: Patience = PATIENCE,
    shown: HostPlan | None = None,
    on_step: OnStep = quiet,
    on_plan: OnPlan = unshown,
) -> Came:
    """Reach the profile. `shown` is the plan that somebody agreed to: another one is refused.

    A device whose change fails is rolled back; the others reach their goal.
    """
    require_ready(session)
    seen = session.seen(reach)
    devices = reach.touches(seen if seen is not None else reach.first_look(session.system))
    trip = Trip(
        session=session, intent=reach, consent=consent, patience=patience, on_plan=on_plan, on_step=on_step
    )
    came = carry_out(trip, devices, shown)
    if not reach.devices_only:
        warnings, unit = listen_as_promised(session, reach.profile)
        came = replace(came, warnings=(*came.warnings, *warnings), refreshed=unit)
    if not _tells_containers(session, reach):
        return came
    from gpupass.app.cdi import refresh

    warnings, refreshed = refresh(session, reach.profile.containers, reach.libvirt)
    return replace(came, warnings=(*came.warnings, *warnings), refreshed=(*came.refreshed, *refreshed))


def _tells_containers(session: Session, reach: Reach) -> bool:
    return reach.profile.containers is not None or session.system.exists(CDI_FILE)


def apply_when_ready(
    session: Session, reach: Reach, consent: Consent, patience: Patience, seconds: float
) -> Came:
    """At boot: again whenever something happens, until nothing is left to wait for or the time is over.

    Each try of a change may reset a GPU: one that goes on failing is left as it was.
    """
    require_ready(session)
    system = session.system
    deadline = system.monotonic() + seconds
    uri = reach.libvirt
    came = Came(reports=(), plan=HostPlan())
    done: dict[str, Report] = {}
    beside: dict[str, Report] = {}  # what a crash had left, what containers are told
    failures: Counter[str] = Counter()
    while True:
        happened = system.watch(uri)
        failure: GpupassError | None = None
        try:
            came = apply_profile(session, reach, consent, patience)
            done |= {report.title: since(done.get(report.title), report) for report in came.reports}
            beside |= {report.title: report for report in (*came.settled, *came.refreshed)}
            came = replace(came, settled=(), refreshed=tuple(beside.values()))
            failures.update(report.title for report in came.reports if report.ending is Ending.FAILED)
            consent = replace(consent, given_up=frozenset(t for t, n in failures.items() if n >= _TRIES))
            if not came.plan.waits and not came.plan.refusals and came.done:
                return replace(came, reports=tuple(done.values()))
            if came.reports:
                happened = system.watch(uri)  # what it did itself is no reason to look again at once
        except (Usage, Refused) as error:
            failure = error
            beside |= {report.title: report for report in (error.came.settled if error.came else ())}
        left = deadline - system.monotonic()
        if left <= 0:
            return replace(came, reports=_at_last(done, failure, reach))
        happened(left)


def _at_last(done: dict[str, Report], failure: GpupassError | None, reach: Reach) -> tuple[Report, ...]:
    """What could not be looked at any more does not hide what was done before."""
    if failure is None:
        return tuple(done.values())
    if not done:
        raise failure
    title = f"apply {reach.source} once more"
    plan = Plan(title=title)
    report = Report(title=title, ending=Ending.FAILED, plan=plan, note=failure.message, error=failure)
    return (*done.values(), report)
