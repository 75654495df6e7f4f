"""What a function and a mediated device have in common when they change hands; pure."""

from gpupass.lending.hostdev_xml import alias_of
from gpupass.lending.plug import AttachDevice, DetachDevice
from gpupass.model.address import Address
from gpupass.model.domain import Domain, Hostdev
from gpupass.model.host import Host
from gpupass.model.record import Record, RecordKind
from gpupass.plan import Finding
from gpupass.steps.record import WriteRecord


def claim(host: Host, domain: Domain, address: Address, mdev: str | None = None) -> WriteRecord:
    """Before the domain gets it; ended only when it is back and clean."""
    record = Record(
        kind=RecordKind.CLAIM,
        address=address,
        mdev=mdev,
        domain=domain.name,
        uuid=domain.uuid,
        alias=alias_of(address, mdev),
        boot_id=host.boot_id,
    )
    return WriteRecord(
        kind=RecordKind.CLAIM,
        address=address,
        mdev=mdev,
        record=record,
        why="until it is back and verified clean",
    )


def end_of_claim(host: Host, address: Address, mdev: str | None = None) -> tuple[WriteRecord, ...]:
    if host.record(RecordKind.CLAIM, address, mdev) is None:
        return ()
    return (WriteRecord(kind=RecordKind.CLAIM, address=address, mdev=mdev, record=None, why="clean again"),)


def give(
    domain: Domain,
    address: Address,
    connect: str,
    mdev: str | None = None,
    exposed: bool = True,
    why: str = "asked for",
) -> AttachDevice:
    return AttachDevice(
        address=address,
        mdev=mdev,
        domain=domain.name,
        uuid=domain.uuid,
        alias=alias_of(address, mdev),
        exposed=exposed,
        connect=connect,
        why=why,
    )


def take(
    domain: Domain, address: Address, hostdev: Hostdev, connect: str, why: str = "asked for"
) -> DetachDevice:
    """By the alias that whoever attached it gave it."""
    return DetachDevice(
        address=address,
        mdev=hostdev.mdev,
        domain=domain.name,
        uuid=domain.uuid,
        alias=hostdev.alias or alias_of(address, hostdev.mdev),
        exposed=not hostdev.unassigned,
        connect=connect,
        why=why,
    )


def elsewhere(what: str, domain: Domain, owner: Domain) -> Finding:
    """No refusal: what is to be taken from `domain` is not there any more."""
    return Finding(
        message=f"{what} is not with {domain.name}, but with {owner.name}",
        remedy=f"gpupass detach {owner.name} {what}",
        fatal=False,
    )
