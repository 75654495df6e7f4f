"""Which processes have a device node open or mapped, by its number: a container may call it otherwise."""

import os
import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from gpupass.model.address import sysfs
from gpupass.system.guarded import HELPERS
from gpupass.system.reader import BLOCK, Number, Reader

_AT_ONCE = 64  # processes
CLASSES = {  # of sysfs: where its nodes are
    "vfio": "/dev/vfio",
    "vfio-dev": "/dev/vfio/devices",
    "drm": "/dev/dri",
    "accel": "/dev/accel",
    "sound": "/dev/snd",
    "infiniband_verbs": "/dev/infiniband",
    "infiniband_mad": "/dev/infiniband",
    "bsg": "/dev/bsg",
    **dict.fromkeys(("block", "scsi_generic", "scsi_tape", "scsi_changer"), "/dev"),
    **dict.fromkeys(("i2c-dev", "drm_dp_aux_dev", "graphics", "video4linux", "uio", "ptp", "mei"), "/dev"),
    **dict.fromkeys(("nvme", "nvme-generic", "apex", "hailo_chardev", "habanalabs"), "/dev"),
}
_NVIDIA = re.compile(r"^ *(\d+) nvidia(?:-frontend)?$", re.MULTILINE)
_CONTROL = {
    254: "/dev/nvidia-modeset",
    255: "/dev/nvidiactl",
}  # nv-chardev-numbers.h, NVIDIA


class Holder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One process and one device node it holds, by the name that the host has for it."""

    pid: int
    name: str
    node: str


def listed(system: Reader) -> dict[str, tuple[str, ...]]:
    """What the kernel has of each class."""
    return {kind: system.names(f"/sys/class/{kind}") for kind in CLASSES}


def known_nodes(system: Reader, classes: Mapping[str, tuple[str, ...]]) -> dict[Number, str]:
    """Every node of these classes and of NVIDIA's driver, as their own files tell."""
    found = {
        number: node_of(kind, name)
        for kind, names in classes.items()
        for name in names
        if (number := number_of(system.read(f"/sys/class/{kind}/{name}/dev"), kind)) is not None
    }
    nvidia = _NVIDIA.search(system.read("/proc/devices") or "")
    if nvidia is not None:
        major = int(nvidia[1])
        found |= {(major, minor): _CONTROL.get(minor, f"/dev/nvidia{minor}") for minor in range(256)}
    return found


def holders(system: Reader, wanted: Mapping[Number, str]) -> Iterator[Holder]:
    """Of these nodes; not ours, nor of processes we may not look into."""
    ours = {str(pid) for pid in (os.getpid(), *HELPERS)}
    entries = [entry for entry in system.names("/proc") if entry.isdecimal() and entry not in ours]
    for first in range(0, len(entries), _AT_ONCE):
        some = entries[first : first + _AT_ONCE]
        for entry, opened in zip(some, system.opened([int(one) for one in some]), strict=True):
            held = sorted(wanted[number] for number in opened & wanted.keys())
            if held:
                name = process_name(system, int(entry))
                yield from (Holder(pid=int(entry), name=name, node=node) for node in held)


def process_name(system: Reader, pid: int) -> str:
    return system.read(f"/proc/{pid}/comm") or "?"


def vfio_holders(system: Reader, group: int, addresses: tuple[str, ...]) -> tuple[Holder, ...]:
    """Who has the VFIO group, or the VFIO character device of one of the functions, open."""
    names = {f"/dev/vfio/{group}"}
    for address in addresses:
        names.update(f"/dev/vfio/devices/{name}" for name in system.names(sysfs(address, "vfio-dev")))
    return _of(system, names)


def gpu_holders(system: Reader, address: str) -> tuple[Holder, ...]:
    """Who, apart from us, has the node of an NVIDIA GPU open; the driver's /proc file tells its number."""
    text = system.read(f"/proc/driver/nvidia/gpus/{address}/information") or ""
    minor = re.search(r"Device Minor:\s*(\d+)", text)
    return _of(system, {f"/dev/nvidia{minor[1]}"}) if minor is not None else ()


def host_holders(system: Reader, address: str) -> tuple[Holder, ...]:
    """Who, apart from us, has any file of the function open that a driver of the host's has made."""
    device = sysfs(address)
    names = {f"/dev/dri/{name}" for name in system.names(f"{device}/drm")}
    names |= {f"/dev/accel/{name}" for name in system.names(f"{device}/accel")}
    cards = (f"{device}/sound/{card}" for card in system.names(f"{device}/sound"))
    names |= {f"/dev/snd/{name}" for card in cards for name in system.names(card)}
    return (*(_of(system, names) if names else ()), *gpu_holders(system, address))


def _of(system: Reader, names: set[str]) -> tuple[Holder, ...]:
    nodes = {number: node for number, node in known_nodes(system, listed(system)).items() if node in names}
    return tuple(holders(system, nodes)) if nodes else ()


def node_of(kind: str, name: str) -> str:
    """Where the kernel has a directory in /dev, sysfs has a mark: cciss!c0d0."""
    return f"{CLASSES[kind]}/{name.replace('!', '/')}"


def number_of(text: str | None, kind: str = "") -> Number | None:
    found = re.fullmatch(r"(\d{1,9}):(\d{1,9})", text or "")
    if found is None:
        return None
    return int(found[1]) | (BLOCK if kind == "block" else 0), int(found[2])
