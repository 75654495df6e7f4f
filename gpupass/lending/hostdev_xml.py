"""The `<hostdev>` element of one attachment, and its alias."""

import xml.etree.ElementTree as ElementTree

from gpupass.model.address import Address
from gpupass.model.options import DEFAULT, IOMMUFD, NONE, UNSAID, Options


def alias_of(address: Address, mdev: str | None = None) -> str:
    """User aliases start with `ua-` (libvirt formatdomain); one per function makes attaching idempotent."""
    return "ua-gpupass-" + (mdev or address.replace(":", "-").replace(".", "-"))


def mdev_xml(uuid: str, alias: str, options: Options = UNSAID) -> str:
    """No `display` and no `ramfb`: they need a graphics device, and ramfb forbids hot-plug."""
    hostdev = ElementTree.Element("hostdev", mode="subsystem", type="mdev", model="vfio-pci")
    ElementTree.SubElement(ElementTree.SubElement(hostdev, "source"), "address", uuid=uuid)
    ElementTree.SubElement(hostdev, "alias", name=alias)
    _add_options(hostdev, options)
    return ElementTree.tostring(hostdev, encoding="unicode")


def hostdev_xml(address: Address, alias: str, exposed: bool, options: Options = UNSAID) -> str:
    """managed='no': libvirt touches no driver. Not exposed: libvirt owns it, QEMU never sees it."""
    hostdev = ElementTree.Element("hostdev", mode="subsystem", type="pci", managed="no")
    source = ElementTree.SubElement(hostdev, "source")
    ElementTree.SubElement(source, "address", _parts(address))
    ElementTree.SubElement(hostdev, "alias", name=alias)
    if not exposed:
        ElementTree.SubElement(hostdev, "address", type="unassigned")
    _add_options(hostdev, options)
    return ElementTree.tostring(hostdev, encoding="unicode")


def _parts(address: Address) -> dict[str, str]:
    domain, bus, rest = address.split(":")
    slot, _, function = rest.partition(".")
    return {
        "domain": f"0x{domain}",
        "bus": f"0x{bus}",
        "slot": f"0x{slot}",
        "function": f"0x{function}",
    }


def _add_options(hostdev: ElementTree.Element, options: Options) -> None:
    """What libvirt has an element for: <driver iommufd=> since 12.1."""
    if options.driver == IOMMUFD:
        ElementTree.SubElement(hostdev, "driver", name="vfio", iommufd="yes")
    if options.rom == NONE:
        ElementTree.SubElement(hostdev, "rom", bar="off")
    elif options.rom not in (None, DEFAULT):
        ElementTree.SubElement(hostdev, "rom", file=str(options.rom))
    if options.guest_address is not None:
        ElementTree.SubElement(hostdev, "address", {"type": "pci", **_parts(options.guest_address)})
