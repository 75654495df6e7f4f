"""Mediated devices, and parents of them that are no PCI function."""

from msgspec import Struct

from gpupass.model.address import Address
from gpupass.model.user import User


class MdevType(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of mdev_supported_types."""

    id: str
    name: str
    available: int
    device_api: str


class Mdev(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One mediated device; its IOMMU group is its own."""

    uuid: str
    type: str  # MdevType.id
    group: int | None = None
    defined: bool = False  # mdevctl or libvirt keeps its definition
    params: str = ""  # vgpu_params, of an NVIDIA vGPU
    users: tuple[User, ...] = ()


class Mediated(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a parent that is nothing else has of them."""

    mdev_types: tuple[MdevType, ...] = ()
    mdevs: tuple[Mdev, ...] = ()


class MdevBus(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A parent of mediated devices that is no PCI function, by its name in /sys/class/mdev_bus: mbochs."""

    address: Address
    detail: Mediated | None = None
    users: tuple[User, ...] = ()

    @property
    def facts(self) -> Mediated:
        """The detail; asking for it where it was not read is a bug of the caller."""
        if self.detail is None:
            raise LookupError(f"{self.address} was observed without detail")
        return self.detail
