"""`gpupass attach`, `gpupass detach` and `gpupass move`."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from gpupass import app
from gpupass.app import Report
from gpupass.cli.output import connect_option, json_option
from gpupass.cli.report import show_reports
from gpupass.errors import Usage
from gpupass.model.domain import Manager
from gpupass.system import System


def _options(verb: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        json_option,
        connect_option,
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
@_options
def attach(domain: str, devices: tuple[str, ...], with_functions: bool, as_json: bool, **how: Any) -> int:
    """Hand each DEVICE to the running DOMAIN: bind its group, reset it, plug it in.

    What else is in the group goes along, and the guest sees it only where it is named, too. Each DEVICE gets
    a port of its own in the guest: libvirt plugs whole slots, never a second function into one.
    """
    system = System()
    together = app.together(system, devices, with_functions)
    reports = [app.attach(system, domain, *slots, **_how(**how)) for slots in together]
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
@_force_options
@_options
def detach(domain: str, device: str, force: bool, yes: bool, as_json: bool, **how: Any) -> int:
    """Ask DOMAIN for DEVICE; done when the guest has let go and a reset is verified."""
    change = partial(app.detach, System(), domain, device, force=force)
    return _agreed(change, force, yes, as_json, how)


@click.command()
@click.argument("device")
@click.option("--to", "target", required=True, metavar="DOMAIN", help="The running domain that gets it.")
@_force_options
@_options
def move(device: str, target: str, force: bool, yes: bool, as_json: bool, **how: Any) -> int:
    """Take DEVICE from the domain that has it and hand it to another."""
    return _agreed(partial(app.move, System(), device, target, force=force), force, yes, as_json, how)


def _agreed(change: Callable[..., Report], force: bool, yes: bool, as_json: bool, how: dict[str, Any]) -> int:
    """Of force somebody must have said that what it loses may be lost; it is told before."""
    if force and how["wait"]:
        raise Usage("cannot wait for ever and then use force", "--timeout SECONDS --force --yes")
    options = _how(**how)
    if force and not (yes or how["dry_run"]):
        planned = change(**{**options, "dry_run": True})
        if not as_json:
            show_reports(planned, as_json=False)
        lost = "; ".join(finding.message for finding in planned.warnings)
        raise Usage(f"cannot use force, nobody has agreed: {lost or planned.title}", "the same with --yes")
    return show_reports(change(**options), as_json=as_json)


def _how(timeout: float, wait: bool, even_of: str | None, **rest: Any) -> dict[str, Any]:
    """What all three verbs are told beside what they are about."""
    manager = Manager(even_of) if even_of is not None else None
    return {"timeout": math.inf if wait else timeout, "even_of": manager, **rest}
