"""What was changed, or would be: one envelope of every verb that changes. And the history."""

from collections.abc import Iterable, Iterator
from typing import Literal, cast

from msgspec import Struct

from gpupass.app import Report
from gpupass.app.consent import WORKERS
from gpupass.cli.documents.document import Document, Failure, failure
from gpupass.engine.run import StepStatus
from gpupass.kinds import AnyStep
from gpupass.model.address import Address
from gpupass.model.mark import Quarantine
from gpupass.plan import Disruption, Finding, HostPlan
from gpupass.planner.difference import SAME, Difference, together
from gpupass.planner.estimate import driver_changes, gpu_resets, plan_seconds, resets

Result = Literal[
    "done",
    "nothing",
    "planned",
    "rolled-back",
    "pending",
    "needs-person",
    "busy",
    "failed",
    "not-run",
    "unfinished",
]


class StepDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of one change; `details` are its own fields. `hidden`: bookkeeping beside deeds."""

    number: int
    change: str
    step: str
    target: str
    words: str
    why: str
    hidden: bool
    status: StepStatus
    details: AnyStep


class Change(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes together: done as a whole or not at all. `steps` are numbers of the envelope's.

    `continues`: more steps follow, which only a fresh look at what these make can plan.
    """

    title: str
    result: Result
    note: str
    devices: tuple[Address, ...]
    steps: tuple[int, ...]
    findings: tuple[Finding, ...]
    continues: bool
    error: Failure | None


class Envelope(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a verb has done, with --dry-run (and plan and check always): what it would do.

    `changed`: something stands now that was otherwise before; what was taken back whole is no change.
    `matches`: nothing was to be done, nothing is refused or waits.
    """

    changed: bool
    steps: tuple[StepDocument, ...]
    changes: tuple[Change, ...]
    disrupts: tuple[Disruption, ...]
    waits: tuple[str, ...]
    foreign: tuple[str, ...]
    refused: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    resets: tuple[Address, ...]
    needs_allow_reset: tuple[Address, ...]
    driver_changes: tuple[Address, ...]
    seconds: float
    matches: bool
    diff: Difference
    error: Failure | None


class Quarantined(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Devices that nobody gets."""

    quarantine: tuple[Quarantine, ...]


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change of an apply."""

    what: str
    result: str


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One apply, or one change by itself."""

    id: str
    time: str
    user: str
    what: str
    result: str
    parts: tuple[Part, ...]


class History(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who changed what, the newest last."""

    history: tuple[Entry, ...]


def envelope(
    reports: Iterable[Report],
    error: Failure | None = None,
    *,
    waits: tuple[str, ...] | None = None,
    refused: tuple[Finding, ...] | None = None,
    warnings: tuple[Finding, ...] = (),
) -> Envelope:
    """`waits` and `refused` where a later look has said more of them than the plans do."""
    told = tuple(each for report in reports for each in (*report.settled, report))
    plan = HostPlan(plans=tuple(report.plan for report in told))
    waits = plan.waits if waits is None else waits
    refused = plan.refusals if refused is None else refused
    diff = SAME
    for report in told:
        diff = together(diff, report.difference)
    return Envelope(
        changed=any(report.changed for report in told),
        steps=tuple(_steps(told)),
        changes=tuple(_changes(told)),
        disrupts=plan.disruptions,
        waits=waits,
        foreign=plan.foreign,
        refused=refused,
        warnings=tuple(dict.fromkeys((*(w for report in told for w in report.warnings), *warnings))),
        resets=resets(plan),
        needs_allow_reset=tuple(address for one in plan.to_do for address in gpu_resets(one)),
        driver_changes=driver_changes(plan),
        seconds=plan_seconds(plan, WORKERS),
        matches=not (plan.to_do or waits or refused or error or any(report.changed for report in told)),
        diff=diff,
        error=error,
    )


def _steps(reports: tuple[Report, ...]) -> Iterator[StepDocument]:
    told = (
        (report, step, status)
        for report in reports
        for step, status in zip(report.plan.steps, report.statuses, strict=True)
    )
    for number, (report, step, status) in enumerate(told, 1):
        yield StepDocument(
            number=number,
            change=report.title,
            step=type(step).__name__,
            target=step.target,
            words=step.words(),
            why=step.why,
            hidden=step.hidden,
            status=status,
            details=step,
        )


def _changes(reports: tuple[Report, ...]) -> Iterator[Change]:
    first = 1
    for report in reports:
        after = first + len(report.plan.steps)
        yield Change(
            title=report.title,
            result=result_of(report),
            note=report.note,
            devices=report.plan.devices,
            steps=tuple(range(first, after)),
            findings=report.plan.findings,
            continues=report.plan.continues,
            error=failure(report.error) if report.error is not None else None,
        )
        first = after


def result_of(report: Report) -> Result:
    return cast(Result, report.ending.name.lower().replace("_", "-"))
