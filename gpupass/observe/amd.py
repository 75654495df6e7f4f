"""AMD GPUs: the partitions that amdgpu has made of one, and what its SR-IOV host driver says.

Sources: drivers/gpu/drm/amd/amdgpu/amdgpu_gfx.c, amdgpu_gmc.c, amdgpu_xgmi.c ("AMDGPU XGMI Support");
amdkfd/kfd_topology.c for render nodes; MxGPU-Virtualization gim_shim/sysfs/gim_monitor.c.
"""

import re
from collections.abc import Iterable, Mapping

from gpupass.model.address import Address, sysfs
from gpupass.model.amd import GIM_COUNTS, GIM_OPTIONS, Amd, Gim, Partition
from gpupass.observe.number import number
from gpupass.system import Reader

TOPOLOGY = "/sys/class/kfd/kfd/topology/nodes"
AMD_FILES = (
    *("current_compute_partition", "available_compute_partition"),
    *("current_memory_partition", "available_memory_partition", "xgmi_hive_info/xgmi_hive_id"),
)
GIM_FILES = ("memory_partition_mode", "spatial_partition_mode")
Nodes = Mapping[Address, tuple[str, ...]]


def read_amd(system: Reader, address: Address, nodes: Nodes) -> Amd | None:
    """None: no GPU that can be split."""
    path = sysfs(address)
    compute = system.read(f"{path}/current_compute_partition")
    memory = system.read(f"{path}/current_memory_partition")
    if compute is None and memory is None:
        return None
    return Amd(
        compute=compute or None,
        memory=memory or None,
        computes=_words(system.read(f"{path}/available_compute_partition")),
        memories=_words(system.read(f"{path}/available_memory_partition")),
        hive=_hive(system.read(f"{path}/xgmi_hive_info/xgmi_hive_id")),
        partitions=tuple(
            Partition(name=f"{(compute or 'part').lower()}{place}", render=render or None)
            for place, render in enumerate(nodes.get(address, ()))
        ),
    )


def read_gims(system: Reader, addresses: Iterable[Address]) -> dict[Address, Gim]:
    """GPUs that gim runs; what its module is loaded with is told of all of them at once."""
    options = system.read(GIM_OPTIONS) or ""
    return {address: _gim(system, address, options) for address in addresses}


def _gim(system: Reader, address: Address, file: str) -> Gim:
    path = sysfs(address)
    memory = (system.read(f"{path}/memory_partition_mode") or "").partition("\n")[0]
    told = re.search(rf"^options gim {GIM_COUNTS}=([\d,]+)$", file, re.MULTILINE)
    return Gim(
        compute=system.read(f"{path}/spatial_partition_mode") or None,
        memory=memory.rpartition(" ")[2] or None,
        counts=tuple(number(count) or 0 for count in told[1].split(",") if count) if told else (),
    )


def read_nodes(system: Reader) -> dict[Address, tuple[str, ...]]:
    """GPU → the render nodes of its partitions, in their order ("" where a node has none).

    Partitions after the first hang from platform devices that do not tell their GPU; the compute topology
    does: location_id is bus, slot and function, with the partition's number in bits 31 to 28.
    """
    found: dict[Address, list[tuple[int, int, str]]] = {}
    for name in system.names(TOPOLOGY):
        facts = _properties(system.read(f"{TOPOLOGY}/{name}/properties") or "")
        location = facts.get("location_id", 0)
        if not location or not facts.get("simd_count"):
            continue  # a processor
        bus, slot, function = location >> 8 & 0xFF, location >> 3 & 0x1F, location & 7
        part = location >> 28 or function  # kernels before 6.10 or'ed it into the function
        address = Address(f"{facts.get('domain', 0):04x}:{bus:02x}:{slot:02x}.0")
        minor = facts.get("drm_render_minor", 0)
        node = number(name) or 0
        found.setdefault(address, []).append((part, node, f"renderD{minor}" if minor > 0 else ""))
    return {address: tuple(render for _, _, render in sorted(parts)) for address, parts in found.items()}


def _properties(text: str) -> dict[str, int]:
    pairs = (line.split() for line in text.splitlines())
    numbers = {pair[0]: number(pair[1]) for pair in pairs if len(pair) == 2}
    return {name: found for name, found in numbers.items() if found is not None and found >= 0}


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word for word in (text or "").replace(",", " ").split())


def _hive(text: str | None) -> str | None:
    return text if text not in (None, "", "0") else None
