"""Mounted file systems and swap → the PCI functions that they lie behind."""

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from gpupass.model.address import Address, parse_address
from gpupass.model.host import Device
from gpupass.model.user import User, UserKind
from gpupass.system import Reader

_BLOCK = "/sys/class/block"
_NOT_BEHIND_PCI = re.compile(r"loop|ram|zram|nbd|rbd|fd\d")
_MASS_STORAGE = 0x01
_SERIAL_BUS_NVME_LIKE = (0x0C04, 0x0C06)  # Fibre Channel, InfiniBand


class Mount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One mounted file system, or swap (`where` "swap")."""

    where: str
    kind: str
    number: str  # "259:2"; "0:…" when the file system has no single block device
    sources: tuple[str, ...]


def read_disk_users(
    system: Reader, devices: Iterable[Device]
) -> tuple[dict[Address, tuple[User, ...]], tuple[str, ...]]:
    """Users by address, and a note for every mount that can be attributed to no device."""
    users: dict[Address, dict[User, None]] = {}
    unseen: list[str] = []
    suspects = [device.address for device in devices if _may_hold_disks(system, device)]
    for mount in read_mounts(system):
        blocks = _blocks(system, mount)
        if blocks is None:
            if mount.kind != "zfs" and not any(source.startswith("/dev/") for source in mount.sources):
                continue
            source = mount.sources[0] if mount.sources else mount.kind
            unseen.append(
                f"which disks {mount.where} ({mount.kind} {source}) lies on: every one counts as used"
            )
            behind: Iterable[Address] = suspects
        else:
            behind = [address for block in blocks for address in _functions(system, block)]
        user = User(
            kind=UserKind.DISK, name=mount.where, detail=mount.sources[0] if mount.sources else mount.kind
        )
        for address in behind:
            users.setdefault(address, {})[user] = None
    return {address: tuple(found) for address, found in users.items()}, tuple(dict.fromkeys(unseen))


def read_mounts(system: Reader) -> Iterator[Mount]:
    """The mounts of this process and of init, whose name space may differ, and swap."""
    lines: dict[str, None] = {}
    for process in ("self", "1"):
        lines |= dict.fromkeys((system.read(f"/proc/{process}/mountinfo") or "").splitlines())
    seen = set()
    for line in lines:
        mount = _mount(line)
        if mount is not None and (mount.number, mount.sources) not in seen:
            seen.add((mount.number, mount.sources))
            yield mount
    for line in (system.read("/proc/swaps") or "").splitlines()[1:]:
        words = line.split()
        if len(words) > 1 and words[1] == "partition":
            yield Mount(where="swap", kind="swap", number="0:0", sources=(_unescape(words[0]),))


def _mount(line: str) -> Mount | None:
    """`36 35 98:0 /root /mount options - type source superoptions` (Documentation/filesystems/proc.rst)."""
    before, _, after = line.partition(" - ")
    left, right = before.split(), after.split()
    if len(left) < 6 or len(right) < 2:
        return None
    sources = _unescape(right[1]).split(":") if right[0] == "bcachefs" else [_unescape(right[1])]
    for option in (right[2] if len(right) > 2 else "").split(","):
        key, _, value = option.partition("=")
        if key in ("logdev", "rtdev", "journal_path") and value:
            sources.append(value)
    return Mount(where=_unescape(left[4]), kind=right[0], number=left[2], sources=tuple(sources))


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _blocks(system: Reader, mount: Mount) -> list[str] | None:
    """Names of the block devices; [] when none is concerned, None when that cannot be told."""
    if mount.kind == "zfs":
        return None
    found: list[str] = []
    by_number = system.link(f"/sys/dev/block/{mount.number}")
    if by_number is not None:
        found.append(by_number)
    for source in mount.sources:
        if source.startswith("/dev/") and (by_number is None or source != mount.sources[0]):
            name = _block_name(system, source)
            if name is None:
                return None
            found.append(name)
    if mount.kind == "btrfs":
        found.extend(_btrfs_members(system, found))
    lowest = [low for name in dict.fromkeys(found) for low in _lowest(system, name)]
    if any(not _functions(system, name) and _is_puzzling(system, name) for name in lowest):
        return None
    return lowest


def _block_name(system: Reader, source: str) -> str | None:
    """/dev/sda1, and the links of device mapper and LVM, as the kernel's name."""
    real = system.resolve(source) or source
    name = real.removeprefix("/dev/").replace("/", "!")
    if system.exists(f"{_BLOCK}/{name}"):
        return name
    parts = source.removeprefix("/dev/mapper/").removeprefix("/dev/").split("/")
    mapped = "-".join(part.replace("-", "--") for part in parts) if len(parts) > 1 else parts[0]
    for name in system.names(_BLOCK):
        if name.startswith("dm-") and system.read(f"{_BLOCK}/{name}/dm/name") == mapped:
            return name
    return None


def _btrfs_members(system: Reader, names: list[str]) -> list[str]:
    for uuid in system.names("/sys/fs/btrfs"):
        members = system.names(f"/sys/fs/btrfs/{uuid}/devices")
        if any(name in members for name in names):
            return list(members)
    return []


def _lowest(system: Reader, name: str, depth: int = 0) -> list[str]:
    """Through device mapper, md and bcache down to what has no slaves."""
    slaves = system.names(f"{_BLOCK}/{name}/slaves")
    if not slaves and (system.exists(f"{_BLOCK}/{name}/partition")):
        whole = (system.resolve(f"{_BLOCK}/{name}") or "").rsplit("/", 2)
        if len(whole) == 3:
            slaves = system.names(f"{_BLOCK}/{whole[1]}/slaves")
    if not slaves or depth > 16:
        return [name]
    return [low for slave in slaves for low in _lowest(system, slave, depth + 1)]


def _functions(system: Reader, block: str) -> list[Address]:
    """The endpoints in the block device's path; an NVMe with several paths lies under its subsystem."""
    path = system.resolve(f"{_BLOCK}/{block}") or ""
    subsystem = re.match(r"/sys/devices/virtual/nvme-subsystem/[^/]+", path)
    paths = [path]
    if subsystem:
        paths = [
            system.resolve(f"{subsystem[0]}/{name}") or ""
            for name in system.names(subsystem[0])
            if re.fullmatch(r"nvme\d+", name)
        ]
    return [address for each in paths for address in addresses_in(each)]


def addresses_in(path: str) -> list[Address]:
    """The PCI functions of a sysfs path, the bridges among them."""
    return [address for part in path.split("/") if (address := parse_address(part)) is not None]


def _is_puzzling(system: Reader, block: str) -> bool:
    """A virtual block device that may lie on real ones in a way sysfs does not tell (drbd, multipath…)."""
    path = system.resolve(f"{_BLOCK}/{block}") or "/sys/devices/virtual/"
    return path.startswith("/sys/devices/virtual/") and not _NOT_BEHIND_PCI.match(block)


def _may_hold_disks(system: Reader, device: Device) -> bool:
    if device.class_code >> 16 == _MASS_STORAGE:
        return device.driver is not None and not device.on_vfio
    return device.class_code >> 8 in _SERIAL_BUS_NVME_LIKE and device.driver is not None
