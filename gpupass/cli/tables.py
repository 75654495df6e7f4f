"""The reading verbs for people: tables of 80 to 100 columns, colours on a terminal only."""

import sys
from collections.abc import Callable, Iterable, Sequence

from rich import markup
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from gpupass.cli.output import show_finding, tell_drawn
from gpupass.cli.printable import printable
from gpupass.cli.wording import (
    bars_text,
    full_name,
    gim_text,
    link_text,
    mdev_text,
    mig_rows,
    partitions_text,
    shares_text,
    short_name,
    size_text,
    sriov_text,
    users_text,
    verdict_line,
    vgpu_text,
)
from gpupass.devices.conditions import promised_to
from gpupass.devices.hive import hive_of
from gpupass.devices.verdict import NO_IOMMU, NO_IOMMU_REMEDY
from gpupass.inspect import DomainChecked, Groups, Listing, Shown, Slots
from gpupass.model.host import Base, Device, Host
from gpupass.model.pci_class import class_words
from gpupass.model.verdict import Verdict

_WIDTH = 100
_SAID = 8  # lines of the kernel's log


def print_list(listing: Listing) -> None:
    draw(lambda console: _list(console, listing))


def print_device(shown: Shown) -> None:
    draw(lambda console: _device(console, shown))


def print_groups(groups: Groups) -> None:
    draw(lambda console: _groups(console, groups))


def print_slots(slots: Slots) -> None:
    draw(lambda console: _slots(console, slots))


def _slots(console: Console, slots: Slots) -> None:
    rows = [
        (
            slots.name(offer.slot),
            offer.slot.kind.value,
            offer.size or "-",
            offer.owner or "-",
            offer.state.value,
            _use(
                users_text(offer.users),
                (f"promised to {', '.join(offer.promised)}",) if offer.promised else (),
            ),
        )
        for offer in slots.offers
    ]
    if rows:
        heads = ("SLOT", "KIND", "SIZE", "MADE BY", "STATE", "USED BY")
        console.print(_table(console, rows, heads, elastic={5: 7, 0: 16}))
    else:
        console.print("no GPU, accelerator or cut device here; one device: gpupass slots DEVICE")
    _print_footer(console, slots.host)


def print_domain(found: DomainChecked) -> None:
    draw(lambda console: _domain(console, found))
    for finding in found.findings:
        show_finding("no: " if finding.fatal else "warning: ", finding.message, finding.remedy)


def _domain(console: Console, found: DomainChecked) -> None:
    domain = found.domain
    console.print(f"[bold]{escape(domain.name)}[/]: {domain.state.value}, {escape(domain.machine or '-')}")
    rows = [
        (
            f"  {port.index}",
            "yes" if port.hotplug else "off",
            "used" if port.occupied else "free",
            _window(port.memory_window),
            _window(port.prefetchable_window),
        )
        for port in domain.ports
    ]
    if rows:
        heads = ("  PORT", "HOT-PLUG", "STATE", "MEMORY", "PREFETCHABLE")
        console.print(_table(console, rows, heads, elastic={}))


def _window(size: int | None) -> str:
    return "-" if size is None else size_text(size)


def _use(users: str, conditions: tuple[str, ...]) -> str:
    """What forbids giving it away comes first: it is cut off last."""
    return ", ".join((*conditions, *((users,) if users != "-" or not conditions else ())))


def _list(console: Console, listing: Listing) -> None:
    rows = [
        (
            device.address,
            short_name(device),
            *_driven(device),
            _use(users_text(device.users), listing.conditions.get(device.address, ())),
        )
        for device in listing.devices
    ]
    if rows:
        console.print(
            _table(console, rows, ("ADDRESS", "NAME", "DRIVER", "GROUP", "USED BY"), elastic={1: 16, 4: 22})
        )
    else:
        console.print("no GPU or accelerator here; all devices: gpupass list --all")
    _print_footer(console, listing.host)


def _device(console: Console, shown: Shown) -> None:
    device, verdict = shown.device, shown.verdict
    console.print(f"[bold]{device.address}[/]  {escape(full_name(device))}", soft_wrap=True)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, text in _facts(device, shown.host):
        if text:
            grid.add_row(f"  {label}", escape(text))
    for user in device.users:
        grid.add_row("  used by", escape(users_text((user,), detailed=True)))
    promised = promised_to(shown.host, device.address)
    if promised:
        grid.add_row("  promised to", escape(", ".join(promised)))
    for label, text in _verdict_rows(verdict) if isinstance(device, Device) else ():
        grid.add_row(f"  {label}", escape(text))
    for line in shown.said[-_SAID:]:
        grid.add_row("  kernel said", escape(line))
    console.print(grid)
    _print_footer(console, shown.host)


