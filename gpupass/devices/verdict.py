"""The verdict on an IOMMU group: what VFIO asks of all its members (Documentation/driver-api/vfio.rst)."""

from gpupass.devices.separation import acs_cause, advice
from gpupass.model.address import same_slot, sysfs
from gpupass.model.host import SRIOV_MANAGE, Base, Device, Host
from gpupass.model.mark import Quarantine
from gpupass.model.remedies import remedy
from gpupass.model.user import Holder, User, UserKind
from gpupass.model.verdict import Companion, ResetAbility, Staying, StayKind, Verdict

# Drivers that do no DMA themselves or manage it (driver_managed_dma): a group is viable with them in it.
_HARMLESS = ("pcieport", "pci-stub", "pci-pf-stub", "shpchp")
NO_IOMMU = "this host has no IOMMU"
NO_IOMMU_REMEDY = (
    "switch VT-d or AMD-Vi on in the firmware setup; on Intel also boot with intel_iommu=on, then reboot"
)
_STAYS = {
    UserKind.DISK: StayKind.DISK,
    UserKind.NETWORK: StayKind.NETWORK,
    UserKind.BOOT_DISPLAY: StayKind.BOOT_DISPLAY,
    UserKind.DOMAIN: StayKind.DOMAIN,
}


def verdict_on(carrier: Base, host: Host) -> Verdict:
    """Of what is no PCI function: it is in no group."""
    if isinstance(carrier, Device):
        return device_verdict(carrier, host)
    at = carrier.address
    reason = NO_IOMMU if not host.iommu.enabled else f"{at} is in no IOMMU group"
    return Verdict(group=None, target=at, members=(at,), viable=False, reasons=(reason,))


def device_verdict(device: Device, host: Host) -> Verdict:
    """The verdict on the device's group, seen from the device."""
    members = host.group_of(device)
    endpoints = tuple(member for member in members if not member.is_bridge)
    staying = tuple(reason for member in members for reason in _staying(member, host))
    reasons = tuple(dict.fromkeys(reason.reason for reason in staying))
    if device.group is None:
        reasons = (_why_no_group(device, host), *reasons)
    if device.is_bridge:
        reasons = (f"{device.address} is a bridge, which cannot be assigned", *reasons)
    return Verdict(
        group=device.group,
        target=device.address,
        members=tuple(member.address for member in members),
        viable=not reasons,
        staying=staying,
        companions=tuple(_companion(member, device) for member in endpoints if _moves(member, device)),
        idle=tuple(m.address for m in endpoints if m.driver is None and m != device),
        bridges=tuple(member.address for member in members if member.is_bridge),
        reasons=reasons,
        warnings=_warnings(endpoints, host),
        acs=acs_cause(members, host),
        advice=advice(members, host),
        resets=tuple(
            ResetAbility(address=m.address, methods=m.detail.reset_methods) for m in endpoints if m.detail
        ),
    )


def group_verdict(group: int, host: Host) -> Verdict:
    """The verdict on a group, seen from its first GPU, else from its first endpoint."""
    return device_verdict(principal(host.groups[group]), host)


def principal(members: tuple[Device, ...]) -> Device:
    """The member a group is about: its first GPU, else its first endpoint, else its first bridge."""
    return min(members, key=lambda member: (not member.is_gpu, member.is_bridge, member.address))


def needs_driver_change(device: Device) -> bool:
    """Does a host driver do DMA through it?"""
    return device.driver is not None and not device.on_vfio and device.driver not in _HARMLESS


def _why_no_group(device: Device, host: Host) -> str:
    return f"{device.address} is in no IOMMU group" if host.iommu.enabled else NO_IOMMU


def _moves(member: Device, target: Device) -> bool:
    return member.address != target.address and needs_driver_change(member)


def _companion(member: Device, target: Device) -> Companion:
    return Companion(
        address=member.address,
        driver=member.driver or "",
        same_slot=same_slot(member.address, target.address),
    )


