"""`gpupass slots`."""

from pathlib import Path

import click

from gpupass import inspect
from gpupass.cli.inspect import system_at
from gpupass.cli.output import connect_option, host_option, json_option, print_json
from gpupass.planner.offers import Offer


@click.command()
@click.argument("device", required=False)
@json_option
@host_option
@connect_option
def slots(device: str | None, as_json: bool, host_dir: Path | None, connect: str) -> None:
    """List what a domain or a container can be given: functions, VFs, vGPUs, mediated devices, MIG instances.

    The name is what attach, detach, move and profiles take.
    """
    found = inspect.list_slots(system_at(host_dir), device, connect)
    if as_json:
        from gpupass.cli.documents import host_document

        print_json(
            slots=[{**_document(offer), "called": found.name(offer.slot)} for offer in found.offers],
            **host_document(found.host),
        )
    else:
        from gpupass.cli.tables import print_slots

        print_slots(found)


def _document(offer: Offer) -> dict[str, object]:
    slot = offer.slot
    return {
        "name": slot.name,
        "kind": slot.kind.value,
        "device": slot.device,
        "part": slot.part or None,
        "mdev": slot.mdev,
        "size": offer.size or None,
        "owner": offer.owner or None,
        "state": offer.state.value,
        "users": offer.users,
        "domains": offer.domains,
    }
