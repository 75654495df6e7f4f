"""Why functions are in one IOMMU group, and where a card would be alone; pure."""

from gpupass.model.host import Acs, Device, Host

_OVERRIDE = (
    "pcie_acs_override= (a patched kernel's) only says that they are apart: they can still reach "
    "each other's memory, and so the host's"
)
_NAMED = 4  # ports


def acs_cause(members: tuple[Device, ...], host: Host) -> str | None:
    """Why members lie in one group: the topmost bridge in it that does not isolate.

    A bridge without ACS pulls what lies below it into its group (pci_device_group in drivers/iommu/iommu.c).
    """
    endpoints = [member for member in members if not member.is_bridge]
    slots = {member.address.rpartition(".")[0] for member in endpoints}
    if len(members) < 2 or not endpoints:
        return None
    if len(slots) == 1 and len(endpoints) > 1:
        return f"the functions of {slots.pop()} share one slot without ACS between them"
    ports = sorted((m for m in members if _is_port(m)), key=lambda port: (_depth(port, host), port.address))
    if not ports:
        return "they share a bus without ACS between them" if len(slots) > 1 else None
    missing = [port for port in ports if port.detail is not None and port.detail.acs is Acs.MISSING]
    if missing:
        port = missing[0]
        return f"{port.address} ({port.name or port.ids}) does not isolate what lies below it: no ACS"
    if any(port.detail is None or port.detail.acs is Acs.UNKNOWN for port in ports):
        return f"they meet at {ports[0].address}; whether it has ACS only root can read"
    return f"they meet at {ports[0].address}"


def _is_port(device: Device) -> bool:
    return device.class_code >> 8 == 0x0604


def _depth(device: Device, host: Host) -> int:
    depth = 0
    parent = device.parent
    while parent is not None and depth < 64:
        depth += 1
        above = host.device(parent)
        parent = above.parent if above is not None else None
    return depth


def advice(members: tuple[Device, ...], host: Host) -> tuple[str, ...]:
    """For a group of several cards: ports with nothing below that would keep a card by itself."""
    if len({member.address.rpartition(".")[0] for member in members if not member.is_bridge}) < 2:
        return ()
    parents = {device.parent for device in host.devices}
    free = [port.address for port in host.devices if port.address not in parents and _separates(port, host)]
    move = (
        f"a card below {', '.join(free[:_NAMED])} (empty now) would be in a group of its own"
        if free
        else "no empty port of this host is known to keep a card in a group of its own"
    )
    return (move, _OVERRIDE)


def _separates(port: Device, host: Host) -> bool:
    """A group of its own that does not take what is plugged below along."""
    isolates = port.detail is not None and port.detail.acs is Acs.ENABLED
    return _is_port(port) and isolates and host.group_of(port) == (port,)
