"""Mediated devices and their parents, as /sys/class/mdev_bus and /sys/bus/mdev tell them.

Source: Documentation/driver-api/vfio-mediated-device.rst.
"""

from collections.abc import Collection, Iterable, Iterator

from gpupass.model.address import Address, parent_address, parse_address
from gpupass.model.mdev import Mdev, MdevBus, MdevType
from gpupass.observe.number import number
from gpupass.system import Reader

PARENTS = "/sys/class/mdev_bus"
MDEVS = "/sys/bus/mdev/devices"
DEFINITIONS = "/etc/mdevctl.d"  # mdevctl's, which libvirt's nodedev-define uses, too


def buses(names: Iterable[str]) -> Iterator[MdevBus]:
    """Of the entries of PARENTS those that are no PCI function; the others are found with those."""
    for name in names:
        address = parent_address(name)
        if address is not None and parse_address(name) is None:
            yield MdevBus(address=address)


def read_types(system: Reader, parent: Address) -> Iterator[MdevType]:
    path = f"{PARENTS}/{parent}/mdev_supported_types"
    for name in system.names(path):
        available = system.read(f"{path}/{name}/available_instances") or ""
        yield MdevType(
            id=name,
            name=system.read(f"{path}/{name}/name") or name,
            available=number(available) or 0,
            device_api=system.read(f"{path}/{name}/device_api") or "",
        )


def read_mdevs(system: Reader, parents: Collection[str]) -> dict[Address, tuple[Mdev, ...]]:
    """What is alive on each of these parents, without users; sorted by UUID."""
    found: dict[Address, list[Mdev]] = {}
    for uuid in system.names(MDEVS):
        target = system.target(f"{MDEVS}/{uuid}") or ""
        parent = parent_address(target.rsplit("/", 2)[-2]) if target.count("/") >= 2 else None
        if parent is None or parent not in parents:
            continue
        group = system.link(f"{MDEVS}/{uuid}/iommu_group") or ""
        mdev = Mdev(
            uuid=uuid,
            type=system.link(f"{MDEVS}/{uuid}/mdev_type") or "",
            group=number(group),
            defined=system.exists(f"{DEFINITIONS}/{parent}/{uuid}"),
            params=system.read(f"{MDEVS}/{uuid}/nvidia/vgpu_params") or "",
        )
        found.setdefault(parent, []).append(mdev)
    return {parent: tuple(mdevs) for parent, mdevs in found.items()}
