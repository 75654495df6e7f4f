"""Devices, IOMMU groups and verdicts."""

from typing import Any, get_type_hints

from msgspec import UNSET, Struct, UnsetType, defstruct, field
from msgspec.structs import asdict

from gpupass.cli.documents.document import Document
from gpupass.model.address import Address
from gpupass.model.host import Base, Detail, Device, Host, Iommu
from gpupass.model.mdev import MdevBus
from gpupass.model.pci_class import class_words
from gpupass.model.user import User
from gpupass.model.verdict import Verdict


class Function(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One PCI function, its numbers in hex as people write them.

    What only a closer look tells is missing where there was none.
    """

    address: Address
    name: str
    vendor: str
    device: str
    class_: str = field(name="class")
    class_name: str
    assignable: bool
    driver: str | None
    iommu_group: int | None
    group_members: tuple[Address, ...]
    parent: Address | None
    physfn: Address | None
    physical_slot: str | None


def _with_detail() -> Any:
    """The fields of the model's Detail lie flat in it."""
    detail = {"subsystem": str | None} | get_type_hints(Detail) | {"would_bind": str | None}
    fields = [(name, kind | UnsetType, UNSET) for name, kind in detail.items()]
    return defstruct(
        "DeviceDocument",
        [*fields, ("users", tuple[User, ...])],
        bases=(Function,),
        module=__name__,
        namespace={"__doc__": Function.__doc__},
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


DeviceDocument: Any = _with_detail()


class Listed(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The devices of a host, and what is known of the host itself."""

    devices: tuple[DeviceDocument, ...]
    conditions: dict[Address, tuple[str, ...]]  # "quarantined", "not clean", "pending", "cut", …
    iommu: Iommu
    kernel: str
    unseen: tuple[str, ...]


class Shown(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One device, the verdict on its IOMMU group, and the domains that get it when they start."""

    device: DeviceDocument
    verdict: Verdict
    promised: tuple[str, ...]
    iommu: Iommu
    kernel: str
    said: tuple[str, ...]  # lines of the kernel's log about it; of a record only
    unseen: tuple[str, ...]


class GroupDocument(Verdict, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One IOMMU group with the verdict on it."""

    members: tuple[DeviceDocument, ...]


class Grouped(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The IOMMU groups of a host."""

    groups: tuple[GroupDocument, ...]
    iommu: Iommu
    kernel: str
    unseen: tuple[str, ...]


class Recorded(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of a host was stored."""

    directory: str
    files: int
    bytes: int
    unseen: tuple[str, ...]


def device_document(device: Base, host: Host) -> Any:
    if not isinstance(device, Device):
        return _bus_document(device)
    members = host.group_of(device) if device.group is not None else ()
    return DeviceDocument(
        address=device.address,
        name=device.name,
        vendor=f"{device.vendor:04x}",
        device=f"{device.device:04x}",
        class_=f"{device.class_code:06x}",
        class_name=class_words(device.class_code),
        assignable=not device.is_bridge,
        driver=device.driver,
        iommu_group=device.group,
        group_members=tuple(member.address for member in members),
        parent=device.parent,
        physfn=device.physfn,
        physical_slot=device.slot,
        users=device.users,
        **(_detail(device.detail, device.subsystem) if device.detail is not None else {}),
    )


def _bus_document(bus: MdevBus) -> Any:
    """In the same form; it has no numbers of PCI, and nothing else of a function."""
    detail = bus.detail
    mediated = _detail(Detail(express=False, **asdict(detail))) if detail is not None else {}
    return DeviceDocument(
        address=bus.address,
        name=bus.address,
        vendor="0000",
        device="0000",
        class_="000000",
        class_name=class_words(0),
        assignable=True,
        driver=None,
        iommu_group=None,
        group_members=(),
        parent=None,
        physfn=None,
        physical_slot=None,
        users=bus.users,
        **mediated,
    )


def _detail(detail: Detail, subsystem: str = "") -> dict[str, Any]:
    return asdict(detail) | {
        "subsystem": subsystem or None,
        "would_bind": detail.driver_override or detail.host_driver,
    }


def group_document(verdict: Verdict, host: Host) -> GroupDocument:
    members = tuple(device_document(member, host) for member in host.devices_at(verdict.members))
    return GroupDocument(**asdict(verdict) | {"members": members})
