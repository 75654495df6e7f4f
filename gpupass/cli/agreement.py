"""What would be written is shown, somebody agrees to it, and exactly that is done."""

import difflib
import sys
from collections.abc import Callable, Iterable

import click

from gpupass.app import Ending, Report
from gpupass.app.boot import FileChange
from gpupass.cli.output import show_finding, tell_text
from gpupass.cli.report import show_plan, show_reports
from gpupass.errors import Unasked
from gpupass.plan import Plan

Verb = Callable[[bool, Plan | None], Report]  # (dry run, the plan that was agreed to)
Changes = Callable[[Plan], Iterable[FileChange]]


def agreed_to(verb: Verb, changes: Changes, line: str, dry_run: bool, yes: bool, as_json: bool) -> int:
    """The exit status; `line` is what one types who agrees beforehand."""
    planned = verb(True, None)
    if not as_json:
        _show_changes(changes(planned.plan))
    if dry_run or planned.ending is Ending.NOTHING:
        return show_reports(planned, as_json=as_json)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise Unasked(f"cannot {planned.title}: nobody is there to be asked", line)
        show_plan(planned.plan)
        for finding in planned.warnings:
            show_finding("warning: ", finding.message, finding.remedy)
        click.confirm(f"{planned.title}?", abort=True, err=True)
    return show_reports(verb(False, planned.plan), as_json=as_json)


def _show_changes(changes: Iterable[FileChange]) -> None:
    for change in changes:
        lines = difflib.unified_diff(
            _lines(change.before),
            _lines(change.after),
            "/dev/null" if change.before is None else change.path,
            "/dev/null" if change.after is None else change.path,
        )
        tell_text("".join(lines))


def _lines(text: str | None) -> list[str]:
    printable = (text or "").encode(errors="replace").decode()
    return [f"{line}\n" for line in printable.splitlines()]
