"""`gpupass attach`, `gpupass detach` and `gpupass move`."""

import math
from collections.abc import Callable
from typing import Any

import click

from gpupass import app
from gpupass.cli.output import connect_option, json_option
from gpupass.cli.report import show_reports
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


@click.command()
@click.argument("domain")
@click.argument("device")
@_options
def detach(domain: str, device: str, as_json: bool, **how: Any) -> int:
    """Ask DOMAIN for DEVICE; done when the guest has let go and a reset is verified."""
    return show_reports(app.detach(System(), domain, device, **_how(**how)), as_json=as_json)


@click.command()
@click.argument("device")
@click.option("--to", "target", required=True, metavar="DOMAIN", help="The running domain that gets it.")
@_options
def move(device: str, target: str, as_json: bool, **how: Any) -> int:
    """Take DEVICE from the domain that has it and hand it to another."""
    return show_reports(app.move(System(), device, target, **_how(**how)), as_json=as_json)


def _how(timeout: float, wait: bool, even_of: str | None, **rest: Any) -> dict[str, Any]:
    """What all three verbs are told beside what they are about."""
    manager = Manager(even_of) if even_of is not None else None
    return {"timeout": math.inf if wait else timeout, "even_of": manager, **rest}
