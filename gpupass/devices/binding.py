"""A whole IOMMU group moves to vfio-pci, or back to the drivers it had; pure."""

from collections.abc import Iterable, Iterator

from gpupass.devices.verdict import busy, device_verdict, kernel_findings
from gpupass.model.address import Address, same_slot
from gpupass.model.host import Base, Device, Host, lends
from gpupass.model.mark import Origin, Quarantine
from gpupass.model.mdev import MdevBus
from gpupass.model.select import mig_capable, minor_of, part_number_of, product_of
from gpupass.model.user import UserKind
from gpupass.model.verdict import StayKind
from gpupass.plan import Draft, Finding
from gpupass.step import Deed
from gpupass.steps.bind import BindDriver
from gpupass.steps.module import LoadModule
from gpupass.steps.persistence import SetPersistence

VFIO = "vfio-pci"


def no_endpoint(carrier: Base) -> str:
    """Why it can never be lent as a whole; "" when it can."""
    if isinstance(carrier, MdevBus):
        return "no PCI function"
    return "a bridge, which cannot be assigned" if carrier.is_bridge else ""


def never_bound(carrier: Base) -> Draft:
    """It has no driver that could be another one."""
    never = Finding(message=f"{carrier.address} is {no_endpoint(carrier)}", remedy="gpupass list --all")
    return Draft(findings=(never,))


def endpoints(host: Host, carrier: Base) -> tuple[Device, ...]:
    """The members of the device's group that can be assigned: all but bridges."""
    if isinstance(carrier, MdevBus):
        return ()
    return tuple(member for member in host.group_of(carrier) if not member.is_bridge)


def bind(
    host: Host,
    device: Base,
    driver: str = VFIO,
    agreed: tuple[Address, ...] = (),
    allow_boot_display: bool = False,
) -> Draft:
    """Every endpoint of the group to vfio-pci; any other driver gets the device alone.

    `agreed` are the group's members of other slots whose owner said they may move along.
    """
    if isinstance(device, MdevBus) or device.is_bridge:
        return never_bound(device)
    whole_group = lends(driver)
    members = endpoints(host, device) if whole_group else (device,)
    moving = tuple(
        member
        for member in members
        if member.driver != driver and not (member.on_vfio and whole_group and member != device)
    )
    if not moving:
        return Draft(devices=_addresses(host, device))
    wanted = {m.address: driver if m == device else VFIO for m in moving}  # a variant drives its device only
    why = "the driver that lends a device to a guest"
    modules = dict.fromkeys(wanted.values()) if whole_group else {}
    return Draft(
        takes=tuple(step for member in moving for step in _let_go(member)),
        makes=(
            *(LoadModule(module=name, why=why) for name in modules),
            *(_to(host, device, member, wanted[member.address]) for member in moving),
        ),
        findings=(
            *_group_findings(host, device, allow_boot_display, whole_group),
            *(_agreement(device, moving, agreed, driver) if whole_group else ()),
        ),
        devices=_addresses(host, device),
    )


def give_back(host: Host, device: Base) -> Draft:
    """Every endpoint of the group that gpupass or somebody else put on VFIO, back to its host driver."""
    moving = tuple(member for member in endpoints(host, device) if _away_from_home(host, member))
    attached = (
        Finding(
            message=f"{member.address} is attached to {user.name}",
            remedy=f"gpupass detach {user.name} {member.address}",
        )
        for member in moving
        for user in member.users
        if user.kind is UserKind.DOMAIN
    )
    return Draft(
        makes=tuple(_home(host, member) for member in moving),
        findings=(
            *attached,
            *(finding for member in moving for finding in busy(member)),
            *_quarantined(host, moving),
        ),
        devices=_addresses(host, device),
    )


def origin_of(host: Host, device: Device) -> Origin | None:
    return host.mark_of_this_boot(Origin, device.address)


def back(device: Device, origin: Origin) -> BindDriver:
    """To the driver it had before."""
    return BindDriver(
        address=device.address,
        driver=origin.driver,
        override=origin.override,
        forgets=(origin.key,),
        why="the driver it had before",
    )


