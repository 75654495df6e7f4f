"""A running domain as the recipient: libvirt plugs each function and mediated device into it; pure."""

from collections.abc import Iterator

from gpupass.lending.claims import claim
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


def covered(domain: Domain, loans: Loans) -> Loans:
    return tuple(loan for loan, hostdev in _plugged(domain, loans) if hostdev.unassigned)


def give(host: Host, domain: Domain, loans: Loans, connect: str) -> tuple[AttachDevice, ...]:
    """Each is remembered as handed out until it is back and verified clean."""
    return tuple(_attach(host, domain, loan, connect) for loan in loans)


def take(domain: Domain, loans: Loans, connect: str) -> tuple[DetachDevice, ...]:
    return tuple(_detach(domain, loan, hostdev, connect) for loan, hostdev in _plugged(domain, loans))


def keeps(domain: Domain, loans: Loans) -> tuple[Finding, ...]:
    found = _plugged(domain, loans)
    return tuple(finding for _, hostdev in found for finding in unplug_obstacles(hostdev, domain))


def _plugged(domain: Domain, loans: Loans) -> Iterator[tuple[Loan, Hostdev]]:
    return (
        (loan, hostdev) for hostdev in domain.live for loan in loans if hostdev.is_of(loan.address, loan.mdev)
    )


def _attach(host: Host, domain: Domain, loan: Loan, connect: str) -> AttachDevice:
    return AttachDevice(
        address=loan.address,
        mdev=loan.mdev,
        domain=domain.name,
        uuid=domain.uuid,
        alias=alias_of(loan.address, loan.mdev),
        exposed=not loan.hidden,
        connect=connect,
        marks=(claim(host, domain, loan),),
        why="same group, not shown to the guest" if loan.hidden else "asked for",
        options=loan.options.in_xml.said,
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
        managed=hostdev.managed and loan.mdev is None,
        why="same IOMMU group" if loan.hidden else "asked for",
    )
