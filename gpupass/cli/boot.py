"""`gpupass enable`, `gpupass disable` and `gpupass host early-bind`: what the next boot does."""

from functools import partial

import click

from gpupass import app
from gpupass.app import Report
from gpupass.app.profile_file import load_file
from gpupass.cli.agreement import agreed_to
from gpupass.cli.output import json_option
from gpupass.cli.report import show_reports
from gpupass.errors import Usage
from gpupass.model.profile import Profile
from gpupass.plan import Plan
from gpupass.system import System
from gpupass.system.executable import own_executable

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

    return agreed_to(
        verb, partial(app.file_changes, system), f"gpupass enable {file} --yes", dry_run, yes, as_json
    )


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
    return agreed_to(
        verb, partial(app.file_changes, system), f"gpupass host early-bind {words}", dry_run, yes, as_json
    )
