"""The options of an attachment on the command line: each is called as in a profile."""

from collections.abc import Callable
from typing import Any

import click

from gpupass.errors import Usage
from gpupass.model.options import IOMMUFD, VFIO, Options

TYPED: dict[str, dict[str, Any]] = {
    "rom": {"metavar": "FILE|none|default", "help": "The ROM that the guest sees of it."},
    "guest-address": {"metavar": "ADDRESS", "help": "Where in the guest, on a free hot-plug port: 05:00.0."},
    "driver": {"type": click.Choice([VFIO, IOMMUFD]), "help": "How QEMU opens it; iommufd: libvirt 12.1."},
    "reset-method": {"metavar": "NAME", "help": "How it is reset: flr, bus, device_specific, …, or default."},
    "disable-idle-d3": {
        "type": click.Choice(["on", "off"]),
        "help": "Never let it sleep while it is unused.",
    },
    "mac": {"metavar": "MAC|default", "help": "Of a network's virtual function: its MAC."},
    "vlan": {"metavar": "NUMBER", "help": "… the VLAN that it is in; 0: none."},
    "trust": {"type": click.Choice(["on", "off"]), "help": "… its guest may change its MAC."},
    "rate": {"metavar": "MBIT", "help": "… what it may send at most, in Mbit/s; 0: no limit."},
    "qemu-property": {
        "metavar": "NAME=VALUE",
        "multiple": True,
        "help": "x-igd-opregion=on and the like: refused, and told where libvirt takes it.",
    },
    "bar": {"metavar": "N=SIZE", "multiple": True, "help": "Size of a resizable BAR: 1=16G. Several times."},
}


def attachment_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    for name, how in reversed(TYPED.items()):
        verb = click.option(f"--{name}", **how)(verb)
    return click.option(
        "--allow-disruption",
        "disruption",
        is_flag=True,
        help="Even if the guest has it, with other options, and loses it meanwhile.",
    )(verb)


def take_options(how: dict[str, Any]) -> Options:
    """Out of what click has read; how it is imported says that most attachments have none."""
    typed = {name: how.pop(name.replace("-", "_")) for name in TYPED}
    said = {name: value for name, value in typed.items() if value not in (None, ())}
    if not said:
        return Options()
    from gpupass.profiles.options import read_options

    return read_options(said)


def require_one(options: Options, devices: int) -> None:
    if options.said is not None and devices > 1:
        raise Usage(
            f"cannot attach several devices with {options.words}: an option is of one",
            "gpupass attach, for each by itself",
        )
