"""`gpupass domain check` and `gpupass domain prepare`: what a domain must have to be given devices."""

import re
from functools import partial
from pathlib import Path

import click

from gpupass import inspect
from gpupass.app import Report
from gpupass.app.definition import definition_changes
from gpupass.app.definition import prepare as prepared
from gpupass.cli.agreement import agreed_to
from gpupass.cli.inspect import reader_at
from gpupass.cli.output import DIFFERENT, connect_option, host_option, json_option, print_json
from gpupass.model.domain import Manager
from gpupass.plan import Plan

_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def size(text: str) -> int:
    """Bytes: 268435456, 256M, 32G, 32GiB."""
    found = re.fullmatch(r"(\d{1,15})\s*([kmgt]?)(i?b)?", text.strip().lower())
    if found is None:
        raise click.BadParameter(f"{text} is no size: 256M, 32G or bytes")
    return int(found[1]) * _SIZES[found[2]]


@click.group()
def domain() -> None:
    """What a domain must have to be given devices while it runs."""


@domain.command()
@click.argument("name", metavar="DOMAIN")
@click.option("--device", metavar="DEVICE", help="Could it be given this one, and use it?")
@json_option
@host_option
@connect_option
def check(name: str, device: str | None, as_json: bool, host_dir: Path | None, connect: str) -> int:
    """Say whether something plugged into DOMAIN would be usable, not only accepted: exit status 3: no."""
    found = inspect.check_domain(reader_at(host_dir), name, device, connect)
    if as_json:
        from gpupass.cli.documents.domains import domain_document

        print_json(domain_document(found))
    else:
        from gpupass.cli.tables import print_domain

        print_domain(found)
    return 0 if found.usable else DIFFERENT


@domain.command()
@click.argument("name", metavar="DOMAIN")
@click.option(
    "--slots", type=click.IntRange(1, 64), required=True, metavar="N", help="For so many devices at once."
)
@click.option(
    "--largest-bar",
    type=size,
    default="0",
    metavar="SIZE",
    help="Each with room for BARs of this size, all prefetchable ones of a device together: 256M, 32G.",
)
@click.option(
    "--even-of",
    type=click.Choice([one.value for one in Manager]),
    help="Though this one manages the domain, and writes its definition anew.",
)
@click.option("--dry-run", is_flag=True, help="Show the changes, make none.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@host_option
@connect_option
def prepare(
    name: str,
    slots: int,
    largest_bar: int,
    even_of: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    host_dir: Path | None,
    connect: str,
) -> int:
    """Give the definition of DOMAIN ports for N devices: shows its XML, asks; from its next start on.

    Nothing that the guest has is moved. A limit of the memory that may be locked is raised to what VFIO
    needs, and the guest can no longer eject its own disks and interfaces.
    """
    reader = reader_at(host_dir)

    def verb(dry_run: bool, approved: Plan | None) -> Report:
        return prepared(
            reader,
            name,
            slots,
            largest_bar,
            connect=connect,
            even_of=Manager(even_of) if even_of is not None else None,
            approved=approved,
            dry_run=dry_run,
        )

    line = f"gpupass domain prepare {name} --slots {slots} --largest-bar {largest_bar} --yes"
    changes = partial(definition_changes, reader, name, connect)
    return agreed_to(verb, changes, line, dry_run or host_dir is not None, yes, as_json)
