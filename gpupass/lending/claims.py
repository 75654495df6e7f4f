"""What is remembered of a loan, from before it is handed over until it is back and clean; pure."""

from msgspec.structs import replace

from gpupass.lending.hostdev_xml import alias_of
from gpupass.lending.lender import Loan, Loans
from gpupass.model.domain import Domain
from gpupass.model.host import Host
from gpupass.model.record import Record, RecordKind
from gpupass.plan import Plan
from gpupass.step import Deed
from gpupass.steps.record import WriteRecord


def claimed(host: Host, loans: Loans) -> bool:
    """Any of them."""
    return any(_claim(host, loan) is not None for loan in loans)


def claim(host: Host, domain: Domain, loan: Loan) -> WriteRecord:
    alias = alias_of(loan.address, loan.mdev)
    return _remember(host, domain, loan, alias, "until it is back and verified clean")


def end_of_claim(host: Host, loan: Loan) -> tuple[WriteRecord, ...]:
    if _claim(host, loan) is None:
        return ()
    return (_write(loan, None, "clean again"),)


def adopted(host: Host, domain: Domain, loan: Loan) -> tuple[WriteRecord, ...]:
    """What somebody else has attached; under the alias that it has."""
    if _claim(host, loan) is not None:
        return ()
    alias = next((hostdev.alias for hostdev in domain.live if hostdev.is_of(loan.address, loan.mdev)), None)
    return (_remember(host, domain, loan, alias, "adopted"),)


def declared(plan: Plan) -> Plan:
    """Its claims may be ended by the profile again once that no longer says so."""

    def mark(step: Deed) -> Deed:
        if isinstance(step, WriteRecord) and step.record is not None and step.kind is RecordKind.CLAIM:
            return replace(step, record=replace(step.record, declared=True))
        return step

    return replace(plan, steps=tuple(mark(step) for step in plan.steps))


def _claim(host: Host, loan: Loan) -> Record | None:
    return host.record(RecordKind.CLAIM, loan.address, loan.mdev)


def _remember(host: Host, domain: Domain, loan: Loan, alias: str | None, why: str) -> WriteRecord:
    record = Record(
        kind=RecordKind.CLAIM,
        address=loan.address,
        mdev=loan.mdev,
        domain=domain.name,
        uuid=domain.uuid,
        alias=alias,
        boot_id=host.boot_id,
    )
    return _write(loan, record, why)


def _write(loan: Loan, record: Record | None, why: str) -> WriteRecord:
    return WriteRecord(kind=RecordKind.CLAIM, address=loan.address, mdev=loan.mdev, record=record, why=why)
