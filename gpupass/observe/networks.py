"""The host's network, and its guests', followed to its end → the PCI functions that it goes through.

What stands on an interface are the `upper_*` and `master` links of the kernel (net/core/dev.c,
netdev_adjacent_sysfs_add): bridges, bonds, teams, VLANs, MACsec, ipvlan, macvtap, Open vSwitch's datapaths.
"""

import re
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from msgspec import Struct
from msgspec.structs import replace

from gpupass.model.address import Address, sysfs
from gpupass.model.domain import Domain, PartKind
from gpupass.model.host import Device
from gpupass.model.user import Holder, User, UserKind
from gpupass.observe.number import number
from gpupass.observe.paths import addresses_in
from gpupass.observe.uevent import parse_uevent
from gpupass.observe.vdpa import Vdpa
from gpupass.system import Reader

_NET = "/sys/class/net"
PPPOE = "/proc/net/pppoe"
_UP = 0x1  # RTF_UP of linux/route.h
_REJECT = 0x200  # RTF_REJECT
_NETWORK = 0x02  # the class
_CONFIG = UserKind.DOMAIN_CONFIG
_DEEP = 16
_KINDS = {"vlan": "VLAN", "openvswitch": "Open vSwitch", "macsec": "MACsec"}


class Interface(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One, with what it stands on and what stands on it."""

    functions: tuple[Address, ...]  # the PCI functions in its path
    lower: tuple[str, ...]
    upper: tuple[str, ...]
    master: str | None
    bridge: str | None  # whose port it is
    kind: str  # "bridge", "bond", "VLAN", …; "" where the kernel does not tell
    switch: str | None  # which switch it is a port of, a representor


class Network(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The interfaces of this name space, and its routes: (interface, destination)."""

    interfaces: Mapping[str, Interface]
    routes: tuple[tuple[str, str], ...]
    dialled: tuple[str, ...] = ()  # what PPPoE goes through: no link of sysfs leads from ppp0 to it

    def lowest(self, name: str, depth: int = 0) -> list[str]:
        """Through bridges, bonds and VLANs down to real interfaces."""
        known = self.interfaces.get(name)
        if known is None or not known.lower or depth > _DEEP:
            return [name]
        return list(dict.fromkeys(low for one in known.lower for low in self.lowest(one, depth + 1)))

    def functions(self, name: str) -> tuple[Address, ...]:
        """An older driver's representor lies below none: it has its switch in common with the uplink."""
        known = self.interfaces.get(name)
        if known is None or known.functions or known.switch is None:
            return known.functions if known is not None else ()
        return tuple(
            address
            for other in self.interfaces.values()
            if other.switch == known.switch
            for address in other.functions
        )

    def way_to(self, host: str) -> tuple[Address, ...]:
        """The functions that another machine is reached through; () where the routes do not tell."""
        try:
            wanted = ip_address(host.strip("[]"))
        except ValueError:
            return ()
        best: tuple[int, str] | None = None
        for interface, route in self.routes:
            net = _network(route)
            if net is not None and wanted in net and (best is None or net.prefixlen > best[0]):
                best = net.prefixlen, interface
        lowest = self.lowest(best[1]) if best is not None else []
        return tuple(address for low in lowest for address in self.functions(low))


class Need(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an interface cannot be spared, and who would have to end."""

    words: str
    holder: Holder
    handle: str = ""
    kind: UserKind = UserKind.NETWORK


def read_network(system: Reader) -> Network:
    names = system.names(_NET)
    paths = {name: system.resolve(f"{_NET}/{name}") or "" for name in names}
    switches = {
        name: system.read(f"{_NET}/{name}/phys_switch_id") for name in names if addresses_in(paths[name])
    }
    if any(switches.values()):
        rest = [name for name in names if name not in switches]
        switches |= {name: system.read(f"{_NET}/{name}/phys_switch_id") for name in rest}
    found = {name: _interface(system, name, paths[name], switches.get(name)) for name in names}
    lines = (system.read(PPPOE) or "").splitlines()[1:]
    dialled = tuple(dict.fromkeys(words[2] for line in lines if len(words := line.split()) > 2))
    return Network(interfaces=found, routes=tuple(_routes(system)), dialled=dialled)


def read_network_users(
    system: Reader,
    network: Network,
    devices: Iterable[Device] = (),
    domains: Iterable[Domain] = (),
    vdpa: Iterable[Vdpa] = (),
) -> dict[Address, tuple[User, ...]]:
    """Users by address; of what is in other network name spaces only that it is there."""
    users: dict[Address, list[User]] = {}
    for interface, needs in _needs(network, tuple(domains)).items():
        for kind in dict.fromkeys(need.kind for need in needs):
            user = _user(interface, [need for need in needs if need.kind is kind])
            for address in network.functions(interface):
                users.setdefault(address, []).append(user)
    for address, user in (*_elsewhere(system, devices), *_made(vdpa)):
        users.setdefault(address, []).append(user)
    return {address: tuple(dict.fromkeys(found)) for address, found in users.items()}


def _interface(system: Reader, name: str, real: str, switch: str | None) -> Interface:
    path = f"{_NET}/{name}"
    files = system.names(path)
    return Interface(
        functions=tuple(addresses_in(real)),
        lower=tuple(file[6:] for file in files if file.startswith("lower_")),
        upper=tuple(file[6:] for file in files if file.startswith("upper_")),
        master=system.link(f"{path}/master") if "master" in files else None,
        bridge=system.link(f"{path}/brport/bridge") or "a bridge" if "brport" in files else None,
        kind=_kind(system, name, files) if real.startswith("/sys/devices/virtual/") else "",
        switch=switch or None,
    )


def _kind(system: Reader, interface: str, files: Collection[str]) -> str:
    if interface.startswith("ovs-"):
        return "Open vSwitch"
    for name, word in (("bridge", "bridge"), ("bonding", "bond"), ("macvtap", "macvtap")):
        if name in files:
            return word
    kind = parse_uevent(system.read(f"{_NET}/{interface}/uevent") or "").get("DEVTYPE", "")
    return _KINDS.get(kind, kind)


def _needs(network: Network, domains: tuple[Domain, ...]) -> dict[str, dict[Need, None]]:
    """By interface of the lowest kind."""
    carried: dict[str, dict[Need, None]] = {}

    def carry(interface: str, need: Need) -> None:
        for lower in network.lowest(interface):
            via = "" if lower == interface else f" through {interface}"
            handle = need.handle or interface
            carried.setdefault(lower, {})[replace(need, words=need.words + via, handle=handle)] = None

    for interface, route in network.routes:
        carry(interface, Need(words=f"route {route}", holder=Holder.ROUTE))
    for interface in network.dialled:
        carry(interface, Need(words="carries PPPoE", holder=Holder.ROUTE))
    taps = {part.target: domain.name for domain in domains for part in domain.parts if part.target}
    for name, known in network.interfaces.items():
        for need in _above(network, known, name, taps):
            carried.setdefault(name, {})[need] = None
        if known.bridge is not None:
            carry(name, Need(words=f"port of bridge {known.bridge}", holder=Holder.BRIDGE, handle=name))
    for domain in domains:
        for part, need in _of_domain(domain):
            carry(part, need)
    return carried


def _of_domain(domain: Domain) -> Iterator[tuple[str, Need]]:
    for part in domain.parts:
        if part.kind is PartKind.INTERFACE:
            words = f"interface of domain {domain.name}"
            yield part.name, Need(words=words, holder=Holder.DOMAIN_INTERFACE, handle=domain.name)
    for part in domain.config_parts if not domain.active else ():
        if part.kind is PartKind.INTERFACE:
            named = f"interface {part.name}"
            yield part.name, Need(words=named, holder=Holder.NOBODY, handle=domain.name, kind=_CONFIG)


def _above(network: Network, interface: Interface, name: str, taps: Mapping[str, str]) -> Iterator[Need]:
    """Who stands on it, but for a Linux bridge, which its port tells of."""
    master = interface.master
    for upper in dict.fromkeys((*((master,) if master is not None else ()), *interface.upper)):
        known = network.interfaces.get(upper)
        kind = known.kind if known is not None else ""
        what = f"{kind} {upper}".strip()
        if kind == "bridge":
            continue
        if upper in taps:
            words = f"{what} of domain {taps[upper]}"
            yield Need(words=words, holder=Holder.DOMAIN_INTERFACE, handle=taps[upper])
        elif upper == master:
            holder = Holder.SWITCH if kind == "Open vSwitch" else Holder.MASTER
            yield Need(words=f"member of {what}", holder=holder, handle=name)
        else:
            yield Need(words=f"carries {what}", holder=Holder.ABOVE, handle=upper)


def _user(interface: str, needs: list[Need]) -> User:
    """One for the interface: its first need counts, the default route before all others."""
    needs.sort(key=lambda need: (not need.words.startswith("route default"), need.words))
    first = needs[0]
    more = f" and {len(needs) - 1} more" if len(needs) > 1 else ""
    if first.kind is UserKind.DOMAIN_CONFIG:
        return User(kind=first.kind, name=first.handle, detail=first.words)
    return User(
        kind=first.kind, name=interface, detail=first.words + more, holder=first.holder, handle=first.handle
    )


def _elsewhere(system: Reader, devices: Iterable[Device]) -> Iterator[tuple[Address, User]]:
    """A function whose interfaces are in other name spaces: sysfs keeps the directory, and hides them."""
    for device in devices:
        if device.class_code >> 16 == _NETWORK and device.driver is not None and not device.on_vfio:
            path = sysfs(device.address, "net")
            if system.exists(path) and not set(system.names(path)) - {"uevent"}:
                words = "in another network name space, a container's"
                yield (
                    device.address,
                    User(kind=UserKind.NETWORK, name="its interface", detail=words, holder=Holder.NAMESPACE),
                )


def _made(vdpa: Iterable[Vdpa]) -> Iterator[tuple[Address, User]]:
    for one in vdpa:
        detail = f"vDPA device, driver {one.driver}" if one.driver else "vDPA device"
        yield (
            one.address,
            User(kind=UserKind.NETWORK, name=one.name, detail=detail, holder=Holder.VDPA, handle=one.name),
        )


def _network(route: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network({"default": "0.0.0.0/0", "default (IPv6)": "::/0"}.get(route, route), strict=False)
    except ValueError:
        return None


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
    bits = number(length, 16) or 0
    if bits == 0:
        return "default (IPv6)"
    if not re.fullmatch(r"[0-9a-f]{32}", destination):
        return f"{destination}/{bits}"
    return f"{IPv6Address(int(destination, 16))}/{bits}"


def _is_up(flags: str) -> bool:
    found = number(flags, 16) or 0
    return bool(found & _UP) and not found & _REJECT
