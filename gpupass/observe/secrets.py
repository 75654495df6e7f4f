"""Domain XML without what must not leave the host; pure."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from gpupass.lending.qemu_arguments import device_arguments

_ATTRIBUTES = ("passwd", "passwdValidTo", "password", "secret", "query")
_OF_DOMAIN = frozenset(
    (
        *("name", "uuid", "memory", "currentMemory", "maxMemory", "memtune", "memoryBacking", "numatune"),
        *("os", "devices", "vcpu"),
    )
)
_INSIDE = frozenset(  # of what stands deeper; every device stays, for the address that it takes
    (
        *("type", "hard_limit", "locked", "hugepages", "page", "memory", "memnode", "address", "alias"),
        *("source", "target", "driver", "model", "adapter", "slices", "slice", "backingStore", "mirror"),
        *("mac", "vlan", "tag", "rom", "virtualport", "parameters", "format", "teaming"),
    )
)
_QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"


def without_secrets(xml: str) -> str:
    """Only what is read of it stays, and of QEMU's arguments those that name a device of the host.

    "" when the text is no XML.
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return ""
    managers = [one.tag for one in root.iterfind("metadata/*")]
    arguments = [arg.get("value", "") for arg in root.iterfind(f"{_QEMU}commandline/{_QEMU}arg")]
    devices = root.findall("devices/*")
    for element in list(root.iter()):
        for name in _ATTRIBUTES:
            element.attrib.pop(name, None)
        for child in list(element):
            if child.tag not in (_OF_DOMAIN if element is root else _INSIDE) and child not in devices:
                element.remove(child)
    _devices_again(root, arguments)
    _managers_again(root, managers)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _managers_again(root: Element, tags: list[str]) -> None:
    """Who manages it, without what that one keeps there."""
    if tags:
        metadata = SubElement(root, "metadata")
        for tag in tags:
            SubElement(metadata, tag)


def _devices_again(root: Element, arguments: list[str]) -> None:
    kept = list(device_arguments(arguments))
    if kept:
        line = SubElement(root, f"{_QEMU}commandline")
        for value in kept:
            SubElement(line, f"{_QEMU}arg", {"value": value})
