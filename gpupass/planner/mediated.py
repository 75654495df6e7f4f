"""Hand a mediated device to a domain and take it back; pure. The way of a whole function is in handover.py.

What one guest left in it must not reach the next, and nothing but its end is sure to clear it: between two
guests a mediated device is removed and made anew under the same UUID, where gpupass made it.
"""

from gpupass.lending.preflight import mdev_attach_findings, mdev_detach_findings
from gpupass.methods.mdev import anew
from gpupass.methods.passthrough import quarantine_findings
from gpupass.model.domain import Domain
from gpupass.model.host import Device, Host, Mdev
from gpupass.model.record import Record, RecordKind
from gpupass.model.user import UserKind
from gpupass.plan import Finding, Plan
from gpupass.planner.handing import claim, elsewhere, end_of_claim, give, take
from gpupass.step import Deed
from gpupass.steps.release import AwaitRelease


def mdev_of(parent: Device, uuid: str) -> Mdev:
    """LookupError when it is gone: the caller has looked at another host."""
    found = next((mdev for mdev in parent.facts.mdevs if mdev.uuid == uuid), None)
    if found is None:
        raise LookupError(f"{parent.address} has no mediated device {uuid}")
    return found


def mdev_holder(host: Host, uuid: str) -> Domain | None:
    """The running domain that has it."""
    return next((d for d in host.domains if any(h.mdev == uuid for h in d.live)), None)


def attach_mdev(host: Host, domain: Domain, parent: Device, mdev: Mdev, connect: str) -> Plan:
    title = f"attach {mdev.uuid} to {domain.name}"
    owner = mdev_holder(host, mdev.uuid)
    if owner is not None and owner.uuid == domain.uuid:
        return Plan(title=title, devices=(parent.address,))
    clean = _clean(host, parent, mdev) if owner is None and _claim(host, parent, mdev) is not None else ()
    return Plan(
        title=title,
        steps=(*clean, *_hand_over(host, domain, parent, mdev, connect)),
        findings=(*_held(mdev), *_ready(host, domain, parent, mdev)),
        devices=(parent.address,),
    )


def detach_mdev(host: Host, domain: Domain, parent: Device, mdev: Mdev, connect: str) -> Plan:
    title = f"detach {mdev.uuid} from {domain.name}"
    owner = mdev_holder(host, mdev.uuid)
    if owner is not None and owner.uuid != domain.uuid:
        return Plan(title=title, findings=(elsewhere(mdev.uuid, domain, owner),), devices=(parent.address,))
    return Plan(
        title=title,
        steps=_take_back(host, domain, parent, mdev, connect),
        findings=mdev_detach_findings(mdev.uuid, domain),
        devices=(parent.address,),
    )


def move_mdev(host: Host, target: Domain, parent: Device, mdev: Mdev, connect: str) -> Plan:
    owner = mdev_holder(host, mdev.uuid)
    if owner is None or owner.uuid == target.uuid:
        return attach_mdev(host, target, parent, mdev, connect)
    return Plan(
        title=f"move {mdev.uuid} from {owner.name} to {target.name}",
        steps=(
            *_take_back(host, owner, parent, mdev, connect),
            *_hand_over(host, target, parent, mdev, connect),
        ),
        findings=(
            *mdev_detach_findings(mdev.uuid, owner),
            *_ready(host, target, parent, mdev, leaving=owner),
        ),
        devices=(parent.address,),
    )


def clean_mdev(host: Host, parent: Device, mdev: Mdev) -> Plan:
    """After a guest has gone without us."""
    dirty = _claim(host, parent, mdev) is not None and mdev_holder(host, mdev.uuid) is None
    return Plan(
        title=f"clean {mdev.uuid}",
        steps=_clean(host, parent, mdev) if dirty else (),
        devices=(parent.address,),
    )


def _ready(
    host: Host, domain: Domain, parent: Device, mdev: Mdev, leaving: Domain | None = None
) -> tuple[Finding, ...]:
    return (*mdev_attach_findings(host, mdev, domain, leaving), *quarantine_findings(host, (parent,)))


def _held(mdev: Mdev) -> tuple[Finding, ...]:
    """By a process without libvirt."""
    if any(user.kind is UserKind.DOMAIN for user in mdev.users):
        return ()
    return tuple(
        Finding(
            message=f"{mdev.uuid} is in use by {user.name} ({user.detail})",
            remedy=f"stop it: kill {user.pid}",
        )
        for user in mdev.users
        if user.kind is UserKind.PROCESS
    )


def _claim(host: Host, parent: Device, mdev: Mdev) -> Record | None:
    return host.record(RecordKind.CLAIM, parent.address, mdev.uuid)


def _hand_over(host: Host, domain: Domain, parent: Device, mdev: Mdev, connect: str) -> tuple[Deed, ...]:
    return (
        claim(host, domain, parent.address, mdev.uuid),
        give(domain, parent.address, connect, mdev.uuid),
    )


def _take_back(host: Host, domain: Domain, parent: Device, mdev: Mdev, connect: str) -> tuple[Deed, ...]:
    taken = tuple(
        take(domain, parent.address, hostdev, connect) for hostdev in domain.live if hostdev.mdev == mdev.uuid
    )
    dirty = taken or _claim(host, parent, mdev) is not None
    return (*taken, *_clean(host, parent, mdev)) if dirty else ()


def _clean(host: Host, parent: Device, mdev: Mdev) -> tuple[Deed, ...]:
    closed = f"until {mdev.uuid}'s VFIO file is closed"
    waits = (
        (AwaitRelease(addresses=(parent.address,), group=mdev.group, why=closed),)
        if mdev.group is not None
        else ()
    )
    return (*waits, *anew(host, parent, mdev), *end_of_claim(host, parent.address, mdev.uuid))
