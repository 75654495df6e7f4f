"""`gpupass attach`, `gpupass detach` and `gpupass move`."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gpupass import app
from gpupass.app import Report
from gpupass.cli.attachment_options import attachment_options, require_one, take_options
from gpupass.cli.inspect import reader_at
from gpupass.cli.output import connect_option, host_option, json_option, stop_option
from gpupass.cli.report import show_reports
from gpupass.errors import Usage
from gpupass.model.domain import Manager
from gpupass.system import Reader


def _options(verb: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        json_option,
        connect_option,
        host_option,
        click.option("--dry-run", is_flag=True, help="Show the plan, change nothing."),
        click.option(
            "--even-of",
            type=click.Choice([one.value for one in Manager]),
            help="Though this one manages the domain, and would not know.",
        ),
        click.option("--wait", is_flag=True, help="Stay until the guest has let go, however long it takes."),
        click.option(
            "--timeout",
            default=30.0,
            show_default=True,
            type=click.FloatRange(0),
            metavar="SECONDS",
            help="How long to wait for a guest.",
        ),
    ):
        verb = option(verb)
    return verb


@click.command()
@click.argument("domain")
@click.argument("devices", metavar="DEVICE...", nargs=-1, required=True)
@click.option("--with-functions", is_flag=True, help="All functions of the card: GPU, audio, USB-C.")
@click.option("--at-start", is_flag=True, help="Whenever DOMAIN starts, and now where it runs; until detach.")
@attachment_options
@stop_option
@_options
def attach(
    domain: str,
    devices: tuple[str, ...],
    with_functions: bool,
    at_start: bool,
    as_json: bool,
    **how: Any,
) -> int:
    """Hand each DEVICE to the running DOMAIN: bind its group, reset it, plug it in.

    What else is in the group goes along, and the guest sees it only where it is named, too. Each DEVICE gets
    a port of its own in the guest: libvirt plugs whole slots, never a second function into one.

    Options are of the first DEVICE, and end with the attachment. A guest that has it otherwise loses it and
    gets it back: that takes --allow-disruption.

    With --at-start also a domain that is shut off is promised it: gpupass-promises.service gives it to the
    domain when that starts, and takes it back when it stops, however it does.
    """
    options = take_options(how)
    system, told = _how(options=options, **how)
    together = app.together(system, devices, with_functions)
    require_one(options, len(together))
    if at_start:
        promised = app.promise(system, domain, together, **told)
        return show_reports(*promised, as_json=as_json)
    reports = [app.attach(system, domain, *slots, **told) for slots in together]
    return show_reports(*reports, as_json=as_json)


def _force_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    verb = click.option("--yes", is_flag=True, help="What --force says it loses may be lost.")(verb)
    return click.option(
        "--force",
        is_flag=True,
        help="Destroy the guest when it has not let go within --timeout; only with --yes.",
    )(verb)


@click.command()
@click.argument("domain")
@click.argument("device")
@click.option("--at-start", is_flag=True, help="Nor when DOMAIN starts: what it was promised is taken back.")
@_force_options
@_options
def detach(
    domain: str, device: str, at_start: bool, force: bool, yes: bool, as_json: bool, **how: Any
) -> int:
    """Ask DOMAIN for DEVICE; done when the guest has let go and a reset is verified."""
    return _agreed(app.take_back if at_start else app.detach, (domain, device), force, yes, as_json, how)


@click.command()
@click.argument("device")
@click.option("--to", "target", required=True, metavar="DOMAIN", help="The running domain that gets it.")
@attachment_options
@stop_option
@_force_options
@_options
def move(device: str, target: str, force: bool, yes: bool, as_json: bool, **how: Any) -> int:
    """Take DEVICE from the domain that has it and hand it to another.

    Options of its attachment go along where they are not said anew, all but its address in the guest.
    """
    options = take_options(how)
    return _agreed(app.move, (device, target), force, yes, as_json, {"options": options, **how})


def _agreed(
    verb: Callable[..., Report | tuple[Report, ...]],
    words: tuple[str, ...],
    force: bool,
    yes: bool,
    as_json: bool,
    how: dict[str, Any],
) -> int:
    """Of force somebody must have said that what it loses may be lost; it is told before."""
    if force and how["wait"]:
        raise Usage("cannot wait for ever and then use force", "--timeout SECONDS --force --yes")
    system, options = _how(**how)

    def change(**told: Any) -> tuple[Report, ...]:
        came = verb(system, *words, force=force, **told)
        return (came,) if isinstance(came, Report) else came

    if force and not (yes or options["dry_run"]):
        planned = change(**{**options, "dry_run": True})
        if not as_json:
            show_reports(*planned, as_json=False)
        lost = "; ".join(finding.message for one in planned for finding in one.warnings)
        raise Usage(f"cannot use force, nobody has agreed: {lost or planned[0].title}", "the same with --yes")
    return show_reports(*change(**options), as_json=as_json)


def _how(
    host_dir: Path | None, timeout: float, wait: bool, dry_run: bool, even_of: str | None, **rest: Any
) -> tuple[Reader, dict[str, Any]]:
    """On which host, and what all three verbs are told beside what they are about."""
    told = {
        "timeout": math.inf if wait else timeout,
        "dry_run": dry_run or host_dir is not None,
        "even_of": Manager(even_of) if even_of is not None else None,
        **rest,
    }
    return reader_at(host_dir), told