def _home(host: Host, member: Device) -> BindDriver:
    origin = origin_of(host, member)
    if origin is not None:
        return back(member, origin)
    why = "the driver the kernel would choose"
    return BindDriver(address=member.address, driver=member.facts.host_driver, override=None, why=why)


def _away_from_home(host: Host, member: Device) -> bool:
    return member.on_vfio or origin_of(host, member) is not None


def _let_go(member: Device) -> Iterator[Deed]:
    nvidia = member.facts.nvidia
    if nvidia is not None and nvidia.persistence:
        yield SetPersistence(
            address=member.address,
            uuid=nvidia.uuid,
            on=False,
            why="persistence mode keeps the device open and an unbind would never return",
        )


def _to(host: Host, device: Device, member: Device, driver: str) -> BindDriver:
    """So that the way back is known, what it had is remembered."""
    nvidia = member.facts.nvidia
    origin = Origin(
        carrier=member.address,
        driver=member.driver,
        override=member.facts.driver_override,
        gpu_uuid=nvidia.uuid if nvidia is not None else None,
        gpu_serial=nvidia.serial if nvidia is not None else None,
        gpu_name=product_of(member, host),
        gpu_part_number=part_number_of(member, host),
        gpu_minor=minor_of(member, host),
        gpu_mig=mig_capable(member, host) if nvidia is not None else None,
        boot_id=host.boot_id,
    )
    new = not member.on_vfio and origin_of(host, member) is None
    return BindDriver(
        address=member.address,
        driver=driver,
        override=driver,
        marks=(origin,) if new else (),
        why="asked for" if member.address == device.address else f"same IOMMU group as {device.address}",
    )


# what VFIO alone asks for
_WITHOUT_A_GUEST = (StayKind.NO_GROUP, StayKind.INTERRUPTS, StayKind.RESERVED, StayKind.STRANGER)


def _group_findings(
    host: Host, device: Device, allow_boot_display: bool, whole_group: bool
) -> Iterator[Finding]:
    verdict = device_verdict(device, host)
    for stay in verdict.staying:
        allowed = stay.kind is StayKind.BOOT_DISPLAY and allow_boot_display
        if not allowed and (whole_group or stay.kind not in _WITHOUT_A_GUEST):
            yield Finding(message=stay.reason, remedy=stay.remedy)
    if whole_group:
        for member in endpoints(host, device):
            yield from kernel_findings(member)


def vfio_findings(host: Host, device: Device) -> Iterator[Finding]:
    """What VFIO refuses whoever is to have the device, also where it is bound to it already."""
    for stay in device_verdict(device, host).staying:
        if stay.kind in _WITHOUT_A_GUEST:
            yield Finding(message=stay.reason, remedy=stay.remedy)


def held_findings(members: tuple[Device, ...]) -> tuple[Finding, ...]:
    """Somebody drives the group without libvirt (QEMU by hand, SPDK, DPDK); one line per process."""
    found: dict[tuple[str, int | None], Finding] = {}
    for member in members:
        if member.on_vfio:
            for finding in busy(member):
                first = next(user for user in member.users if user.kind is UserKind.PROCESS)
                found.setdefault((first.handle, first.pid), finding)
    return tuple(found.values())


def quarantine_findings(host: Host, addresses: Iterable[Address]) -> tuple[Finding, ...]:
    marks = (host.mark(Quarantine, address) for address in addresses)
    return tuple(
        Finding(
            message=f"{mark.carrier} is in quarantine: {mark.why}",
            remedy=f"gpupass quarantine clear {mark.carrier}",
        )
        for mark in marks
        if mark is not None
    )


def _quarantined(host: Host, members: tuple[Device, ...]) -> tuple[Finding, ...]:
    return quarantine_findings(host, (member.address for member in members))


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


def _addresses(host: Host, device: Base) -> tuple[Address, ...]:
    return tuple(member.address for member in host.group_of(device))
