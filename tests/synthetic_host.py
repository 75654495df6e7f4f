"""A machine of any size, for timing: one GPU in 64 functions, a group for each function."""

import sys
from pathlib import Path

from tests.host_tree import GIB, MEM64_PREFETCH, MIB, Function, HostTree

GPU_EVERY = 64


def build(root: Path, functions: int) -> Path:
    """`functions` PCI functions below `root`, 256 to a bus and 64 buses to a domain."""
    tree = HostTree(root)
    tree.kernel()
    tree.iommu()
    tree.mounts(())
    for number in range(functions):
        tree.function(_function(number))
    return root


def address(number: int) -> str:
    bus, rest = divmod(number, 256)
    domain, bus = divmod(bus, 64)
    return f"{domain:04x}:{bus:02x}:{rest >> 3:02x}.{rest & 7}"


def _function(number: int) -> Function:
    gpu = number % GPU_EVERY == 1
    return Function(
        address=address(number),
        ids="10de:2330" if gpu else "8086:1563",
        class_code=0x030200 if gpu else 0x020000,
        driver="vfio-pci" if gpu else "ixgbe",
        group=number,
        bars=((16 * MIB, MEM64_PREFETCH), (0, 0), (64 * GIB, MEM64_PREFETCH)),
        config_size=256,
    )


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]))
