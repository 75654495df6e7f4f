"""Which processes have a device node open or mapped, from /proc."""

import os
import re
from collections.abc import Iterator

from msgspec import Struct

from gpupass.model.address import sysfs
from gpupass.system.guarded import HELPERS
from gpupass.system.reader import Reader

_AT_ONCE = 64  # processes
_NODES = ("/dev/vfio/", "/dev/nvidia", "/dev/dri/")


class Holder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One process and one device node it holds."""

    pid: int
    name: str
    node: str


def holders(system: Reader, prefixes: tuple[str, ...] = _NODES) -> Iterator[Holder]:
    """Every open or mapped node below `prefixes`; not ours, nor of processes we may not look into."""
    ours = {str(pid) for pid in (os.getpid(), *HELPERS)}
    entries = [entry for entry in system.names("/proc") if entry.isdecimal() and entry not in ours]
    for first in range(0, len(entries), _AT_ONCE):
        some = entries[first : first + _AT_ONCE]
        for entry, maps in zip(some, system.read_many([f"/proc/{one}/maps" for one in some]), strict=True):
            nodes = _nodes(system, f"/proc/{entry}", prefixes, (maps or b"").decode(errors="replace"))
            if nodes:
                name = process_name(system, int(entry))
                yield from (Holder(pid=int(entry), name=name, node=node) for node in sorted(nodes))


def process_name(system: Reader, pid: int) -> str:
    return system.read(f"/proc/{pid}/comm") or "?"


def vfio_holders(system: Reader, group: int, addresses: tuple[str, ...]) -> tuple[Holder, ...]:
    """Who has the VFIO group, or the VFIO character device of one of the functions, open."""
    nodes = {f"/dev/vfio/{group}"}
    for address in addresses:
        for name in system.names(sysfs(address, "vfio-dev")):
            nodes.add(f"/dev/vfio/devices/{name}")
    return tuple(holder for holder in holders(system, ("/dev/vfio/",)) if holder.node in nodes)


def gpu_holders(system: Reader, address: str) -> tuple[Holder, ...]:
    """Who, apart from us, has the node of an NVIDIA GPU open; the driver's /proc file tells its number."""
    text = system.read(f"/proc/driver/nvidia/gpus/{address}/information") or ""
    minor = re.search(r"Device Minor:\s*(\d+)", text)
    if minor is None:
        return ()
    node = f"/dev/nvidia{minor[1]}"
    return tuple(holder for holder in holders(system, (node,)) if holder.node == node)


def _nodes(system: Reader, process: str, prefixes: tuple[str, ...], maps: str) -> set[str]:
    directory = f"{process}/fd"
    targets = (system.target(f"{directory}/{fd}") for fd in system.names(directory))
    found = {target for target in targets if target is not None and target.startswith(prefixes)}
    for prefix in prefixes:  # a mapping can outlive its file descriptor
        if prefix in maps:
            found.update(re.findall(rf"{re.escape(prefix)}\S*", maps))
    return found
