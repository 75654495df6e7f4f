"""`gpupass enable`, `gpupass disable` and `gpupass host early-bind`: what the next boot does."""

import difflib
import sys
from collections.abc import Callable

import click

from gpupass import app
from gpupass.app import Ending, Report
from gpupass.app.profile_file import load_file
from gpupass.cli.output import json_option, show_finding, tell_text
from gpupass.cli.report import show_reports
from gpupass.errors import Unasked, Usage
from gpupass.model.profile import Profile
from gpupass.plan import Plan
from gpupass.system import System
from gpupass.system.executable import own_executable

Verb = Callable[[bool, Plan | None], Report]  # (dry run, the plan that was agreed to)

_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_dry_run = click.option("--dry-run", is_flag=True, help="Show the changes, make none.")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@_dry_run
@_yes
@json_option
def enable(file: str, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Have every boot apply the profile FILE, before libvirt starts its domains."""
    system, executable = System(), own_executable()

    def load(name: str) -> Profile:
        return load_file(system, name)

    def verb(dry_run: bool, approved: Plan | None) -> Report:
        return app.enable(system, file, load=load, executable=executable, dry_run=dry_run, approved=approved)

    return _agreed(system, verb, f"gpupass enable {file} --yes", dry_run, yes, as_json)


@click.command()
@click.option("--dry-run", is_flag=True, help="Show the plan, change nothing.")
@json_option
def disable(dry_run: bool, as_json: bool) -> int:
    """No profile at boot any more; the devices stay as they are now."""
    return show_reports(app.disable(System(), dry_run=dry_run), as_json=as_json)


@click.group()
def host() -> None:
    """Settings of this host."""


@host.command("early-bind")
@click.argument("devices", metavar="DEVICE...", nargs=-1)
@click.option(
    "--with",
    "agreed",
    multiple=True,
    metavar="ADDRESS",
    help="A device of another slot in the same IOMMU group that may move along.",
)
@click.option("--undo", is_flag=True, help="No longer; without DEVICE: none at all.")
@_dry_run
@_yes
@json_option
def early_bind(
    devices: tuple[str, ...], agreed: tuple[str, ...], undo: bool, dry_run: bool, yes: bool, as_json: bool
) -> int:
    """Give DEVICE to vfio-pci at every boot before its driver sees it: for displays the console is on."""
    if not devices and not undo:
        raise Usage("cannot bind early: no device is named", "gpupass list")
    system = System()

    def verb(dry_run: bool, approved: Plan | None) -> Report:
        return app.early_bind(system, devices, agreed=agreed, undo=undo, dry_run=dry_run, approved=approved)

    words = " ".join([*devices, *(["--undo"] if undo else []), "--yes"])
    return _agreed(system, verb, f"gpupass host early-bind {words}", dry_run, yes, as_json)


def _agreed(system: System, verb: Verb, line: str, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Show what would change, ask, and do exactly that."""
    planned = verb(True, None)
    if not as_json:
        show_changes(system, planned.plan)
    if dry_run or planned.ending is Ending.NOTHING:
        return show_reports(planned, as_json=as_json)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise Unasked(f"cannot {planned.title}: nobody is there to be asked", line)
        for finding in planned.warnings:
            show_finding("warning: ", finding.message, finding.remedy)
        click.confirm(f"{planned.title}?", abort=True, err=True)
    return show_reports(verb(False, planned.plan), as_json=as_json)


def show_changes(system: System, plan: Plan) -> None:
    for change in app.file_changes(system, plan):
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
