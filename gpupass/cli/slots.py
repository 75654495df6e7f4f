"""`gpupass slots`."""

from pathlib import Path

import click

from gpupass import inspect
from gpupass.cli.inspect import reader_at
from gpupass.cli.output import connect_option, host_option, json_option, print_json


@click.command()
@click.argument("device", required=False)
@json_option
@host_option
@connect_option
def slots(device: str | None, as_json: bool, host_dir: Path | None, connect: str) -> None:
    """List what a domain or a container can be given: functions, VFs, vGPUs, mediated devices, MIG instances.

    The name is what attach, detach, move and profiles take.
    """
    found = inspect.list_slots(reader_at(host_dir), device, connect)
    if as_json:
        from gpupass.cli.documents.slots import Slotted, slot_document

        host = found.host
        documents = tuple(slot_document(offer, found.name(offer.slot)) for offer in found.offers)
        print_json(Slotted(slots=documents, iommu=host.iommu, kernel=host.kernel, unseen=host.unseen))
    else:
        from gpupass.cli.tables import print_slots

        print_slots(found)
