"""A running domain as the recipient: libvirt plugs each function and mediated device into it; pure."""

from collections.abc import Iterator

from gpupass.lending.hostdev_xml import alias_of
from gpupass.lending.lender import Loan, Loans
from gpupass.lending.plug import AttachDevice, DetachDevice
from gpupass.lending.preflight import unplug_obstacles
from gpupass.model.domain import Domain, Hostdev
from gpupass.model.host import Host
from gpupass.plan import Finding


def holder(host: Host, loans: Loans) -> Domain | None:
    return next((domain for domain in host.domains if held(domain, loans)), None)


def held(domain: Domain, loans: Loans) -> Loans:
    return tuple(dict.fromkeys(loan for loan, _ in _plugged(domain, loans)))


def give(domain: Domain, loans: Loans, connect: str) -> tuple[AttachDevice, ...]:
    """What the guest sees comes last, when libvirt owns all of its group."""
    return tuple(_attach(domain, loan, connect) for loan in sorted(loans, key=lambda loan: not loan.hidden))


def take(domain: Domain, loans: Loans, connect: str) -> tuple[DetachDevice, ...]:
    """What the guest sees goes first."""
    in_order = sorted(_plugged(domain, loans), key=lambda pair: (pair[1].unassigned, pair[0].address))
    return tuple(_detach(domain, loan, hostdev, connect) for loan, hostdev in in_order)


def keeps(domain: Domain, loans: Loans) -> tuple[Finding, ...]:
    found = _plugged(domain, loans)
    return tuple(finding for _, hostdev in found for finding in unplug_obstacles(hostdev, domain))


def _plugged(domain: Domain, loans: Loans) -> Iterator[tuple[Loan, Hostdev]]:
    return (
        (loan, hostdev) for hostdev in domain.live for loan in loans if hostdev.is_of(loan.address, loan.mdev)
    )


def _attach(domain: Domain, loan: Loan, connect: str) -> AttachDevice:
    return AttachDevice(
        address=loan.address,
        mdev=loan.mdev,
        domain=domain.name,
        uuid=domain.uuid,
        alias=alias_of(loan.address, loan.mdev),
        exposed=not loan.hidden,
        connect=connect,
        why="same group, not shown to the guest" if loan.hidden else "asked for",
    )


def _detach(domain: Domain, loan: Loan, hostdev: Hostdev, connect: str) -> DetachDevice:
    """By the alias that whoever attached it gave it."""
    return DetachDevice(
        address=loan.address,
        mdev=loan.mdev,
        domain=domain.name,
        uuid=domain.uuid,
        alias=hostdev.alias or alias_of(loan.address, loan.mdev),
        exposed=not hostdev.unassigned,
        connect=connect,
        why="same IOMMU group" if loan.hidden else "asked for",
    )
