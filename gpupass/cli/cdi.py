"""`gpupass cdi`: what containers can be given."""

from pathlib import Path

import click

from gpupass.app.cdi import cdi as write_cdi
from gpupass.app.cdi import text_of
from gpupass.cli.documents.profiles import Specified
from gpupass.cli.inspect import system_at
from gpupass.cli.output import connect_option, host_option, json_option, print_json
from gpupass.cli.report import show_reports
from gpupass.errors import Usage


@click.command()
@click.option("--print", "prints", is_flag=True, help="Print it, change nothing.")
@click.option("--dry-run", is_flag=True, help="Show the plan, change nothing.")
@json_option
@host_option
@connect_option
def cdi(prints: bool, dry_run: bool, as_json: bool, host_dir: Path | None, connect: str) -> int:
    """Tell podman and docker what they can have: /etc/cdi/gpupass.yaml, refreshed by every apply."""
    system = system_at(host_dir)
    if prints:
        text, warnings = text_of(system, connect)
        if as_json:
            print_json(Specified(specification=text, warnings=warnings))
            return 0
        click.echo(text, nl=False)
        for warning in warnings:
            click.echo(f"# {warning.message}\n#   {warning.remedy}", err=True)
        return 0
    if host_dir is not None and not dry_run:
        raise Usage("cannot write to a recorded host", f"gpupass cdi --print --host {host_dir}")
    return show_reports(write_cdi(system, connect=connect, dry_run=dry_run), as_json=as_json)
