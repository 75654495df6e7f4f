"""`gpupass recover` and `gpupass quarantine`."""

from collections.abc import Iterator
from pathlib import Path

import click

from gpupass import app
from gpupass.app import Ending, Report
from gpupass.app.recovery import left_open
from gpupass.cli.output import connect_option, json_option, print_json, tell
from gpupass.cli.report import print_changes, print_unfinished, show_reports
from gpupass.errors import Usage
from gpupass.model.mark import Quarantine
from gpupass.plan import Plan
from gpupass.system import System


@click.command()
@click.option("--wait", is_flag=True, help="Stay until every guest has let go.")
@click.option(
    "--dry-run", is_flag=True, help="List what is unfinished or would be quarantined, change nothing."
)
@click.option(
    "--forget",
    is_flag=True,
    help="Set damaged notes aside, and quarantine every device that is not idle on its host driver.",
)
@connect_option
@json_option
def recover(wait: bool, dry_run: bool, forget: bool, connect: str, as_json: bool) -> int:
    """Finish or take back what a crash, a reboot or an unwilling guest left open."""
    if forget and wait:
        raise Usage("cannot forget and recover at once", "gpupass recover --forget")
    if forget:
        return _start_anew(connect, dry_run, as_json)
    if dry_run:
        return _list_unfinished(as_json)
    reports = app.recover(System(), connect=connect, wait=wait)
    if not reports and not as_json:
        tell("nothing to do")
    return show_reports(*reports, as_json=as_json)


def _start_anew(connect: str, dry_run: bool, as_json: bool) -> int:
    aside, marks = app.start_anew(System(), connect, dry_run=dry_run)
    if as_json:
        ending = Ending.PLANNED if dry_run else Ending.DONE
        print_changes(tuple(_forgotten(ending, aside, marks)))
        return 0
    tell(f"set aside: {aside}" if aside is not None else "would set damaged notes aside")
    for mark in marks:
        tell(f"{'would quarantine' if dry_run else 'quarantined'}: {mark.carrier}  {mark.why}")
    if marks and not dry_run:
        tell("look at each device, then: gpupass quarantine clear DEVICE")
    return 0


def _forgotten(ending: Ending, aside: Path | None, marks: tuple[Quarantine, ...]) -> Iterator[Report]:
    """As changes of what gpupass remembers, which are no steps."""
    title, note = "set damaged notes aside", f"to {aside}" if aside is not None else ""
    yield Report(title=title, ending=ending, plan=Plan(title=title), note=note, changed=True)
    for mark in marks:
        title = f"quarantine {mark.carrier}"
        plan = Plan(title=title, devices=(mark.carrier,))
        yield Report(title=title, ending=ending, plan=plan, note=mark.why, changed=True)


def _list_unfinished(as_json: bool) -> int:
    operations = app.unfinished(System())
    if as_json:
        print_unfinished(tuple(map(left_open, operations)))
    elif not operations:
        tell("nothing is unfinished")
    else:
        for op in operations:
            tell(f"{op.title}, since {op.time}" + (f": {op.pending}" if op.pending else ""))
    return 0


@click.group()
def quarantine() -> None:
    """Devices that nobody gets until a person says so."""


@quarantine.command("list")
@json_option
def list_(as_json: bool) -> int:
    """Which devices are quarantined, and why."""
    marks = app.quarantined(System())
    if as_json:
        from gpupass.cli.documents.changes import Quarantined

        print_json(Quarantined(quarantine=marks))
    elif not marks:
        tell("no device is quarantined")
    else:
        for mark in marks:
            tell(f"{mark.carrier}  {mark.why}  (since {mark.since})")
    return 0


@quarantine.command("clear")
@click.argument("device")
@click.option("--dry-run", is_flag=True, help="Say whether it is quarantined, change nothing.")
@json_option
def clear(device: str, dry_run: bool, as_json: bool) -> int:
    """Say that DEVICE is clean and may be handed out again."""
    return show_reports(app.quarantine_clear(System(), device, dry_run=dry_run), as_json=as_json)
