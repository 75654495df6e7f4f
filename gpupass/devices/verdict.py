"""The verdict on an IOMMU group: what VFIO asks of all its members (Documentation/driver-api/vfio.rst)."""

from collections.abc import Iterator

from gpupass.devices.separation import acs_cause, advice
from gpupass.model.address import same_slot, sysfs
from gpupass.model.host import NVIDIA, SRIOV_MANAGE, Base, Device, Host
from gpupass.model.mark import Quarantine
from gpupass.model.remedies import remedy
from gpupass.model.user import Holder, User, UserKind
from gpupass.model.verdict import Companion, ResetAbility, Staying, StayKind, Verdict
from gpupass.plan import Finding, in_use_by_processes
from gpupass.steps.persistence import PERSISTENCED

# Drivers that do no DMA themselves or manage it (driver_managed_dma): a group is viable with them in it.
_HARMLESS = ("pcieport", "pci-stub", "pci-pf-stub", "shpchp")
NO_IOMMU = "this host has no IOMMU"
NO_REMAPPING = "the host has no interrupt remapping, so VFIO refuses every device"
NO_REMAPPING_REMEDY = "switch x2APIC and VT-d or AMD-Vi on in the firmware setup"
NO_IOMMU_WAY = "switch VT-d or AMD-Vi on in the firmware setup; on Intel also boot with intel_iommu=on"
NO_IOMMU_REMEDY = f"{NO_IOMMU_WAY}; what this host takes: gpupass doctor --for passthrough"
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
    staying = (*_host_stays(device, host), *(one for member in members for one in _staying(member, host)))
    reasons = tuple(dict.fromkeys(reason.reason for reason in staying))
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


def _host_stays(device: Device, host: Host) -> Iterator[Staying]:
    """What the host itself lacks, or its firmware wants."""

    def because(kind: StayKind, reason: str, remedy: str) -> Staying:
        return Staying(address=device.address, kind=kind, name="", reason=reason, remedy=remedy)

    if device.group is None:
        why = f"{device.address} is in no IOMMU group" if host.iommu.enabled else NO_IOMMU
        yield because(StayKind.NO_GROUP, why, NO_IOMMU_REMEDY)
    elif host.iommu.enabled and host.iommu.interrupt_remapping is False and not host.iommu.unsafe_interrupts:
        yield because(StayKind.INTERRUPTS, NO_REMAPPING, NO_REMAPPING_REMEDY)
    for group, region in host.iommu.direct:
        if group == device.group:
            yield because(
                StayKind.RESERVED,
                f"the firmware reserves {region} for IOMMU group {group} (RMRR): "
                "the kernel refuses to give it to a guest",
                "choose another device or slot, or end in the firmware setup what reserves it "
                "(shared memory of a management controller; HPE calls it RMRDS)",
            )
    for group, name, driver in host.iommu.strangers:
        if group == device.group:
            yield because(
                StayKind.STRANGER,
                f"IOMMU group {group} holds {name}, no PCI function, which {driver} runs for the host: "
                "the kernel gives a group away as a whole or not at all",
                "choose a device or slot of another group: gpupass groups",
            )


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
    if member.detail is not None and not member.detail.responds:
        found.append(
            Staying(
                address=member.address,
                kind=StayKind.SILENT,
                name="",
                reason=silence(member),
                remedy="power the device or the host off and on",
            )
        )
    for kind, holding in ((StayKind.PROCESS, busy(member)), (StayKind.KERNEL, console(member))):
        found += [
            Staying(address=member.address, kind=kind, name="", reason=one.message, remedy=one.remedy)
            for one in holding
        ]
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


def silence(member: Device) -> str:
    return f"{member.address} does not answer: its configuration space reads all ones"


def no_reset(member: Device) -> str:
    return f"{member.address} has no reset of its own"


def busy(member: Device) -> tuple[Finding, ...]:
    """Processes that have it open, where it would change its driver or is lent without libvirt.

    Where a domain has the device the process is its QEMU. What lets go with persistence mode, which is
    switched off before, is not in the way.
    """
    if any(user.kind is UserKind.DOMAIN for user in member.users):
        return ()
    if not needs_driver_change(member) and not member.on_vfio:
        return ()
    nvidia = member.detail.nvidia if member.detail is not None else None
    leaves = PERSISTENCED if nvidia is not None and nvidia.persistence else None
    return tuple(in_use_by_processes(member.address, (u for u in member.users if u.name != leaves)))


def console(member: Device) -> tuple[Finding, ...]:
    """NVIDIA's driver waits for ever for the kernel's console to go; others take it down themselves."""
    return tuple(
        Finding(
            message=f"{user.name} is on {member.address} ({user.detail})", remedy=remedy(user, member.address)
        )
        for user in member.users
        if user.holder is Holder.CONSOLE and member.driver == NVIDIA
    )


def kernel_findings(member: Device) -> Iterator[Finding]:
    """What the kernel has on it beside its console, and what may come of that."""
    for user in member.users:
        if user.kind is UserKind.KERNEL and user.holder is not Holder.CONSOLE and not member.on_vfio:
            module = user.holder is Holder.MODULE
            comes = (
                "where it draws, an unbind is refused"
                if module
                else "where it stays, vfio-pci cannot reserve it"
            )
            yield Finding(
                message=f"{user.name} is on {member.address} ({user.detail}): {comes}",
                remedy=remedy(user, member.address),
                fatal=False,
            )


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
    if host.iommu.unsafe_interrupts:
        found.append("no interrupt remapping, and allow_unsafe_interrupts: a guest can inject interrupts")
    for member in endpoints:
        if member.detail is not None and not member.detail.reset_methods:
            found.append(no_reset(member))
        found.extend(f"{one.message}; {one.remedy}" for one in kernel_findings(member))
        found.extend(
            f"domain {user.name} names {member.address} in its persistent XML"
            + (f" ({user.detail})" if user.detail and not user.detail.startswith("hostdev") else "")
            for user in member.users
            if user.kind is UserKind.DOMAIN_CONFIG
        )
    return tuple(found)
