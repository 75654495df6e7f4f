"""A PCI function to a domain and back, its whole IOMMU group on VFIO and reset between two guests; pure."""

from gpupass.devices.binding import VFIO, bind, endpoints, held_findings, vfio_findings
from gpupass.lending.cleaning import cleaning, until_closed
from gpupass.lending.domain import covered as covered
from gpupass.lending.domain import give as give
from gpupass.lending.domain import held as held
from gpupass.lending.domain import holder as holder
from gpupass.lending.domain import keeps as keeps
from gpupass.lending.domain import take as take
from gpupass.lending.lender import Loan, Loans, device_of, whole
from gpupass.lending.preflight import attach_findings
from gpupass.methods import METHODS, lost_by, renew
from gpupass.model.address import Address
from gpupass.model.domain import Domain
from gpupass.model.host import Device, Host
from gpupass.model.slot import Slot
from gpupass.plan import Draft, Finding


def devices(host: Host, slot: Slot) -> tuple[Address, ...]:
    return tuple(member.address for member in host.group_of(device_of(host, slot)))


def loans(host: Host, slot: Slot) -> Loans:
    members = endpoints(host, device_of(host, slot))
    return tuple(Loan(address=one.address, hidden=one.address != slot.device) for one in members)


def ready(host: Host, slot: Slot, missing: Loans, claimed: bool, agreed: tuple[Address, ...] = ()) -> Draft:
    """The group is bound to VFIO; also what no guest has had is reset before its first one."""
    device = device_of(host, slot)
    members = endpoints(host, device)
    draft = bind(host, device, str(device.driver) if device.on_vfio else VFIO, agreed)
    untouched = not claimed and len(missing) == len(members)
    lost = () if draft.refused else tuple(lost_by(host, draft.steps))
    unlent = (finding for method in METHODS for finding in method.lend_findings(host, slot))
    return draft + Draft(
        makes=() if claimed else cleaning(host, _devices(host, missing))[0],
        findings=(
            *lost,
            *(held_findings(members) if untouched else ()),
            *(vfio_findings(host, device) if device.on_vfio else ()),
            *unlent,
        ),
    )


def obstacles(host: Host, slot: Slot, domain: Domain, leaving: Domain | None) -> tuple[Finding, ...]:
    device = device_of(host, slot)
    members = endpoints(host, device)
    theirs = {loan.address for loan in held(domain, loans(host, slot))}
    unresettable = cleaning(host, tuple(one for one in members if one.address not in theirs))[1]
    return (*attach_findings(host, device, members, domain, leaving), *unresettable)


def clean(host: Host, slot: Slot, loans: Loans) -> Draft:
    """No reset under a host driver: after a reboot the host may have the device at work, and clean."""
    members = _devices(host, loans)
    addresses = tuple(member.address for member in members)
    on_vfio = {member.address for member in members if member.on_vfio}
    resets = tuple(reset for reset in cleaning(host, members)[0] if on_vfio.issuperset(reset.addresses))
    closed = until_closed(addresses, device_of(host, slot).group, "the VFIO files are")
    draft = Draft(
        takes=(*closed, *resets),
        findings=tuple(_kept(one) for one in members if one.address not in on_vfio and one.driver),
    )
    for one in members:
        if one.lends_itself:
            draft += renew(host, whole(one))
    return draft


def _kept(member: Device) -> Finding:
    return Finding(
        message=f"{member.address} is with {member.driver} now: nothing is reset under a host's driver",
        remedy="gpupass attach resets it before its next guest",
        fatal=False,
    )


def _devices(host: Host, loans: Loans) -> tuple[Device, ...]:
    return host.devices_at(loan.address for loan in loans)
