"""A Report or a Plan as lines for people, or as JSON."""

from gpupass.app import Ending, Report
from gpupass.cli.output import print_json, show_finding, tell
from gpupass.errors import GpupassError, NeedsPerson, Pending
from gpupass.plan import Plan

_STATUS = {
    Ending.PENDING: Pending.exit_code,
    Ending.BUSY: Pending.exit_code,
    Ending.NEEDS_PERSON: NeedsPerson.exit_code,
    Ending.FAILED: GpupassError.exit_code,
}


def show_reports(*reports: Report, as_json: bool) -> int:
    """Print them; their exit status."""
    if as_json:
        from gpupass.cli.documents.changes import Changed, report_document

        print_json(Changed(results=tuple(map(report_document, reports))))
    else:
        for report in reports:
            _show(report)
    return status_of(reports)


def status_of(reports: tuple[Report, ...]) -> int:
    """The exit status that tells the worst of them."""
    codes = {_STATUS.get(report.ending, 0) for report in reports}
    worst_first = (NeedsPerson.exit_code, GpupassError.exit_code, Pending.exit_code)
    return next((code for code in worst_first if code in codes), 0)


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
