"""`gpupass recover` and `gpupass quarantine`."""

import click

from gpupass import app
from gpupass.cli.output import connect_option, json_option, print_json, tell
from gpupass.cli.report import show_reports
from gpupass.errors import Usage
from gpupass.system import System


@click.command()
@click.option("--wait", is_flag=True, help="Stay until every guest has let go.")
@click.option("--dry-run", is_flag=True, help="List what is unfinished, change nothing.")
@click.option(
    "--forget",
    is_flag=True,
    help="Set damaged notes aside, and quarantine every device that is not idle on its host driver.",
)
@connect_option
@json_option
def recover(wait: bool, dry_run: bool, forget: bool, connect: str, as_json: bool) -> int:
    """Finish or take back what a crash, a reboot or an unwilling guest left open."""
    if forget and (wait or dry_run):
        raise Usage("cannot forget and recover at once", "gpupass recover --forget")
    if forget:
        return _start_anew(connect, as_json)
    if dry_run:
        return _list_unfinished(as_json)
    reports = app.recover(System(), connect=connect, wait=wait)
    if not reports and not as_json:
        tell("nothing to do")
    return show_reports(*reports, as_json=as_json)


def _start_anew(connect: str, as_json: bool) -> int:
    aside, marks = app.start_anew(System(), connect)
    if as_json:
        from gpupass.cli.documents.changes import Forgotten

        print_json(Forgotten(quarantine=marks, aside=str(aside)))
        return 0
    tell(f"set aside: {aside}")
    for mark in marks:
        tell(f"quarantined: {mark.carrier}  {mark.why}")
    if marks:
        tell("look at each device, then: gpupass quarantine clear DEVICE")
    return 0


def _list_unfinished(as_json: bool) -> int:
    operations = app.unfinished(System())
    if as_json:
        from gpupass.cli.documents.changes import Unfinished, UnfinishedChange

        changes = (
            UnfinishedChange(title=op.title, since=op.time, devices=op.devices, pending=op.pending)
            for op in operations
        )
        print_json(Unfinished(unfinished=tuple(changes)))
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
@json_option
def clear(device: str, as_json: bool) -> int:
    """Say that DEVICE is clean and may be handed out again."""
    return show_reports(app.quarantine_clear(System(), device), as_json=as_json)
