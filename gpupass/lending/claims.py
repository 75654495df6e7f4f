"""What is remembered of a loan, from before it is handed over until it is back and clean; pure."""

from msgspec.structs import replace

from gpupass.lending.hostdev_xml import alias_of
from gpupass.lending.lender import Loan, Loans
from gpupass.methods import atoms_of, slots_of
from gpupass.model.atom import Atoms, groups
from gpupass.model.domain import Domain
from gpupass.model.host import Host
from gpupass.model.mark import Claim, MarkKey, tag_of
from gpupass.plan import Draft
from gpupass.step import Deed, Facts, Kind, facts, remarked
from gpupass.steps.remember import Remember


class EndClaim(Remember, frozen=True, kw_only=True):
    """It is back and clean: nobody's any more."""

    mdev: str | None = None
    groups: tuple[str, ...] = ()  # atoms that its owner may hold for others, too

    @property
    def needs(self) -> Facts:
        clean = facts((Kind.CLEAN, self.address)) if self.mdev is None else facts((Kind.PART, self.mdev))
        return clean | facts((Kind.CLOSED, self.address))

    @property
    def gives(self) -> Facts:
        return facts((Kind.FREE, self.mdev or self.address), *((Kind.FREE, group) for group in self.groups))


def key_of(loan: Loan) -> MarkKey:
    return tag_of(Claim), loan.address, loan.mdev or ""


def claimed(host: Host, loans: Loans) -> bool:
    """Any of them."""
    return any(_claim(host, loan) is not None for loan in loans)


def claim(host: Host, domain: Domain, loan: Loan) -> Claim:
    return _of(host, domain, loan, alias_of(loan.address, loan.mdev))


def end_of_claim(host: Host, loan: Loan) -> tuple[EndClaim, ...]:
    known = _claim(host, loan)
    if known is None:
        return ()
    forgets, shared = (key_of(loan),), groups(known.atoms)
    end = EndClaim(address=loan.address, mdev=loan.mdev, groups=shared, forgets=forgets, why="clean again")
    return (end,)


def adopted(host: Host, domain: Domain, loan: Loan) -> tuple[Claim, ...]:
    """What somebody else has attached; under the alias that it has."""
    if _claim(host, loan) is not None:
        return ()
    alias = next((hostdev.alias for hostdev in domain.live if hostdev.is_of(loan.address, loan.mdev)), None)
    return (_of(host, domain, loan, alias),)


def declared(draft: Draft) -> Draft:
    """Its claims may be ended by the profile again once that no longer says so."""

    def with_it(step: Deed) -> Deed:
        marks = tuple(
            replace(mark, declared=True) if isinstance(mark, Claim) else mark for mark in step.marks
        )
        return step if marks == step.marks else remarked(step, marks)

    return replace(draft, makes=tuple(map(with_it, draft.makes)))


def _claim(host: Host, loan: Loan) -> Claim | None:
    return host.mark(Claim, loan.address, loan.mdev or "")


def _of(host: Host, domain: Domain, loan: Loan, alias: str | None) -> Claim:
    return Claim(
        carrier=loan.address,
        part=loan.mdev or "",
        domain=domain.name,
        uuid=domain.uuid,
        alias=alias,
        boot_id=host.boot_id,
        atoms=tuple(sorted(_atoms(host, loan))),
    )


def _atoms(host: Host, loan: Loan) -> Atoms:
    carrier = host.carrier(loan.address)
    if carrier is None or carrier.detail is None:
        return frozenset()
    slots = (
        slot for slot in slots_of(host, carrier) if slot.mdev == loan.mdev and (loan.mdev or not slot.part)
    )
    return next((atoms_of(host, slot) for slot in slots), frozenset())
