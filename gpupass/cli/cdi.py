"""`gpupass cdi`: what containers can be given."""

from pathlib import Path

import click

from gpupass.app.cdi import cdi as write_cdi
from gpupass.app.cdi import preview, text_of
from gpupass.cli.documents.profiles import Specified
from gpupass.cli.inspect import reader_at
from gpupass.cli.output import connect_option, host_option, json_option, print_json, show_finding, tell_text
from gpupass.cli.report import show_reports
from gpupass.errors import Usage
from gpupass.system import System


@click.command()
@click.option("--print", "prints", is_flag=True, help="Print it, change nothing.")
@click.option("--dry-run", is_flag=True, help="Show the plan, change nothing.")
@json_option
@host_option
@connect_option
def cdi(prints: bool, dry_run: bool, as_json: bool, host_dir: Path | None, connect: str) -> int:
    """Tell podman and docker what they can have: /etc/cdi/gpupass.yaml, refreshed by every apply."""
    system = reader_at(host_dir)
    if prints:
        text, warnings = text_of(system, connect)
        if as_json:
            print_json(Specified(specification=text, warnings=warnings))
            return 0
        tell_text(text)
        for warning in warnings:
            show_finding("# ", warning.message, warning.remedy)
        return 0
    if host_dir is not None and not dry_run:
        raise Usage("cannot write to a recorded host", f"gpupass cdi --print --host {host_dir}")
    report = preview(system, connect) if dry_run else write_cdi(System(), connect=connect)
    return show_reports(report, as_json=as_json)
