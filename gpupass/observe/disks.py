"""Who stands on a disk: file systems, swap, guests, LVM, RAID, ZFS, targets → the functions behind it."""

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import PurePosixPath

from msgspec import Struct
from msgspec.structs import replace

from gpupass.model.address import Address
from gpupass.model.domain import Domain, PartKind
from gpupass.model.host import Device
from gpupass.model.user import Holder, User, UserKind
from gpupass.observe.blocks import Blocks, block_name
from gpupass.observe.paths import addresses_in
from gpupass.observe.stacks import Standing, read_stacks
from gpupass.system import Reader

_NOT_BEHIND_PCI = re.compile(r"loop|ram|zram|nbd|rbd|fd\d")
_MASS_STORAGE = 0x01
_SERIAL_BUS_NVME_LIKE = (0x0C04, 0x0C06)  # Fibre Channel, InfiniBand
_NEVER_WITHOUT = ("/", "/boot", "/boot/efi", "/usr", "/var", "/etc", "/home", "/nix", "/nix/store")


class Mount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One mounted file system, or swap (`where` "swap")."""

    where: str
    kind: str
    number: str  # "259:2"; "0:…" when the file system has no single block device
    sources: tuple[str, ...]


class Standings:
    """Who stands on which block devices, gathered: a device that is told of once needs no second word."""

    def __init__(self, blocks: Blocks) -> None:
        self.users: dict[Address, dict[User, None]] = {}
        self.told: set[str] = set()
        self._blocks = blocks

    def add(self, blocks: Iterable[str], user: User) -> None:
        for block in blocks:
            self.told.add(block)
            for low in self._blocks.lowest(block):
                known = self._blocks.known.get(low)
                far = f", {known.remote.words}" if known is not None and known.remote is not None else ""
                self.at(self._blocks.functions(low), replace(user, detail=user.detail + far))

    def at(self, addresses: Iterable[Address], user: User) -> None:
        for address in addresses:
            self.users.setdefault(address, {})[user] = None


def read_disk_users(
    system: Reader, blocks: Blocks, devices: Iterable[Device], domains: Collection[Domain] = ()
) -> tuple[dict[Address, tuple[User, ...]], tuple[str, ...]]:
    """Users by address, and a note for every mount that can be attributed to no device."""
    found = Standings(blocks)
    suspects = [device.address for device in devices if _may_hold_disks(system, device)]
    mounts = tuple(read_mounts(system))
    stacks = read_stacks(system, blocks)
    unseen = [*_mounted(system, blocks, mounts, stacks, suspects, found)]
    _of_domains(system, blocks, domains, mounts, found)
    for standing in stacks:
        if not found.told.issuperset(standing.blocks):
            found.add(standing.blocks, _standing(standing))
    return {address: _merged(users) for address, users in found.users.items()}, tuple(dict.fromkeys(unseen))


def _merged(users: Iterable[User]) -> tuple[User, ...]:
    """One of a volume group or pool, with how many more of its parts there are."""
    details: dict[User, list[str]] = {}
    for user in users:
        details.setdefault(replace(user, detail=""), []).append(user.detail)
    return tuple(
        replace(user, detail=parts[0] + (f" and {len(parts) - 1} more" if len(parts) > 1 else ""))
        for user, parts in details.items()
    )


def _mounted(
    system: Reader,
    blocks: Blocks,
    mounts: Iterable[Mount],
    stacks: Collection[Standing],
    suspects: list[Address],
    found: Standings,
) -> Iterator[str]:
    for mount in mounts:
        behind = _pool(mount, stacks) or _blocks(system, blocks, mount)
        user = _mount_user(mount)
        if behind is not None:
            found.add(behind, user)
        elif mount.kind == "zfs" or any(source.startswith("/dev/") for source in mount.sources):
            source = mount.sources[0] if mount.sources else mount.kind
            yield f"which disks {mount.where} ({mount.kind} {source}) lies on: every one counts as used"
            found.at(suspects, user)


def _pool(mount: Mount, stacks: Collection[Standing]) -> list[str]:
    """A ZFS pool's disks, where `zpool` has told them."""
    if mount.kind != "zfs" or not mount.sources:
        return []
    pool = mount.sources[0].partition("/")[0]
    return [
        block for one in stacks if one.holder is Holder.ZFS and one.handle == pool for block in one.blocks
    ]


