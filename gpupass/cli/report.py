"""What became of changes, as lines for people or as the one envelope for programs, and the exit status."""

from gpupass.app import Ending, Report
from gpupass.app.report import Came, forbid
from gpupass.cli.output import print_json, show_finding, tell
from gpupass.errors import GpupassError, NeedsPerson, Pending, Refused, Unforeseen
from gpupass.plan import Finding, Plan

_STATUS = {
    Ending.PENDING: Pending.exit_code,
    Ending.BUSY: Pending.exit_code,
    Ending.NEEDS_PERSON: NeedsPerson.exit_code,
    Ending.FAILED: GpupassError.exit_code,
}
_WORST_FIRST = (NeedsPerson, Unforeseen, GpupassError, Pending)


def show_reports(*reports: Report, as_json: bool) -> int:
    """Print them; their exit status."""
    if as_json:
        print_changes(reports, exit_code=status_of(reports))
    else:
        for report in reports:
            _show(report)
    return status_of(reports)


def print_changes(
    reports: tuple[Report, ...],
    error: GpupassError | None = None,
    *,
    waits: tuple[str, ...] | None = None,
    refused: tuple[Finding, ...] | None = None,
    warnings: tuple[Finding, ...] = (),
    exit_code: int | None = None,
) -> None:
    """The envelope; `error` is why, where the reports do not say it."""
    from gpupass.cli.documents.changes import envelope
    from gpupass.cli.documents.document import failure

    why = error if error is not None else error_of(reports)
    told = failure(why, exit_code) if why is not None else None
    print_json(envelope(reports, told, waits=waits, refused=refused, warnings=warnings))


def print_failed(error: GpupassError) -> None:
    """The envelope of what was not reached, with what had become of it until then."""
    came = error.came if error.came is not None else Came(reports=())
    print_changes(came.whole, error, waits=came.plan.waits, warnings=came.warnings)


def print_unfinished(reports: tuple[Report, ...]) -> None:
    """The envelope of what a crash or an unwilling guest has left open, which is no failure of who asks."""
    from gpupass.cli.documents.changes import envelope

    print_json(envelope(reports))


def status_of(reports: tuple[Report, ...]) -> int:
    """The exit status that tells the worst of them."""
    codes = {_status(report) for report in reports}
    return next((kind.exit_code for kind in _WORST_FIRST if kind.exit_code in codes), 0)


def error_of(reports: tuple[Report, ...]) -> GpupassError | None:
    """Why the worst of them have not reached their goal; one alone says it itself."""
    status = status_of(reports)
    failed = tuple(report for report in reports if status and _status(report) == status)
    if not failed:
        return None
    if len(failed) == 1 and failed[0].error is not None:
        return failed[0].error
    kind = next(kind for kind in (NeedsPerson, Pending, GpupassError) if kind.exit_code in (status, 1))
    reasons = tuple(
        (f"{one.title}: {one.note}", (one.error.hint if one.error is not None else None) or "")
        for one in failed
    )
    return kind(
        f"cannot reach all: {len(failed)} of {len(reports)} changes: {reasons[0][0]}", reasons=reasons
    )


def refusal(title: str, findings: tuple[Finding, ...]) -> Refused | None:
    """What says "cannot `title`", where a finding does."""
    try:
        forbid(title, findings)
    except Refused as refused:
        return refused
    return None


def _status(report: Report) -> int:
    if report.ending is Ending.FAILED and isinstance(report.error, Unforeseen):
        return Unforeseen.exit_code
    return _STATUS.get(report.ending, 0)


def _show(report: Report) -> None:
    tell(f"{report.ending.value}: {report.title}" + (f" ({report.note})" if report.note else ""))
    for finding in report.warnings:
        show_finding("  warning: ", finding.message, finding.remedy)
    if report.ending is Ending.PLANNED:
        show_plan(report.plan)


def show_plan(plan: Plan) -> None:
    """One numbered line per step; --json has bookkeeping beside deeds."""
    shown = [step for step in plan.steps if not step.hidden]
    for number, step in enumerate(shown or plan.steps, 1):
        tell(f"  {number}. {step.words()}" + (f" - {step.why}" if step.why else ""))
