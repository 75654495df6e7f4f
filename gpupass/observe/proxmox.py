"""Proxmox VE's guests without libvirt: who is called what, and which PCI functions they have or want.

Source: qemu-server's PVE/QemuServer/PCI.pm (hostpciN), PVE/Mapping/PCI (mapping=) in pve-guest-common.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec import Struct

from gpupass.model.address import Address, parse_address
from gpupass.model.user import Holder, User, UserKind
from gpupass.system import Reader

_GUESTS = "/etc/pve/qemu-server"
_MAPPINGS = "/etc/pve/mapping/pci.cfg"
_HOSTPCI = re.compile(r"^(hostpci\d+):\s*(\S+)", re.MULTILINE)


class Machine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One VM of this node; its devices by key: hostpci0, and an address, or a slot with all its functions."""

    id: str
    name: str
    devices: tuple[tuple[str, str], ...] = ()


def read_machines(system: Reader) -> tuple[Machine, ...]:
    mappings = _mappings(system.read(_MAPPINGS) or "")
    return tuple(_machines(system, mappings))


def users_of_machines(
    machines: Iterable[Machine], present: Collection[Address], running: Collection[str]
) -> dict[Address, list[User]]:
    """In whose configuration each function is; who runs has its process as a user already."""
    users: dict[Address, list[User]] = {}
    for machine in machines:
        for key, text in machine.devices:
            for address in present:
                if machine.id not in running and (address == parse_address(text) or _in_slot(address, text)):
                    user = User(
                        kind=UserKind.DOMAIN_CONFIG,
                        name=f"Proxmox VM {machine.id}",
                        detail=machine.name,
                        holder=Holder.PROXMOX_CONFIG,
                        handle=f"{machine.id} {key}",
                    )
                    users.setdefault(address, []).append(user)
    return users


def _in_slot(address: Address, text: str) -> bool:
    """`01:00` and `0000:01:00` are all functions."""
    whole = parse_address(f"{text}.0")
    return whole is not None and whole.rpartition(".")[0] == address.rpartition(".")[0]


def _machines(system: Reader, mappings: Mapping[str, tuple[str, ...]]) -> Iterator[Machine]:
    for name in system.names(_GUESTS):
        number = re.fullmatch(r"(\d{1,9})\.conf", name)
        if number is None:
            continue
        current = re.split(r"^\[", system.read(f"{_GUESTS}/{name}") or "", maxsplit=1, flags=re.MULTILINE)[0]
        called = re.search(r"^name:\s*(\S+)", current, re.MULTILINE)  # a section is a snapshot
        devices = [(key, at) for key, text in _HOSTPCI.findall(current) for at in _addresses(text, mappings)]
        yield Machine(id=number[1], name=called[1] if called else "", devices=tuple(dict.fromkeys(devices)))


def _addresses(text: str, mappings: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """`01:00,pcie=1`, `host=0000:01:00.0;01:00.1`, `mapping=gpu`."""
    for part in text.split(","):
        key, equal, value = part.partition("=")
        if key == "mapping":
            yield from mappings.get(value, ())
        elif key == "host" or not equal:
            yield from (value if equal else key).split(";")


def _mappings(text: str) -> dict[str, tuple[str, ...]]:
    """A name stands alone in its line, its devices indented below: `map id=…,node=…,path=0000:01:00.0`."""
    found: dict[str, tuple[str, ...]] = {}
    name = ""
    for line in text.splitlines():
        if line and not line[0].isspace():
            name = line.split(":")[-1].strip()
        elif (path := re.search(r"\bpath=([^,\s]+)", line)) is not None and name:
            found[name] = (*found.get(name, ()), *path[1].split(";"))
    return found


def proxmox_files(system: Reader) -> Iterator[tuple[str, str]]:
    """(path, text) for a record: names and devices only."""
    for machine in read_machines(system):
        lines = [f"name: {machine.name}", *(f"{key}: {text}" for key, text in machine.devices)]
        yield f"{_GUESTS}/{machine.id}.conf", "".join(f"{line}\n" for line in lines)
