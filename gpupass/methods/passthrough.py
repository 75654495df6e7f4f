"""A whole IOMMU group moves to vfio-pci, or back to the drivers it had; pure."""

from collections.abc import Iterator

from gpupass.methods.verdict import NO_IOMMU_REMEDY, device_verdict
from gpupass.model.address import Address, is_pci, same_slot
from gpupass.model.host import Device, Host
from gpupass.model.record import Record, RecordKind
from gpupass.model.slot import Slot, SlotKind
from gpupass.model.user import User, UserKind
from gpupass.model.verdict import StayKind
from gpupass.plan import Finding, Plan, in_use_by_processes
from gpupass.step import Deed
from gpupass.steps.bind import BindDriver
from gpupass.steps.module import LoadModule
from gpupass.steps.persistence import SetPersistence
from gpupass.steps.record import WriteRecord

VFIO = "vfio-pci"


def lends(driver: str) -> bool:
    """vfio-pci or a variant of it (mlx5_vfio_pci, nvgrace-gpu-vfio-pci, …): such a driver wants the group."""
    return driver.replace("-", "_").endswith("vfio_pci")


def no_endpoint(device: Device) -> str:
    """Why it can never be lent as a whole; "" when it can."""
    if device.is_bridge:
        return "a bridge, which cannot be assigned"
    return "" if is_pci(device.address) else "no PCI function"


def slot(device: Device) -> Slot:
    """The whole function."""
    vgpu = device.facts.vgpu is not None and device.facts.vgpu.current
    whole = SlotKind.FUNCTION if device.physfn is None else SlotKind.VF
    return Slot(kind=SlotKind.VGPU if vgpu else whole, device=device.address, of=device.address)


def endpoints(host: Host, device: Device) -> tuple[Device, ...]:
    """The members of the device's group that can be assigned: all but bridges."""
    return tuple(member for member in host.group_of(device) if not member.is_bridge)


def plan_bind(
    host: Host,
    device: Device,
    driver: str = VFIO,
    agreed: tuple[Address, ...] = (),
    allow_boot_display: bool = False,
) -> Plan:
    """Every endpoint of the group to vfio-pci; any other driver gets the device alone.

    `agreed` are the group's members of other slots whose owner said they may move along.
    """
    whole_group = lends(driver)
    members = endpoints(host, device) if whole_group else (device,)
    moving = tuple(
        member
        for member in members
        if member.driver != driver and not (member.on_vfio and whole_group and member != device)
    )
    if what := no_endpoint(device):
        never = Finding(message=f"{device.address} is {what}", remedy="gpupass list --all")
        return Plan(title=f"bind {device.address} to {driver}", findings=(never,))
    if not moving:
        return Plan(title=f"bind {device.address} to {driver}", devices=_addresses(host, device))
    steps: list[Deed] = []
    wanted = {m.address: driver if m == device else VFIO for m in moving}  # a variant drives its device only
    if whole_group:
        why = "the driver that lends a device to a guest"
        steps += [LoadModule(module=name, why=why) for name in dict.fromkeys(wanted.values())]
    for member in moving:
        steps += _leave(host, member)
        why = "asked for" if member.address == device.address else f"same IOMMU group as {device.address}"
        goal = wanted[member.address]
        steps.append(BindDriver(address=member.address, driver=goal, override=goal, why=why))
    findings = (
        *_group_findings(host, device, moving, allow_boot_display, whole_group),
        *_busy_findings(moving),
        *_cut_findings(moving),
        *(_agreement(device, moving, agreed, driver) if whole_group else ()),
    )
    return Plan(
        title=f"bind {device.address} to {driver}",
        steps=tuple(steps),
        findings=findings,
        devices=_addresses(host, device),
    )


def plan_unbind(host: Host, device: Device) -> Plan:
    """Every endpoint of the group that gpupass or somebody else put on VFIO, back to its host driver."""
    title = f"give {device.address} back to its host driver"
    moving = tuple(member for member in endpoints(host, device) if _away_from_home(host, member))
    steps: list[Deed] = []
    for member in moving:
        origin = host.record_of_this_boot(RecordKind.ORIGIN, member.address)
        driver = origin.driver if origin else member.facts.host_driver
        why = "the driver it had before" if origin else "the driver the kernel would choose"
        steps.append(
            BindDriver(
                address=member.address, driver=driver, override=origin.override if origin else None, why=why
            )
        )
        steps.append(
            WriteRecord(kind=RecordKind.ORIGIN, address=member.address, record=None, why="no longer needed")
        )
    findings = [
        Finding(
            message=f"{member.address} is attached to {user.name}",
            remedy=f"gpupass detach {user.name} {member.address}",
        )
        for member in moving
        for user in member.users
        if user.kind is UserKind.DOMAIN
    ]
    findings += _busy_findings(moving)
    findings += quarantine_findings(host, moving)
    return Plan(title=title, steps=tuple(steps), findings=tuple(findings), devices=_addresses(host, device))


