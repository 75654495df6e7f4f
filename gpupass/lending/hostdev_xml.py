"""The `<hostdev>` element of one attachment, and its alias."""

import xml.etree.ElementTree as ElementTree

from gpupass.model.address import Address


def alias_of(address: Address, mdev: str | None = None) -> str:
    """User aliases start with `ua-` (libvirt formatdomain); one per function makes attaching idempotent."""
    return "ua-gpupass-" + (mdev or address.replace(":", "-").replace(".", "-"))


def mdev_xml(uuid: str, alias: str) -> str:
    """No `display` and no `ramfb`: they need a graphics device, and ramfb forbids hot-plug."""
    hostdev = ElementTree.Element("hostdev", mode="subsystem", type="mdev", model="vfio-pci")
    ElementTree.SubElement(ElementTree.SubElement(hostdev, "source"), "address", uuid=uuid)
    ElementTree.SubElement(hostdev, "alias", name=alias)
    return ElementTree.tostring(hostdev, encoding="unicode")


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
