"""list, show, groups, record."""

from pathlib import Path

import click

from gpupass import inspect
from gpupass.cli.output import connect_option, host_option, json_option, print_json, tell
from gpupass.errors import Usage
from gpupass.model.address import PCI_DEVICES
from gpupass.system import Reader, RecordedHost, System

_DEVICE_HELP = "DEVICE: PCI address, GPU UUID, serial number or physical slot."


@click.command("list")
@click.option(
    "--all", "everything", is_flag=True, help="Every assignable device, not only GPUs and accelerators."
)
@json_option
@host_option
@connect_option
def list_(everything: bool, as_json: bool, host_dir: Path | None, connect: str) -> None:
    """List GPUs and accelerators, their drivers and who uses them."""
    listing = inspect.list_devices(reader_at(host_dir), connect, everything)
    if as_json:
        from gpupass.cli.documents.devices import Listed, device_document

        host = listing.host
        devices = tuple(device_document(device, host) for device in listing.devices)
        print_json(
            Listed(
                devices=devices,
                conditions=listing.conditions,
                iommu=host.iommu,
                kernel=host.kernel,
                unseen=host.unseen,
            )
        )
    else:
        from gpupass.cli.tables import print_list

        print_list(listing)


@click.command(epilog=_DEVICE_HELP)
@click.argument("device")
@json_option
@host_option
@connect_option
def show(device: str, as_json: bool, host_dir: Path | None, connect: str) -> None:
    """Show everything about one DEVICE and whether its group can be given away."""
    shown = inspect.show_device(reader_at(host_dir), device, connect)
    if as_json:
        from gpupass.cli.documents.devices import Shown, device_document
        from gpupass.devices.conditions import promised_to

        host = shown.host
        print_json(
            Shown(
                device=device_document(shown.device, host),
                verdict=shown.verdict,
                promised=promised_to(host, shown.device.address),
                iommu=host.iommu,
                kernel=host.kernel,
                said=shown.said,
                unseen=host.unseen,
            )
        )
    else:
        from gpupass.cli.tables import print_device

        print_device(shown)


@click.command()
@click.option("--all", "everything", is_flag=True, help="Groups without a GPU or accelerator, too.")
@json_option
@host_option
@connect_option
def groups(everything: bool, as_json: bool, host_dir: Path | None, connect: str) -> None:
    """Say of each IOMMU group whether it can be given to a guest, and why not."""
    found = inspect.list_groups(reader_at(host_dir), connect, everything)
    if as_json:
        from gpupass.cli.documents.devices import Grouped, group_document

        host = found.host
        documents = tuple(group_document(verdict, host) for verdict in found.verdicts)
        print_json(Grouped(groups=documents, iommu=host.iommu, kernel=host.kernel, unseen=host.unseen))
    else:
        from gpupass.cli.tables import print_groups

        print_groups(found)


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@json_option
@connect_option
def record(directory: Path, as_json: bool, connect: str) -> None:
    """Store this host in DIR: its sysfs tree, NVML answers and domain XML, without secrets.

    Every reading verb works on it with --host DIR; attach it to a bug report.
    """
    stored = inspect.record_host(System(), directory, connect)
    if as_json:
        from gpupass.cli.documents.devices import Recorded

        print_json(
            Recorded(directory=str(directory), files=stored.files, bytes=stored.size, unseen=stored.unseen)
        )
        return
    tell(f"stored {stored.files} files, {stored.size / 1024:.0f} KiB, in {directory}")
    for note in stored.unseen:
        tell(f"not seen: {note}")
    tell(f"look at it: gpupass list --host {directory}")


def reader_at(host_dir: Path | None) -> Reader:
    """This machine, or a recorded one."""
    if host_dir is None:
        return System()
    host = RecordedHost(host_dir)
    if not host.exists(PCI_DEVICES):
        raise Usage(f"cannot read a host from {host_dir}: it is no record", f"gpupass record {host_dir}")
    return host