def _away_from_home(host: Host, member: Device) -> bool:
    return member.on_vfio or host.record_of_this_boot(RecordKind.ORIGIN, member.address) is not None


def _leave(host: Host, member: Device) -> Iterator[Deed]:
    nvidia = member.facts.nvidia
    if nvidia is not None and nvidia.persistence:
        yield SetPersistence(
            address=member.address,
            uuid=nvidia.uuid,
            on=False,
            why="persistence mode keeps the device open and an unbind would never return",
        )
    if not member.on_vfio and host.record_of_this_boot(RecordKind.ORIGIN, member.address) is None:
        yield WriteRecord(
            kind=RecordKind.ORIGIN,
            address=member.address,
            record=Record(
                kind=RecordKind.ORIGIN,
                address=member.address,
                driver=member.driver,
                override=member.facts.driver_override,
                gpu_uuid=nvidia.uuid if nvidia is not None else None,
                gpu_serial=nvidia.serial if nvidia is not None else None,
                boot_id=host.boot_id,
            ),
            why=f"so that `gpupass unbind` knows the way back to {member.driver or 'no driver'}",
        )


def _group_findings(
    host: Host, device: Device, moving: tuple[Device, ...], allow_boot_display: bool, whole_group: bool
) -> Iterator[Finding]:
    verdict = device_verdict(device, host)
    if whole_group and verdict.group is None:
        yield Finding(message=verdict.reasons[0], remedy=NO_IOMMU_REMEDY)
    elif whole_group and host.iommu.interrupt_remapping is False:
        yield Finding(
            message="the host has no interrupt remapping, so VFIO refuses every device",
            remedy="switch x2APIC and VT-d or AMD-Vi on in the firmware setup",
        )
    for stay in verdict.staying:
        if stay.kind is not StayKind.BOOT_DISPLAY or not allow_boot_display:
            yield Finding(message=stay.reason, remedy=stay.remedy)


def _cut_findings(moving: tuple[Device, ...]) -> Iterator[Finding]:
    """They do not outlive the host's driver."""
    remedy = "use: passthrough in a profile, with take-over: true for what gpupass did not make"
    for member in moving:
        nvidia, amd = member.facts.nvidia, member.facts.amd
        gpu = nvidia.cut.gpu if nvidia is not None and nvidia.cut is not None else None
        if gpu is not None and gpu.instances:
            names = ", ".join(one.name for one in gpu.instances)
            yield Finding(
                message=f"{member.address} is cut into MIG instances, which would be lost: {names}",
                remedy=remedy,
            )
        if amd is not None and len(amd.partitions) > 1:
            names = ", ".join(part.name for part in amd.partitions)
            yield Finding(
                message=f"{member.address} is split into partitions, which would be lost: {names}",
                remedy=remedy,
            )


def held_findings(members: tuple[Device, ...]) -> tuple[Finding, ...]:
    """Somebody drives the group without libvirt (QEMU by hand, SPDK, DPDK); one line per process."""
    found: dict[int | None, Finding] = {}
    for member in members:
        for finding, user in zip(_busy_findings((member,)), _processes(member), strict=False):
            if member.on_vfio:
                found.setdefault(user.pid, finding)
    return tuple(found.values())


def quarantine_findings(host: Host, members: tuple[Device, ...]) -> tuple[Finding, ...]:
    records = (host.record(RecordKind.QUARANTINE, member.address) for member in members)
    return tuple(
        Finding(
            message=f"{record.address} is in quarantine: {record.why}",
            remedy=f"gpupass quarantine clear {record.address}",
        )
        for record in records
        if record is not None
    )


def _processes(member: Device) -> tuple[User, ...]:
    return tuple(user for user in member.users if user.kind is UserKind.PROCESS)


def _busy_findings(moving: tuple[Device, ...]) -> list[Finding]:
    """An unbind under an open device file can block for ever, so it is never tried.

    Where a domain has the device the process is its QEMU, and killing that is no remedy.
    """
    return [
        finding
        for member in moving
        if not any(user.kind is UserKind.DOMAIN for user in member.users)
        for finding in in_use_by_processes(member.address, member.users)
    ]


def _agreement(
    device: Device, moving: tuple[Device, ...], agreed: tuple[Address, ...], driver: str
) -> Iterator[Finding]:
    """Other functions of the device's own slot come along; anything else only if its owner says so."""
    strangers = tuple(
        member
        for member in moving
        if member.driver is not None and not same_slot(member.address, device.address)
    )
    for member in strangers:
        if member.address not in agreed:
            options = " ".join(f"--with {stranger.address}" for stranger in strangers)
            yield Finding(
                message=f"{member.address} ({member.name or member.ids}, driver {member.driver}) "
                f"is in the same IOMMU group and would have to move along",
                remedy=f"gpupass bind {device.address} {options}"
                + ("" if driver == VFIO else f" --driver {driver}"),
            )


def _addresses(host: Host, device: Device) -> tuple[Address, ...]:
    return tuple(member.address for member in host.group_of(device))
