"""The reading verbs for people: tables of 80 to 100 columns, colours on a terminal only."""

import sys
from collections.abc import Callable, Iterable

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gpupass.cli.wording import bars_text, link_text, short_name, sriov_text, users_text, verdict_line
from gpupass.inspect import Groups, Listing, Shown
from gpupass.methods.verdict import NO_IOMMU, NO_IOMMU_REMEDY
from gpupass.model.host import Device, Host
from gpupass.model.pci_class import class_words
from gpupass.model.verdict import Verdict

_WIDTH = 100


def print_list(listing: Listing) -> None:
    _print(lambda console: _list(console, listing))


def print_device(shown: Shown) -> None:
    _print(lambda console: _device(console, shown))


def print_groups(groups: Groups) -> None:
    _print(lambda console: _groups(console, groups))


def _list(console: Console, listing: Listing) -> None:
    table = _table("ADDRESS", "NAME", "DRIVER", "GROUP", "USED BY", ellipsis=("NAME", "USED BY"))
    for device in listing.devices:
        table.add_row(
            device.address,
            escape(short_name(device)),
            device.driver or "-",
            "-" if device.group is None else str(device.group),
            escape(users_text(device.users)),
        )
    if listing.devices:
        console.print(table)
    else:
        console.print("no GPU or accelerator here; all devices: gpupass list --all")
    _print_footer(console, listing.host)


def _device(console: Console, shown: Shown) -> None:
    device, verdict = shown.device, shown.verdict
    console.print(f"[bold]{device.address}[/]  {escape(short_name(device))}", soft_wrap=True)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, text in _facts(device, shown.host):
        if text:
            grid.add_row(f"  {label}", escape(text))
    for user in device.users:
        grid.add_row("  used by", escape(users_text((user,), detailed=True)))
    for label, text in _verdict_rows(verdict):
        grid.add_row(f"  {label}", escape(text))
    console.print(grid)
    _print_footer(console, shown.host)


def _groups(console: Console, groups: Groups) -> None:
    for verdict in groups.verdicts:
        style = "green" if verdict.viable else "red"
        console.print(
            f"[bold]group {verdict.group}[/]: [{style}]{escape(verdict_line(verdict))}[/]", soft_wrap=True
        )
        table = _table("", "", "", "", header=False, ellipsis=(1, 3))
        for member in groups.host.devices_at(verdict.members):
            table.add_row(
                f"  {member.address}",
                escape(short_name(member)),
                member.driver or "-",
                escape(users_text(member.users)),
            )
        console.print(table)
        if verdict.acs and len(verdict.members) > 1:
            console.print(f"  [dim]why together: {escape(verdict.acs)}[/]", soft_wrap=True)
        for warning in verdict.warnings:
            console.print(f"  [yellow]warning[/]: {escape(warning)}", soft_wrap=True)
    if not groups.verdicts and groups.host.iommu.enabled:
        console.print("no group holds a GPU or accelerator; all groups: gpupass groups --all")
    _print_footer(console, groups.host)


def _facts(device: Device, host: Host) -> Iterable[tuple[str, str]]:
    facts = device.facts
    yield (
        "vendor:device",
        device.ids
        + (
            f" (subsystem {facts.subsystem[0]:04x}:{facts.subsystem[1]:04x}, revision {facts.revision:02x})"
            if facts.subsystem
            else ""
        ),
    )
    yield "class", f"{class_words(device.class_code)} ({device.class_code >> 8:04x})"
    yield "assignable", "no: a bridge" if device.is_bridge else ""
    yield "driver", device.driver or "none"
    would_bind = facts.driver_override or facts.host_driver or "none"
    yield "would bind", would_bind + (" (driver_override)" if facts.driver_override else "")
    yield "physical slot", device.slot or ""
    yield "serial", facts.serial or ""
    yield "NUMA node", "" if facts.numa_node is None else str(facts.numa_node)
    yield "boot display", "yes" if facts.boot_display else ""
    yield "link", link_text(facts.link)
    for bar in bars_text(facts.bars):
        yield "BAR", bar
    yield "reset", " ".join(facts.reset_methods) or "none"
    yield "power", ", ".join(part for part in (facts.power_state, facts.runtime_status) if part)
    yield "SR-IOV", sriov_text(facts.sriov)
    yield "physical function", device.physfn or ""
    for mdev in facts.mdev_types:
        yield "mdev type", f"{mdev.id} ({mdev.name}): {mdev.available} free, {mdev.device_api}"
    for uuid in facts.mdevs:
        yield "mdev", uuid
    yield "answers", "" if facts.responds else "no: configuration space reads all ones"
    if facts.nvidia is not None:
        nvidia = facts.nvidia
        yield "GPU UUID", nvidia.uuid
        yield "GPU serial", nvidia.serial or ""
        yield "MIG", nvidia.mig or ""
        if nvidia.memory_total is not None:
            yield "GPU memory", f"{nvidia.memory_used or 0} of {nvidia.memory_total} MiB used"
        if nvidia.persistence is not None:
            yield "persistence", "on" if nvidia.persistence else "off"


def _verdict_rows(verdict: Verdict) -> Iterable[tuple[str, str]]:
    group = "none" if verdict.group is None else f"{verdict.group}: {', '.join(verdict.members)}"
    yield "IOMMU group", group
    yield "can be given", verdict_line(verdict)
    for staying in verdict.staying:
        yield "  remedy", staying.remedy
    if verdict.acs and len(verdict.members) > 1:
        yield "why together", verdict.acs
    for warning in verdict.warnings:
        yield "warning", warning


def _print_footer(console: Console, host: Host) -> None:
    if not host.iommu.enabled:
        console.print(f"[yellow]{NO_IOMMU}[/]: {NO_IOMMU_REMEDY}", soft_wrap=True)
    for note in host.unseen:
        console.print(f"[dim]not seen: {escape(note)}[/]", soft_wrap=True)


def _print(draw: Callable[[Console], None]) -> None:
    """Rich fills lines with blanks; what goes to a file or a pipe should not have them."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False, emoji=False)
    with console.capture() as capture:
        draw(console)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _table(*columns: str, header: bool = True, ellipsis: tuple[object, ...] = ()) -> Table:
    table = Table(box=None, show_header=header, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        elastic = column in ellipsis or number in ellipsis
        table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=None if elastic else 1)
    return table
