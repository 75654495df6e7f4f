"""The `<hostdev>` element of one attachment, and its alias."""

import xml.etree.ElementTree as ElementTree

from gpupass.model.address import Address


def alias_of(address: Address) -> str:
    """User aliases start with `ua-` (libvirt formatdomain); one per function makes attaching idempotent."""
    return "ua-gpupass-" + address.replace(":", "-").replace(".", "-")


def hostdev_xml(address: Address, alias: str, exposed: bool) -> str:
    """managed='no': libvirt touches no driver. Not exposed: libvirt owns it, QEMU never sees it."""
    domain, bus, rest = address.split(":")
    slot, _, function = rest.partition(".")
    hostdev = ElementTree.Element("hostdev", mode="subsystem", type="pci", managed="no")
    source = ElementTree.SubElement(hostdev, "source")
    ElementTree.SubElement(
        source,
        "address",
        domain=f"0x{domain}",
        bus=f"0x{bus}",
        slot=f"0x{slot}",
        function=f"0x{function}",
    )
    ElementTree.SubElement(hostdev, "alias", name=alias)
    if not exposed:
        ElementTree.SubElement(hostdev, "address", type="unassigned")
    return ElementTree.tostring(hostdev, encoding="unicode")
