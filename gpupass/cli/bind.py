"""`gpupass bind`, `gpupass unbind` and `gpupass adopt`."""

from pathlib import Path

import click

from gpupass import app
from gpupass.cli.inspect import reader_at
from gpupass.cli.output import connect_option, host_option, json_option, stop_option
from gpupass.cli.report import show_reports


@click.command()
@click.argument("device")
@click.option("--driver", default="vfio-pci", show_default=True, help="The driver that shall have it.")
@click.option(
    "--with",
    "agreed",
    multiple=True,
    metavar="ADDRESS",
    help="A device of another slot in the same IOMMU group that may move along.",
)
@click.option("--allow-boot-display", is_flag=True, help="Even if the host's console is on it.")
@stop_option
@click.option("--dry-run", is_flag=True, help="Show the plan, change nothing.")
@host_option
@json_option
def bind(
    device: str,
    driver: str,
    agreed: tuple[str, ...],
    allow_boot_display: bool,
    stop: tuple[str, ...],
    dry_run: bool,
    host_dir: Path | None,
    as_json: bool,
) -> int:
    """Move DEVICE and its whole IOMMU group to vfio-pci, ready for a guest."""
    report = app.bind(
        reader_at(host_dir),
        device,
        driver=driver,
        agreed=agreed,
        allow_boot_display=allow_boot_display,
        stop=stop,
        dry_run=dry_run or host_dir is not None,
    )
    return show_reports(report, as_json=as_json)


@click.command()
@click.argument("device")
@click.option("--dry-run", is_flag=True, help="Show the plan, change nothing.")
@host_option
@json_option
def unbind(device: str, dry_run: bool, host_dir: Path | None, as_json: bool) -> int:
    """Give DEVICE and its IOMMU group back to the drivers they had before."""
    dry_run = dry_run or host_dir is not None
    return show_reports(app.unbind(reader_at(host_dir), device, dry_run=dry_run), as_json=as_json)


@click.command()
@click.argument("device")
@click.option("--dry-run", is_flag=True, help="Show what would be adopted, change nothing.")
@host_option
@connect_option
@json_option
def adopt(device: str, dry_run: bool, host_dir: Path | None, connect: str, as_json: bool) -> int:
    """Treat as gpupass's own what others have bound, made or attached: DEVICE, its VFs, its attachments."""
    dry_run = dry_run or host_dir is not None
    report = app.adopt(reader_at(host_dir), device, connect=connect, dry_run=dry_run)
    return show_reports(report, as_json=as_json)
