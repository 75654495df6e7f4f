"""/etc/pve/mapping/pci.cfg: resource mappings of Proxmox VE (pve-guest-common, PVE::Mapping::PCI)."""

import re
from collections.abc import Iterator

from gpupass.errors import Usage
from gpupass.exporting.handed import (
    Handed,
    Left,
    Written,
    by_kind,
    is_function,
    names_of,
    product,
    remarks,
    slug,
)
from gpupass.model.host import Device

_HEAD = """\
# For /etc/pve/mapping/pci.cfg, or `pvesh create /cluster/mapping/pci --id NAME --map …` for each.
# A VM asks for one of them: qm set VMID --hostpci0 mapping=NAME
"""
_MDEVS = """\
# Proxmox makes a vGPU or mediated device itself when its VM starts: --hostpci0 mapping=NAME,mdev=TYPE.
# A mapping cannot say which type; what is made already takes room.
"""
_NODE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def write_proxmox(handed: tuple[Handed, ...], left: tuple[Left, ...], hostname: str) -> Written:
    """`hostname` is what the node is called in its cluster; Usage where that is no such name."""
    node = hostname.partition(".")[0]
    if _NODE.fullmatch(node) is None:
        what = (
            f"{hostname!r} is no name of a node" if hostname else "the record does not tell the node's name"
        )
        raise Usage(f"cannot export: {what}", "--node NAME, as pvesh get /nodes tells it")
    mapped = [*_mapped(handed)]
    lines = [*_sections(mapped, node), *remarks(mapped, left)]
    mediates = any(_mediates(one.device) for one in mapped)
    head = _HEAD + (_MDEVS if mediates else "")
    return Written(text="\n".join((head, *lines, "")), left=left)


def _mapped(handed: tuple[Handed, ...]) -> Iterator[Handed]:
    """A parent of mediated devices once."""
    seen = set()
    for one in handed:
        if is_function(one) or one.device.address not in seen:
            seen.add(one.device.address)
            yield one


def _sections(mapped: list[Handed], node: str) -> Iterator[str]:
    whole = [_of_any_type(one) if _mediates(one.device) else one for one in mapped]
    names = names_of(whole, lambda one: slug(one.called))
    for kind, ones in by_kind(whole).items():
        yield names[kind]
        for one in ones:
            yield f"\tmap {','.join(_map(one.device, node))}"
        if _mediates(ones[0].device):
            yield "\tmdev 1"
        yield ""


def _of_any_type(one: Handed) -> Handed:
    """Which one it is its VM says."""
    return Handed(slot=one.slot, device=one.device, called=f"{product(one.device)} mdev")


def _map(device: Device, node: str) -> Iterator[str]:
    """Proxmox starts no VM where one of them is not as it finds it, or is missing."""
    yield f"id={device.ids}"
    if device.group is not None:
        yield f"iommugroup={device.group}"
    yield f"node={node}"
    yield f"path={device.address}"
    if device.subsystem:
        yield f"subsystem-id={device.subsystem}"


def _mediates(device: Device) -> bool:
    """As Proxmox sees it: files of either framework are there."""
    return bool(device.facts.mdev_types) or device.facts.vgpu is not None