def _groups(console: Console, groups: Groups) -> None:
    for verdict in groups.verdicts:
        style = "green" if verdict.viable else "red"
        console.print(
            f"[bold]group {verdict.group}[/]: [{style}]{escape(verdict_line(verdict))}[/]", soft_wrap=True
        )
        rows = [
            (f"  {member.address}", short_name(member), member.driver or "-", users_text(member.users))
            for member in groups.host.devices_at(verdict.members)
        ]
        console.print(_table(console, rows, elastic={1: 16, 3: 22}))
        if verdict.acs and len(verdict.members) > 1:
            console.print(f"  [dim]why together: {escape(verdict.acs)}[/]", soft_wrap=True)
        for text in verdict.advice:
            console.print(f"  [dim]apart: {escape(text)}[/]", soft_wrap=True)
        for warning in verdict.warnings:
            console.print(f"  [yellow]warning[/]: {escape(warning)}", soft_wrap=True)
    if not groups.verdicts and groups.host.iommu.enabled:
        console.print("no group holds a GPU or accelerator; all groups: gpupass groups --all")
    _print_footer(console, groups.host)


def _driven(device: Base) -> tuple[str, str]:
    """Its driver and its IOMMU group."""
    if not isinstance(device, Device):
        return "-", "-"
    return device.driver or "-", "-" if device.group is None else str(device.group)


def _facts(device: Base, host: Host) -> Iterable[tuple[str, str]]:
    if isinstance(device, Device):
        yield from _pci_facts(device, host)
    for kind in device.facts.mdev_types:
        yield "mdev type", f"{kind.id} ({kind.name}): {kind.available} free, {kind.device_api}"
    for mdev in device.facts.mdevs:
        yield "mdev", mdev_text(mdev)


def _pci_facts(device: Device, host: Host) -> Iterable[tuple[str, str]]:
    facts = device.facts
    yield (
        "vendor:device",
        device.ids
        + (f" (subsystem {device.subsystem}, revision {facts.revision:02x})" if device.subsystem else ""),
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
    vgpu = facts.vgpu
    yield "vGPU", vgpu_text(vgpu) if vgpu is not None else ""
    yield "answers", "" if facts.responds else "no: configuration space reads all ones"
    if facts.nvidia is not None:
        nvidia = facts.nvidia
        yield "GPU UUID", nvidia.uuid
        yield "GPU serial", nvidia.serial or ""
        yield "GPU name", nvidia.name or ""
        yield "part number", nvidia.part_number or ""
        yield "MIG", nvidia.mig_mode or nvidia.mig_unseen
        yield from mig_rows(nvidia.mig)
        if nvidia.memory_total is not None:
            yield "GPU memory", f"{nvidia.memory_used or 0} of {nvidia.memory_total} MiB used"
        if nvidia.persistence is not None:
            yield "persistence", "on" if nvidia.persistence else "off"
    for share in shares_text(facts.intel, facts.sriov.enabled if facts.sriov is not None else 0):
        yield "share", share
    for partitions in partitions_text(facts.amd):
        yield "partitions", partitions
    hive = [member.address for member in hive_of(host, device) if member != device]
    yield "XGMI hive", f"with {', '.join(hive)}" if hive else ""
    yield "GIM", gim_text(facts.gim)


def _verdict_rows(verdict: Verdict) -> Iterable[tuple[str, str]]:
    group = "none" if verdict.group is None else f"{verdict.group}: {', '.join(verdict.members)}"
    yield "IOMMU group", group
    yield "can be given", verdict_line(verdict)
    for staying in verdict.staying:
        yield "  remedy", staying.remedy
    if verdict.acs and len(verdict.members) > 1:
        yield "why together", verdict.acs
    for text in verdict.advice:
        yield "apart", text
    for warning in verdict.warnings:
        yield "warning", warning


def _print_footer(console: Console, host: Host) -> None:
    if not host.iommu.enabled:
        console.print(f"[yellow]{NO_IOMMU}[/]: {NO_IOMMU_REMEDY}", soft_wrap=True)
    for note in host.unseen:
        console.print(f"[dim]not seen: {escape(note)}[/]", soft_wrap=True)


def escape(text: str) -> str:
    """Neither markup nor anything that a terminal obeys."""
    return markup.escape(printable(text))


def draw(drawn: Callable[[Console], None]) -> None:
    """Rich fills lines with blanks; what goes to a file or a pipe should not have them."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False, emoji=False)
    with console.capture() as capture:
        drawn(console)
    tell_drawn("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _table(
    console: Console, rows: Sequence[tuple[str, ...]], head: tuple[str, ...] = (), *, elastic: dict[int, int]
) -> Table:
    """Elastic columns may shrink to a width when the line is too long; the others are never cut."""
    rows = [tuple(map(printable, row)) for row in rows]
    table = Table(box=None, show_header=bool(head), header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    lines = [*rows, head] if head else rows
    for index, width in enumerate(_widths(lines, console.width, elastic)):
        title = head[index] if head else ""
        table.add_column(title, no_wrap=True, overflow="ellipsis", width=width)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def _widths(lines: Sequence[tuple[str, ...]], room: int, elastic: dict[int, int]) -> list[int]:
    widths = [max(cell_len(line[index]) for line in lines) for index in range(len(lines[0]))]
    excess = sum(widths) + 2 * len(widths) - room  # older rich pads the last column, too
    for index, least in elastic.items():
        give = max(0, min(excess, widths[index] - least))
        widths[index] -= give
        excess -= give
    return widths
