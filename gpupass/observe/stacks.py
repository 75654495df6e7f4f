"""What stands on block devices beside mounts: device mapper, RAID, bcache, ZFS, Ceph, targets, in words."""

import re
from collections.abc import Iterable, Iterator
from functools import partial

from msgspec import Struct

from gpupass.errors import GpupassError
from gpupass.model.user import Holder
from gpupass.observe import recorded
from gpupass.observe.blocks import BLOCK, Blocks, block_name
from gpupass.system import Reader, System

_MAPPED = {"CRYPT": Holder.CRYPT, "mpath": Holder.MULTIPATH}
_WORDS = {
    Holder.CRYPT: "encrypted volume",
    Holder.MULTIPATH: "multipath disk",
    Holder.RAID: "RAID",
    Holder.BCACHE: "bcache",
    Holder.DRBD: "DRBD",
}
_VIRTUAL = re.compile(r"(dm-|md|bcache|drbd|loop|ram|zram|nbd|rbd)\d*")
_POOLS = "/proc/spl/kstat/zfs"
_CONFIG = "/sys/kernel/config"
_SECTIONS = ("special", "logs", "cache", "spare", "dedup")  # of a pool's parts
_IDENTITY = re.compile(r"[\w.:@+-]+")


class Standing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One that stands on block devices; `blocks` are the uppermost of them, by the kernel's names."""

    name: str  # "LVM volume group guests", "RAID md0", "ZFS pool tank"
    detail: str
    holder: Holder
    handle: str
    blocks: tuple[str, ...]


def read_stacks(system: Reader, blocks: Blocks) -> tuple[Standing, ...]:
    """Of one that stands on several, once for each of its parts, so that what is mounted can be left out."""
    ceph = tuple(_ceph(system, blocks))
    known = frozenset(block for one in ceph for block in one.blocks)
    return tuple(
        dict.fromkeys(
            (*ceph, *_above(system, blocks, known), *_pools(system, blocks), *_targets(system, blocks))
        )
    )


def _above(system: Reader, blocks: Blocks, known: frozenset[str]) -> Iterator[Standing]:
    """What the kernel links as a holder, up to its top."""
    found = dict.fromkeys(
        top
        for name in blocks.known
        if not _VIRTUAL.fullmatch(name)
        for top in blocks.tops(name)
        if top != name
    )
    return (_described(system, blocks, name) for name in found if name not in known)


def _described(system: Reader, blocks: Blocks, name: str) -> Standing:
    make = partial(Standing, blocks=(name,))
    if name.startswith("dm-"):
        known = blocks.known.get(name)
        label = (known.label if known is not None else None) or name
        kind = (system.read(f"{BLOCK}/{name}/dm/uuid") or "").partition("-")[0]
        group, volume = _volume(label)
        if volume and kind in ("LVM", ""):
            if group.startswith("ceph-"):
                return make(name="a Ceph OSD", detail=f"{group}/{volume}", holder=Holder.LVM, handle=group)
            words = f"LVM volume group {group}"
            return make(name=words, detail=f"{group}/{volume}", holder=Holder.LVM, handle=group)
        holder = _MAPPED.get(kind, Holder.MAPPER)
        what = _WORDS.get(holder, "mapped device")
        return make(name=f"{what} {label}", detail=name, holder=holder, handle=label)
    for start, holder in (("md", Holder.RAID), ("bcache", Holder.BCACHE), ("drbd", Holder.DRBD)):
        if name.startswith(start):
            return make(name=f"{_WORDS[holder]} {name}", detail=f"/dev/{name}", holder=holder, handle=name)
    return make(name=f"block device {name}", detail=f"/dev/{name}", holder=Holder.BLOCK, handle=name)


def _volume(label: str) -> tuple[str, str]:
    """ "pve-vm--100--disk--0" is vm-100-disk-0 of pve: LVM doubles the hyphens of names."""
    parts = re.split(r"(?<!-)-(?!-)", label)
    if len(parts) < 2:
        return label, ""
    return parts[0].replace("--", "-"), "-".join(parts[1:]).replace("--", "-")


_CEPH = "/var/lib/ceph"


