"""Domain XML without what must not leave the host; pure."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from gpupass.lending.qemu_arguments import device_arguments

_ATTRIBUTES = ("passwd", "passwdValidTo", "password", "secret")
_ELEMENTS = ("secret", "auth", "launchSecurity", "sysinfo", "metadata", "description")
_QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"


def without_secrets(xml: str) -> str:
    """Passwords, secrets, free texts and QEMU arguments go, but for those that name a device of the host.

    "" when the text is no XML.
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return ""
    managers = [one.tag for one in root.iterfind("metadata/*")]
    arguments = [arg.get("value", "") for arg in root.iterfind(f"{_QEMU}commandline/{_QEMU}arg")]
    for element in list(root.iter()):
        for name in _ATTRIBUTES:
            element.attrib.pop(name, None)
        for child in list(element):
            if child.tag in _ELEMENTS or child.tag.startswith(_QEMU):
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
