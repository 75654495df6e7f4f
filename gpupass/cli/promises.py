"""`gpupass promises` and `gpupass listen`."""

from pathlib import Path

import click

from gpupass import inspect
from gpupass.cli.inspect import reader_at
from gpupass.cli.output import connect_option, host_option, json_option, print_json, show_finding, tell
from gpupass.system import System

_SILENT = "nobody listens to libvirt, so nobody is given anything", "systemctl start gpupass-promises"


@click.command()
@json_option
@host_option
@connect_option
def promises(as_json: bool, host_dir: Path | None, connect: str) -> None:
    """List what domains are promised, and how that stands."""
    found = inspect.list_promises(reader_at(host_dir), connect)
    if as_json:
        from gpupass.cli.documents.slots import Promised

        print_json(Promised(promises=found.promises, listens=found.listens, unseen=found.host.unseen))
        return
    if not found.promises:
        tell("nobody is promised anything")
    for one in found.promises:
        why = f": {one.why}" if one.why else ""
        tell(f"{one.mdev or one.device}  {one.domain}  {one.standing.value}{why}")
        if one.remedy:
            tell(f"  {one.remedy}")
    if found.listens is False:
        show_finding("warning: ", *_SILENT)
    for note in found.host.unseen:
        tell(f"not seen: {note}")


@click.command()
def listen() -> None:
    """Give domains what they are promised when they start, and take it back when they stop.

    gpupass-promises.service runs it, as long as anybody is promised anything.
    """
    from gpupass.app.listening import listen as keep
    from gpupass.app.report import Report
    from gpupass.app.trip import require_root

    def said(report: Report) -> None:
        tell(f"{report.ending.value}: {report.title}" + (f": {report.note}" if report.note else ""))
        for finding in report.warnings:
            show_finding("  warning: ", finding.message, finding.remedy, err=False)
        if report.error is not None and report.error.hint:
            tell(f"  hint: {report.error.hint}")

    require_root("sudo systemctl start gpupass-promises")
    keep(System, said)
