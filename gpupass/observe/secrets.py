"""Domain XML without what must not leave the host; pure."""

from xml.etree import ElementTree

_ATTRIBUTES = ("passwd", "passwdValidTo", "password", "secret")
_ELEMENTS = ("secret", "auth", "launchSecurity", "sysinfo", "metadata", "description")
_QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"


def without_secrets(xml: str) -> str:
    """Passwords, secrets, free texts and QEMU arguments go; "" when the text is no XML."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return ""
    for element in list(root.iter()):
        for name in _ATTRIBUTES:
            element.attrib.pop(name, None)
        for child in list(element):
            if child.tag in _ELEMENTS or child.tag.startswith(_QEMU):
                element.remove(child)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