def osd_links(system: Reader) -> Iterator[str]:
    """Where the directory of each OSD links its disk: below osd/ceph-3, or FSID/osd.3."""
    for name in system.names(_CEPH):
        for osd in system.names(f"{_CEPH}/{name}") if _IDENTITY.fullmatch(name) else ():
            if re.fullmatch(r"(ceph-|osd\.)\d+", osd):
                yield f"{_CEPH}/{name}/{osd}/block"


def _ceph(system: Reader, blocks: Blocks) -> Iterator[Standing]:
    for path in osd_links(system):
        block = block_name(system, blocks, _aim(system, path))
        cluster, osd = path.split("/")[-3:-1]
        number = re.split(r"[-.]", osd)[-1]
        unit = f"ceph-osd@{number}" if cluster == "osd" else f"ceph-{cluster}@osd.{number}"
        if block is not None:
            yield Standing(
                name=f"Ceph OSD {number}",
                detail=f"/dev/{block}",
                holder=Holder.CEPH,
                handle=f"{unit}.service",
                blocks=(block,),
            )


def _aim(system: Reader, path: str) -> str:
    """A link's end, as far as it is written."""
    return system.resolve(path) or system.target(path) or path


def _pools(system: Reader, blocks: Blocks) -> Iterator[Standing]:
    """sysfs shows nothing of ZFS: its own program does, where a pool is imported."""
    for pool, devices in _members(read_zpool(system)):
        for device in devices:
            block = block_name(system, blocks, device)
            if block is not None:
                yield Standing(
                    name=f"ZFS pool {pool}", detail=device, holder=Holder.ZFS, handle=pool, blocks=(block,)
                )


def read_zpool(system: Reader) -> str:
    """What `zpool list -vHLP` says; "" where no pool is imported or it cannot be asked."""
    if not isinstance(system, System):
        return system.read(recorded.ZPOOL) or ""
    if not any(system.exists(f"{_POOLS}/{name}/state") for name in system.names(_POOLS)):
        return ""
    try:
        return system.run("zpool", "list", "-vHLP")
    except GpupassError:
        return ""


def _members(text: str) -> Iterator[tuple[str, list[str]]]:
    """A pool begins its line, its parts lie further in; spares and caches count as well."""
    pool = ""
    for line in text.splitlines():
        words = line.split()
        if words and not line[0].isspace() and words[0] not in _SECTIONS:
            pool = words[0]
        elif words and words[0].startswith("/dev/") and pool:
            yield pool, [words[0]]


def target_files(system: Reader) -> Iterator[str]:
    """The files of LIO's and NVMe's targets that name a disk."""
    for hba in system.names(f"{_CONFIG}/target/core"):
        for name in system.names(f"{_CONFIG}/target/core/{hba}"):
            yield f"{_CONFIG}/target/core/{hba}/{name}/udev_path"
    subsystems = f"{_CONFIG}/nvmet/subsystems"
    for subsystem in system.names(subsystems):
        for number in system.names(f"{subsystems}/{subsystem}/namespaces"):
            yield f"{subsystems}/{subsystem}/namespaces/{number}/device_path"


def _targets(system: Reader, blocks: Blocks) -> Iterator[Standing]:
    """Disks that this host serves to others: LIO's, NVMe's; and loop devices on whole disks."""
    for file in target_files(system):
        path, above = system.read(file) or "", file.rpartition("/")[0]
        parts = above.split("/")
        if file.endswith("/udev_path"):
            yield from _served(system, blocks, path, f"SCSI target {parts[-1]}", Holder.TARGET, parts[-1])
        else:
            yield from _served(system, blocks, path, f"NVMe target {parts[-3]}", Holder.NVME_TARGET, above)
    for one in blocks.known.values():
        name = f"loop device {one.name}"
        yield from _served(system, blocks, one.backing or "", name, Holder.LOOP, one.name)


def _served(
    system: Reader, blocks: Blocks, path: str, name: str, holder: Holder, handle: str
) -> Iterable[Standing]:
    block = block_name(system, blocks, path) if path.startswith("/dev/") else None
    if block is not None:
        yield Standing(name=name, detail=path, holder=holder, handle=handle, blocks=(block,))