def _staying(member: Device, host: Host) -> tuple[Staying, ...]:
    found = [_user_stays(member, user) for user in member.users if user.kind in _STAYS]
    if member.is_bridge and needs_driver_change(member):
        found.append(
            Staying(
                address=member.address,
                kind=StayKind.BRIDGE,
                name=member.driver or "",
                reason=f"bridge {member.address} works for the host with driver {member.driver}",
                remedy=f"if the host can do without it: "
                f"echo {member.address} > /sys/bus/pci/drivers/{member.driver}/unbind",
            )
        )
    vfs = host.functions_of(member.address)
    if vfs:
        found.append(_functions_stay(host, member, vfs))
    quarantine = host.mark(Quarantine, member.address)
    if quarantine is not None:
        found.append(
            Staying(
                address=member.address,
                kind=StayKind.QUARANTINE,
                name="",
                reason=f"{member.address} is in quarantine: {quarantine.why}",
                remedy=f"gpupass quarantine clear {member.address}",
            )
        )
    return tuple(found)


def _functions_stay(host: Host, member: Device, vfs: tuple[Device, ...]) -> Staying:
    """A physical function that loses its driver takes its virtual functions away from whoever has them."""
    taken = [
        f"{vf.address} belongs to domain {user.name}"
        for vf in vfs
        for user in vf.users
        if user.kind is UserKind.DOMAIN
    ]
    use = f": {', '.join(taken)}" if taken else ""
    return Staying(
        address=member.address,
        kind=StayKind.SRIOV,
        name=str(len(vfs)),
        reason=f"{member.address} has {len(vfs)} virtual functions enabled{use}",
        remedy=f"when nobody uses them: {_end_of_functions(host, member)}",
    )


def _end_of_functions(host: Host, member: Device) -> str:
    """NVIDIA's driver, where its script is, and AMD's GIM refuse sriov_numvfs."""
    if member.driver == "gim":
        return "modprobe -r gim, which ends those of its other GPUs, too"
    if member.driver == "nvidia" and host.sriov_manage:
        return f"{SRIOV_MANAGE} -d {member.address}"
    return f"echo 0 > {sysfs(member.address, 'sriov_numvfs')}"


def _user_stays(member: Device, user: User) -> Staying:
    where = f"on {member.address}"
    reason = {
        UserKind.DISK: f"{_disk(user)} {where}",
        UserKind.NETWORK: f"network {user.name} ({user.detail}) {where}",
        UserKind.BOOT_DISPLAY: f"boot display {where}",
        UserKind.DOMAIN: f"domain {user.name} has {member.address}",
    }[user.kind]
    return Staying(
        address=member.address,
        kind=_STAYS[user.kind],
        name=user.name,
        reason=reason,
        remedy=remedy(user, member.address),
    )


def _disk(user: User) -> str:
    """ "root disk /dev/sda1", "disk of domain web: vda /dev/sdb", "RAID md0: /dev/md0"."""
    if user.holder in (Holder.MOUNT, Holder.ROOT, Holder.SWAP, Holder.DOMAIN_DISK, Holder.NOBODY):
        words = {"/": "root disk", "swap": "swap"}.get(user.name, f"disk of {user.name}:")
        return f"{words} {user.detail}"
    return f"{user.name}: {user.detail}"


def _warnings(endpoints: tuple[Device, ...], host: Host) -> tuple[str, ...]:
    found = []
    if host.iommu.enabled and host.iommu.interrupt_remapping is False:
        found.append(
            "no interrupt remapping: VFIO refuses every device; switch x2APIC and VT-d or AMD-Vi on in the "
            "firmware setup"
        )
    for member in endpoints:
        if member.detail is not None and not member.detail.reset_methods:
            found.append(f"{member.address} has no reset of its own")
        if member.detail is not None and not member.detail.responds:
            found.append(f"{member.address} does not answer: its configuration space reads all ones")
        found.extend(
            f"domain {user.name} names {member.address} in its persistent XML"
            + (f" ({user.detail})" if user.detail and not user.detail.startswith("hostdev") else "")
            for user in member.users
            if user.kind is UserKind.DOMAIN_CONFIG
        )
    return tuple(found)