def _mount_user(mount: Mount) -> User:
    source = mount.sources[0] if mount.sources else mount.kind
    if mount.where == "swap":
        return User(kind=UserKind.DISK, name="swap", detail=source, holder=Holder.SWAP, handle=source)
    holder = Holder.ROOT if mount.where in _NEVER_WITHOUT else Holder.MOUNT
    return User(kind=UserKind.DISK, name=mount.where, detail=source, holder=holder, handle=mount.where)


def _standing(one: Standing) -> User:
    return User(kind=UserKind.DISK, name=one.name, detail=one.detail, holder=one.holder, handle=one.handle)


# ── guests ─────────────────────────────────────────────────────────────────────────────────────────────────


def _of_domains(
    system: Reader, blocks: Blocks, domains: Iterable[Domain], mounts: tuple[Mount, ...], found: Standings
) -> None:
    """Their disks: block devices by any name, files on a file system of the host; SCSI hosts, USB buses."""
    for domain in domains:
        for part in dict.fromkeys((*domain.parts, *(() if domain.active else domain.config_parts))):
            running = domain.active
            kind = UserKind.DISK if running else UserKind.DOMAIN_CONFIG
            name = f"domain {domain.name}" if running else domain.name
            detail = f"{part.target} {part.name}".strip()
            handle = f"{domain.name} {part.target}".strip()
            user = User(
                kind=kind,
                name=name,
                detail=detail if running else f"disk {part.name}",
                holder=Holder.DOMAIN_DISK,
                handle=handle,
            )
            if part.kind is PartKind.DISK:
                found.add(_blocks_of_path(system, blocks, part.name, mounts), user)
            elif part.kind in (PartKind.SCSI_HOST, PartKind.USB_BUS):
                found.at(addresses_in(_bus(system, part.kind, part.name))[-1:], user)


def _bus(system: Reader, kind: PartKind, name: str) -> str:
    if not re.fullmatch(r"\w+", name):
        return ""
    path = f"/sys/class/scsi_host/{name}" if kind is PartKind.SCSI_HOST else f"/sys/bus/usb/devices/usb{name}"
    return system.resolve(path) or ""


def _blocks_of_path(system: Reader, blocks: Blocks, path: str, mounts: tuple[Mount, ...]) -> list[str]:
    if path.startswith("/dev/"):
        name = block_name(system, blocks, path)
        return [name] if name is not None else []
    above = {"/" if str(one) == "/" else str(one) for one in PurePosixPath(path).parents}
    below = [mount for mount in mounts if mount.where in above]
    deepest = max(below, key=lambda mount: len(mount.where), default=None)
    return (_blocks(system, blocks, deepest) or []) if deepest is not None else []


# ── mounts ─────────────────────────────────────────────────────────────────────────────────────────────────


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


def _blocks(system: Reader, blocks: Blocks, mount: Mount) -> list[str] | None:
    """Names of the block devices; [] when none is concerned, None when that cannot be told."""
    if mount.kind == "zfs":
        return None
    found: list[str] = []
    by_number = system.link(f"/sys/dev/block/{mount.number}")
    if by_number is not None:
        found.append(by_number)
    for source in mount.sources:
        if source.startswith("/dev/") and (by_number is None or source != mount.sources[0]):
            name = block_name(system, blocks, source)
            if name is None:
                return None
            found.append(name)
    if mount.kind == "btrfs":
        found.extend(_btrfs_members(system, found))
    low = [low for name in dict.fromkeys(found) for low in blocks.lowest(name)]
    if any(not blocks.functions(name) and _is_puzzling(blocks, name) for name in low):
        return None
    return list(dict.fromkeys(found))


def _btrfs_members(system: Reader, names: list[str]) -> list[str]:
    for uuid in system.names("/sys/fs/btrfs"):
        members = system.names(f"/sys/fs/btrfs/{uuid}/devices")
        if any(name in members for name in names):
            return list(members)
    return []


def _is_puzzling(blocks: Blocks, name: str) -> bool:
    """A virtual block device that may lie on real ones in a way sysfs does not tell (drbd, multipath…)."""
    known = blocks.known.get(name)
    remote = known is not None and known.remote is not None
    return blocks.is_virtual(name) and not _NOT_BEHIND_PCI.match(name) and not remote


def _may_hold_disks(system: Reader, device: Device) -> bool:
    if device.class_code >> 16 == _MASS_STORAGE:
        return device.driver is not None and not device.on_vfio
    return device.class_code >> 8 in _SERIAL_BUS_NVME_LIKE and device.driver is not None
