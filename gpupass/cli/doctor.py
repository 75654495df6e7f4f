"""`gpupass doctor`: what keeps this host from giving GPUs away, and what to type."""

import sys
from pathlib import Path

import click

from gpupass.app import Ending, Report
from gpupass.app.doctor import About, about, examined, set_right
from gpupass.cli.boot import show_changes
from gpupass.cli.inspect import reader_at
from gpupass.cli.output import (
    DIFFERENT,
    connect_option,
    host_option,
    json_option,
    print_json,
    show_finding,
    tell,
)
from gpupass.cli.report import show_plan, show_reports
from gpupass.doctor.check import Level
from gpupass.doctor.examine import Diagnosis
from gpupass.errors import Unasked, Usage
from gpupass.system import System


@click.command()
@click.option(
    "--for",
    "wanted",
    multiple=True,
    metavar="WHAT",
    help="Only what matters for passthrough, sriov, mig, vgpu, mdev, remoting, hotplug or desktop; for a "
    "DEVICE; or for the profile FILE.",
)
@click.option("--all", "everything", is_flag=True, help="What is as it should be, too.")
@click.option("--strict", is_flag=True, help="Exit status 3 on a warning, too.")
@click.option("--fix", is_flag=True, help="Set right what is safe and can be taken back; asks first.")
@click.option("--dry-run", is_flag=True, help="With --fix: show the changes, make none.")
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@json_option
@host_option
@connect_option
def doctor(
    wanted: tuple[str, ...],
    everything: bool,
    strict: bool,
    fix: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    host_dir: Path | None,
    connect: str,
) -> int:
    """What keeps this host from giving GPUs away, and what to type about it.

    --fix sets right what is safe. Exit status 3: something fails.
    """
    if fix:
        if host_dir is not None:
            raise Usage(
                "cannot set a recorded host right: it can only be looked at", "gpupass doctor --host DIR"
            )
        system = System()
        return _set_right(system, connect, about(system, wanted), dry_run, yes, as_json)
    if dry_run or yes:
        raise Usage(f"cannot use {'--dry-run' if dry_run else '--yes'} without --fix", "gpupass doctor --fix")
    reader = reader_at(host_dir) if host_dir is not None else System()
    seen = examined(reader, connect, about(reader, wanted))
    if as_json:
        from gpupass.cli.documents.doctor import examined_document

        print_json(examined_document(seen))
    else:
        from gpupass.cli.doctor_table import print_examination

        print_examination(seen, everything)
    return _status(seen.found, strict)


def _status(found: tuple[Diagnosis, ...], strict: bool) -> int:
    bad = (Level.FAIL, Level.WARN) if strict else (Level.FAIL,)
    return DIFFERENT if any(one.level in bad for one in found) else 0


def _set_right(system: System, connect: str, asked: About, dry_run: bool, yes: bool, as_json: bool) -> int:
    planned = set_right(system, connect, asked, dry_run=True)
    if not as_json:
        show_changes(system, planned.plan)
    if dry_run or planned.ending is Ending.NOTHING:
        return show_reports(planned, as_json=as_json)
    if not yes:
        _agree(planned, as_json)
    return show_reports(set_right(system, connect, asked, approved=planned.plan), as_json=as_json)


def _agree(planned: Report, as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        raise Unasked(f"cannot {planned.title}: nobody is there to be asked", "gpupass doctor --fix --yes")
    tell(planned.title)
    show_plan(planned.plan)
    for finding in planned.warnings:
        show_finding("warning: ", finding.message, finding.remedy)
    click.confirm(f"{planned.title}?", abort=True, err=True)
