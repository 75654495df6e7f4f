"""Devices and verdicts as JSON documents: what programs read; numbers of PCI as people write them."""

from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from gpupass.model.host import Detail, Device, Host
from gpupass.model.pci_class import class_words

if TYPE_CHECKING:
    from gpupass.model.verdict import Verdict


def device_document(device: Device, host: Host) -> dict[str, Any]:
    members = [member.address for member in host.group_of(device)] if device.group is not None else []
    document = {
        "address": device.address,
        "name": device.name,
        "vendor": f"{device.vendor:04x}",
        "device": f"{device.device:04x}",
        "class": f"{device.class_code:06x}",
        "class_name": class_words(device.class_code),
        "assignable": not device.is_bridge,
        "driver": device.driver,
        "iommu_group": device.group,
        "group_members": members,
        "parent": device.parent,
        "physfn": device.physfn,
        "physical_slot": device.slot,
    }
    if device.detail is not None:
        document |= _detail(device.detail)
    document["users"] = device.users
    return document


def _detail(detail: Detail) -> dict[str, Any]:
    subsystem = detail.subsystem
    document = asdict(detail)
    document["subsystem"] = f"{subsystem[0]:04x}:{subsystem[1]:04x}" if subsystem else None
    document["would_bind"] = detail.driver_override or detail.host_driver
    return document


def verdict_document(verdict: "Verdict") -> dict[str, Any]:
    return asdict(verdict)


def host_document(host: Host) -> dict[str, Any]:
    """What every reading verb says of the host itself."""
    return {"iommu": host.iommu, "kernel": host.kernel, "unseen": host.unseen}
