"""`gpupass doctor`: what keeps this host from giving GPUs away, and what to type."""

from functools import partial
from pathlib import Path

import click

from gpupass.app import Report, file_changes
from gpupass.app.doctor import about, examined, set_right, take_back
from gpupass.cli.agreement import agreed_to
from gpupass.cli.inspect import reader_at
from gpupass.cli.output import DIFFERENT, connect_option, host_option, json_option, print_json
from gpupass.doctor.check import Level
from gpupass.doctor.examine import Diagnosis
from gpupass.errors import Usage
from gpupass.plan import Plan
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
@click.option("--undo", is_flag=True, help="Take back what --fix has written.")
@click.option("--dry-run", is_flag=True, help="With --fix or --undo: show the changes, make none.")
@click.option("--yes", is_flag=True, help="With --fix or --undo: do not ask.")
@json_option
@host_option
@connect_option
def doctor(
    wanted: tuple[str, ...],
    everything: bool,
    strict: bool,
    fix: bool,
    undo: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    host_dir: Path | None,
    connect: str,
) -> int:
    """What keeps this host from giving GPUs away, and what to type about it.

    --fix sets right what is safe. Exit status 3: something fails.
    """
    if fix or undo:
        _require_sense(fix, undo, host_dir, wanted)
        system = System()
        asked = about(system, wanted)

        def verb(dry_run: bool, approved: Plan | None) -> Report:
            if undo:
                return take_back(system, dry_run=dry_run, approved=approved)
            return set_right(system, connect, asked, dry_run=dry_run, approved=approved)

        line = f"gpupass doctor {'--undo' if undo else '--fix'} --yes"
        return agreed_to(verb, partial(file_changes, system), line, dry_run, yes, as_json)
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


def _require_sense(fix: bool, undo: bool, host_dir: Path | None, wanted: tuple[str, ...]) -> None:
    if fix and undo:
        raise Usage("cannot fix and undo at once", "gpupass doctor --undo")
    if host_dir is not None:
        raise Usage("cannot change a recorded host: it can only be looked at", "gpupass doctor --host DIR")
    if undo and wanted:
        raise Usage("cannot take back a part of it: --undo takes no --for", "gpupass doctor --undo")
