"""A mediated device to a domain and back; pure.

What one guest left in it must not reach the next, and nothing but its end is sure to clear it: between two
guests a mediated device is removed and made anew under the same UUID, where gpupass made it.
"""

from gpupass.devices.binding import quarantine_findings
from gpupass.lending.cleaning import until_closed
from gpupass.lending.domain import covered as covered
from gpupass.lending.domain import give as give
from gpupass.lending.domain import held as held
from gpupass.lending.domain import holder as holder
from gpupass.lending.domain import keeps as keeps
from gpupass.lending.domain import take as take
from gpupass.lending.lender import Loan, Loans, mdev_of
from gpupass.lending.preflight import mdev_attach_findings
from gpupass.methods import renew
from gpupass.model.address import Address
from gpupass.model.domain import Domain
from gpupass.model.host import Host
from gpupass.model.mdev import Mdev
from gpupass.model.slot import Slot
from gpupass.model.user import UserKind
from gpupass.plan import Draft, Finding, in_use_by_processes


def devices(host: Host, slot: Slot) -> tuple[Address, ...]:
    return (slot.device,)


def loans(host: Host, slot: Slot) -> Loans:
    return (Loan(address=slot.device, mdev=slot.mdev),)


def ready(host: Host, slot: Slot, missing: Loans, claimed: bool) -> Draft:
    return Draft(findings=_in_use(mdev_of(host, slot)))


def obstacles(host: Host, slot: Slot, domain: Domain, leaving: Domain | None) -> tuple[Finding, ...]:
    return (
        *mdev_attach_findings(host, mdev_of(host, slot), domain, leaving),
        *quarantine_findings(host, (slot.device,)),
    )


def clean(host: Host, slot: Slot, loans: Loans) -> Draft:
    closed = until_closed((slot.device,), mdev_of(host, slot).group, f"{slot.mdev}'s VFIO file is")
    return Draft(takes=closed) + renew(host, slot)


def _in_use(mdev: Mdev) -> tuple[Finding, ...]:
    """By a process without libvirt."""
    if any(user.kind is UserKind.DOMAIN for user in mdev.users):
        return ()
    return tuple(in_use_by_processes(mdev.uuid, mdev.users))
