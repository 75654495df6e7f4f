"""PCI addresses: one spelling everywhere, `DDDD:BB:DD.F` in lower case.

A parent of mediated devices that is no PCI function goes by the kernel's name for it: `mbochs`. What is cut
from either and has no function of its own goes by the name of that and its part: `0000:01:00.0/3g.20gb@4`.
"""

import re
from typing import Annotated, NewType

from msgspec import Meta

_NAME = r"[A-Za-z][A-Za-z0-9_.-]{0,62}"
_SPELLED = r"([0-9a-f]{4}|[1-9a-f][0-9a-f]{4,7}):[0-9a-f]{2}:[01][0-9a-f]\.[0-7]"
_PART = r"[A-Za-z0-9][A-Za-z0-9._+,@-]{0,99}"  # of one device; no way out of its directory
Address = NewType("Address", Annotated[str, Meta(pattern=rf"^({_SPELLED}|{_NAME})$(?!\n)")])
Name = Annotated[str, Meta(pattern=rf"^({_SPELLED}|{_NAME})(/{_PART}){{0,8}}$(?!\n)")]  # of any carrier
PCI_DEVICES = "/sys/bus/pci/devices"
BOOT = Address("boot")  # no device: the files that decide about the next boot, locked like one
DEFINITIONS = Address("definitions")  # nor this: those of all domains
LASTING = frozenset({BOOT, DEFINITIONS})  # what a reboot does not take back

_PARENT = re.compile(_NAME)
_ADDRESS = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])", re.IGNORECASE)


def parse_address(text: str) -> Address | None:
    """The canonical address, or None when the text is not one: `1:0.0`, `01:00.0` and `0000:01:00.0` are."""
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        return None
    domain, bus, slot, function = match.groups()
    if int(slot, 16) > 0x1F:
        return None
    return Address(f"{int(domain or '0', 16):04x}:{int(bus, 16):02x}:{int(slot, 16):02x}.{function}")


def parent_address(name: str) -> Address | None:
    """The address of a parent in /sys/class/mdev_bus; None when it is no name to make a path of."""
    return parse_address(name) or (Address(name) if _PARENT.fullmatch(name) else None)


def root_of(name: Name) -> Address:
    """The function, or the parent, that it is cut from in the end."""
    return Address(name.partition("/")[0])


def bus_of(address: Address) -> int:
    return int(address.split(":")[1], 16)


def same_slot(a: Address, b: Address) -> bool:
    """Functions of one physical device: they differ only behind the dot."""
    return a.rpartition(".")[0] == b.rpartition(".")[0]


def sysfs(address: str, *below: str) -> str:
    """Where the kernel shows this function, or a file below it."""
    return "/".join((PCI_DEVICES, address, *below))
