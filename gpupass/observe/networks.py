"""Interfaces that carry a route of the host, or a bridge port → the PCI functions that they are."""

import re
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address

from gpupass.model.address import Address
from gpupass.model.user import User, UserKind
from gpupass.observe.disks import addresses_in
from gpupass.observe.number import number
from gpupass.system import Reader

_NET = "/sys/class/net"
_UP = 0x1  # RTF_UP of linux/route.h
_REJECT = 0x200  # RTF_REJECT


def read_network_users(system: Reader) -> dict[Address, tuple[User, ...]]:
    carried: dict[str, dict[str, None]] = {}  # interface → what it is needed for
    for interface, route in _routes(system):
        for lower in _lowest(system, interface):
            via = "" if lower == interface else f" through {interface}"
            carried.setdefault(lower, {})[f"route {route}{via}"] = None
    for interface in system.names(_NET):
        if system.exists(f"{_NET}/{interface}/brport"):
            bridge = system.link(f"{_NET}/{interface}/brport/bridge") or "a bridge"
            carried.setdefault(interface, {}).setdefault(f"port of bridge {bridge}")
    users: dict[Address, list[User]] = {}
    for interface, needs in carried.items():
        path = system.resolve(f"{_NET}/{interface}") or ""
        user = User(kind=UserKind.NETWORK, name=interface, detail=_sentence(list(needs)))
        for address in addresses_in(path):
            users.setdefault(address, []).append(user)
    return {address: tuple(found) for address, found in users.items()}


def _sentence(needs: list[str]) -> str:
    needs.sort(key=lambda need: (not need.startswith("route default"), need))
    return needs[0] if len(needs) == 1 else f"{needs[0]} and {len(needs) - 1} more"


def _lowest(system: Reader, interface: str, depth: int = 0) -> list[str]:
    """Through bridges, bonds and VLANs down to real interfaces."""
    lower = [name[6:] for name in system.names(f"{_NET}/{interface}") if name.startswith("lower_")]
    if not lower or depth > 16:
        return [interface]
    return [low for name in lower for low in _lowest(system, name, depth + 1)]


def _routes(system: Reader) -> Iterator[tuple[str, str]]:
    """(interface, destination); IPv6's own link-local and multicast routes do not count."""
    for line in (system.read("/proc/net/route") or "").splitlines()[1:]:
        words = line.split()
        if len(words) >= 8 and _is_up(words[3]):
            yield words[0], _ipv4(words[1], words[7])
    for line in (system.read("/proc/net/ipv6_route") or "").splitlines():
        words = line.split()
        if len(words) < 10 or words[9] == "lo":
            continue
        if _is_up(words[8]) and not words[0].startswith(("fe8", "ff")):
            yield words[9], _ipv6(words[0], words[1])


def _ipv4(destination: str, mask: str) -> str:
    """The kernel prints the addresses as numbers of its own byte order."""
    length = (number(mask, 16) or 0).bit_count()
    address = IPv4Address(struct.pack("<I", (number(destination, 16) or 0) & 0xFFFFFFFF))
    return "default" if length == 0 else f"{address}/{length}"


def _ipv6(destination: str, length: str) -> str:
    from ipaddress import IPv6Address

    bits = number(length, 16) or 0
    if bits == 0:
        return "default (IPv6)"
    if not re.fullmatch(r"[0-9a-f]{32}", destination):
        return f"{destination}/{bits}"
    return f"{IPv6Address(int(destination, 16))}/{bits}"


def _is_up(flags: str) -> bool:
    found = number(flags, 16) or 0
    return bool(found & _UP) and not found & _REJECT
