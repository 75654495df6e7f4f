"""What forbids, or should be known before, binding functions early: who needs them at the next boot; pure."""

from collections.abc import Iterator

from gpupass.devices.verdict import NO_IOMMU_REMEDY, device_verdict
from gpupass.model.address import Address, same_slot
from gpupass.model.host import Device, Host
from gpupass.model.verdict import StayKind
from gpupass.plan import Finding

# A domain, a process or a quarantine of today says nothing about the next boot.
_TOMORROW = (StayKind.DISK, StayKind.NETWORK, StayKind.BRIDGE, StayKind.SRIOV)


def early_findings(
    host: Host, devices: tuple[Device, ...], moving: tuple[Device, ...], agreed: tuple[Address, ...]
) -> tuple[Finding, ...]:
    """`moving` are the endpoints of the groups of `devices`."""
    found = [finding for device in devices for finding in _device_findings(host, device, agreed)]
    return tuple(dict.fromkeys((*found, *_darkness(host, moving))))


def _device_findings(host: Host, device: Device, agreed: tuple[Address, ...]) -> Iterator[Finding]:
    verdict = device_verdict(device, host)
    if device.is_bridge:
        yield Finding(message=f"{device.address} is a bridge, which cannot be assigned", remedy="")
    elif verdict.group is None:
        yield Finding(message=verdict.reasons[0], remedy=NO_IOMMU_REMEDY)
    if device.physfn is not None:
        yield Finding(
            message=f"{device.address} is a virtual function, which nobody has made yet when a host boots",
            remedy="say so in a profile: gpupass enable FILE",
        )
    for stay in verdict.staying:
        if stay.kind in _TOMORROW:
            yield Finding(message=stay.reason, remedy=stay.remedy)
    for companion in verdict.companions:
        if companion.address not in agreed and not same_slot(companion.address, device.address):
            yield Finding(
                message=f"{companion.address} (driver {companion.driver}) is in the same IOMMU group "
                "and would have to move along",
                remedy=f"gpupass host early-bind {device.address} --with {companion.address}",
            )


def _darkness(host: Host, moving: tuple[Device, ...]) -> Iterator[Finding]:
    taken = {device.address for device in moving}
    displays = [device for device in host.devices if device.class_code >> 16 == 0x03]
    if any(display.address in taken for display in displays) and all(
        display.address in taken or display.on_vfio for display in displays
    ):
        yield Finding(
            message="no display is left to the host: the console goes dark at the next boot",
            remedy="keep another way in (ssh, serial console); back: gpupass host early-bind --undo",
            fatal=False,
        )
