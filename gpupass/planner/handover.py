"""Where binding, cleaning and hot-plug meet: attach, detach, move, unbind; pure."""

from gpupass.lending.cleaning import cleaning
from gpupass.lending.preflight import attach_findings, detach_findings
from gpupass.methods import vgpu_check, vgpu_steps
from gpupass.methods.passthrough import (
    VFIO,
    endpoints,
    held_findings,
    plan_bind,
    plan_unbind,
    quarantine_findings,
)
from gpupass.model.domain import Domain
from gpupass.model.host import Device, Host
from gpupass.model.record import RecordKind
from gpupass.plan import Plan
from gpupass.planner.handing import claim, elsewhere, end_of_claim, give, take
from gpupass.step import Deed
from gpupass.steps.release import AwaitRelease


def _claimed(host: Host, members: tuple[Device, ...]) -> bool:
    return any(host.record(RecordKind.CLAIM, member.address) for member in members)


def _has(domain: Domain, device: Device) -> bool:
    return any(hostdev.address == device.address for hostdev in domain.live)


def holder_of(host: Host, device: Device) -> Domain | None:
    """The running domain that has any function of the device's group."""
    members = {member.address for member in host.group_of(device)}
    return next((d for d in host.domains if any(h.address in members for h in d.live)), None)


def attach_plan(host: Host, domain: Domain, device: Device, connect: str) -> Plan:
    """Bind the group, reset it, hand it over. Empty when the domain has it already."""
    title = f"attach {device.address} to {domain.name}"
    members = endpoints(host, device)
    devices = tuple(member.address for member in host.group_of(device))
    if _has(domain, device):
        return Plan(title=title, devices=devices)
    bind = plan_bind(host, device, str(device.driver) if device.on_vfio else VFIO)
    free = tuple(member for member in members if not _has(domain, member))
    unresettable = cleaning(host, free)[1]
    clean = (
        _clean(host, free, device, will_be_bound=True) if _claimed(host, members) else cleaning(host, free)[0]
    )
    held = () if _claimed(host, members) or free != members else held_findings(members)
    return Plan(
        title=title,
        steps=(*bind.steps, *clean, *_hand_over(host, domain, device, members, connect)),
        findings=(
            *bind.findings,
            *held,
            *vgpu_check.lend_findings(host, device),
            *attach_findings(host, device, members, domain),
            *unresettable,
        ),
        devices=devices,
    )


def detach_plan(host: Host, domain: Domain, device: Device, connect: str) -> Plan:
    """Ask the guest for all of the group, see it closed, reset it. Empty when nothing is left to do."""
    members = endpoints(host, device)
    title = f"detach {device.address} from {domain.name}"
    devices = tuple(member.address for member in host.group_of(device))
    owner = holder_of(host, device)
    if owner is not None and owner.uuid != domain.uuid:
        return Plan(title=title, findings=(elsewhere(device.address, domain, owner),), devices=devices)
    steps = _take_back(host, domain, device, members, connect)
    untouchable = quarantine_findings(host, members) if steps and owner is None else ()
    return Plan(
        title=title, steps=steps, findings=(*detach_findings(members, domain), *untouchable), devices=devices
    )


def move_plan(host: Host, target: Domain, device: Device, connect: str) -> Plan:
    """Detach from whoever has it, then attach: one plan, so that a failure goes back to the first owner."""
    owner = holder_of(host, device)
    if owner is None or owner.uuid == target.uuid:
        return attach_plan(host, target, device, connect)
    members = endpoints(host, device)
    return Plan(
        title=f"move {device.address} from {owner.name} to {target.name}",
        steps=(
            *_take_back(host, owner, device, members, connect),
            *_hand_over(host, target, device, members, connect),
        ),
        findings=(
            *detach_findings(members, owner),
            *attach_findings(host, device, members, target, leaving=owner),
            *cleaning(host, members)[1],
        ),
        devices=tuple(member.address for member in host.group_of(device)),
    )


def unbind_plan(host: Host, device: Device) -> Plan:
    """Back to the host's drivers; what a guest has used is reset first."""
    back = plan_unbind(host, device)
    steps = (*clean_plan(host, device).steps, *back.steps) if back.steps else ()
    return Plan(title=back.title, steps=steps, findings=back.findings, devices=back.devices)


def clean_plan(host: Host, device: Device) -> Plan:
    """After a guest has gone without us: see the group closed, reset it, end the claim."""
    members = endpoints(host, device)
    if not _claimed(host, members) or holder_of(host, device) is not None:
        steps: tuple[Deed, ...] = ()
    elif quarantine_findings(host, members):
        steps = ()  # not to be touched until a person says so
    else:
        steps = _clean(host, members, device)
    return Plan(
        title=f"clean {device.address}",
        steps=steps,
        devices=tuple(member.address for member in host.group_of(device)),
    )


def _hand_over(
    host: Host, domain: Domain, device: Device, members: tuple[Device, ...], connect: str
) -> tuple[Deed, ...]:
    """Claims first; the function the guest sees last, when libvirt owns all of its group."""
    companions = (member for member in members if member.address != device.address)
    hidden = "same group, not shown to the guest"
    return (
        *(claim(host, domain, member.address) for member in members),
        *(give(domain, member.address, connect, exposed=False, why=hidden) for member in companions),
        give(domain, device.address, connect),
    )


def _take_back(
    host: Host, domain: Domain, device: Device, members: tuple[Device, ...], connect: str
) -> tuple[Deed, ...]:
    mine = {member.address for member in members}
    held = sorted(
        ((h.address, h) for h in domain.live if h.address is not None and h.address in mine),
        key=lambda pair: (pair[1].unassigned, pair[0]),
    )
    same_group = "same IOMMU group"
    taken = tuple(
        take(domain, address, hostdev, connect, "asked for" if address == device.address else same_group)
        for address, hostdev in held
    )
    return (*taken, *_clean(host, members, device)) if taken or _claimed(host, members) else ()


def _clean(
    host: Host, members: tuple[Device, ...], device: Device, will_be_bound: bool = False
) -> tuple[Deed, ...]:
    """No reset under a host driver: after a reboot the host may have the device at work, and clean."""
    addresses = tuple(member.address for member in members)
    on_vfio = {member.address for member in members if member.on_vfio or will_be_bound}
    resets = (reset for reset in cleaning(host, members)[0] if on_vfio.issuperset(reset.addresses))
    claims = (end for address in addresses for end in end_of_claim(host, address))
    waits = (
        (AwaitRelease(addresses=addresses, group=device.group, why="until the VFIO files are closed"),)
        if device.group is not None
        else ()
    )
    renewals = (step for member in members if member.own_vfio for step in vgpu_steps.anew(host, member))
    return (*waits, *resets, *renewals, *claims)
