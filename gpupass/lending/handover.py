"""One trip for every slot: to a domain, from one to another, back, and cleaned between two of them; pure.

What differs from slot to slot its lender says: a new kind of slot or of recipient is one module and one line
in LENDERS.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from gpupass.devices.binding import give_back, quarantine_findings
from gpupass.lending import function, mdev
from gpupass.lending.claims import adopted, claimed, end_of_claim
from gpupass.lending.domain import keeps, take
from gpupass.lending.force import by_force
from gpupass.lending.lender import Lender, Loan, Loans, whole
from gpupass.lending.options import lacking, option_findings, options_of, with_its_port, with_options
from gpupass.lending.tuning import in_its_guest, tuning, untuned
from gpupass.methods import carrier_of, cut_again
from gpupass.model.address import Address, Name
from gpupass.model.carrier import CarrierKind, kind_of
from gpupass.model.domain import Domain
from gpupass.model.host import Base, Device, Host
from gpupass.model.mark import Claim, Quarantine
from gpupass.model.options import UNSAID, Options
from gpupass.model.slot import Slot, SlotKind
from gpupass.plan import NOTHING, Disruption, Draft, Finding
from gpupass.step import Deed, known_as, remarked
from gpupass.steps.remember import Remember

LENDERS: dict[type[Domain], dict[SlotKind, Lender]] = {
    Domain: {
        SlotKind.FUNCTION: function,
        SlotKind.VF: function,
        SlotKind.VGPU: function,
        SlotKind.MDEV: mdev,
    },
}


def holder(host: Host, slot: Slot) -> Domain | None:
    """The running domain that has any of it."""
    owners = (lender.holder(host, lender.loans(host, slot)) for lender in _lenders(slot))
    return next((owner for owner in owners if owner is not None), None)


def seen_by(host: Host, slot: Slot) -> Domain | None:
    """The running domain whose guest sees it: not one that holds it for another's sake."""
    owner = holder(host, slot)
    lender = _lender(slot, type(owner)) if owner is not None else None
    if owner is None or lender is None:
        return None
    own = tuple(loan for loan in lender.held(owner, lender.loans(host, slot)) if not loan.hidden)
    return owner if own and not lender.covered(owner, own) else None


def attach(
    host: Host,
    domain: Domain,
    slot: Slot,
    connect: str,
    shown: tuple[Address, ...] = (),
    options: Options = UNSAID,
) -> Draft:
    """Make it ready, claim it, hand it over. Empty when the domain has it already, as the options say.

    `shown` are others of what changes hands with it that the guest is to see, too.
    """
    lender = _lender(slot, type(domain))
    if lender is None:
        return _refusal(slot)
    here = Draft(devices=lender.devices(host, slot))
    loans = with_options(tuple(_seen(loan, shown) for loan in lender.loans(host, slot)), options)
    held = lender.held(domain, loans)
    visible = tuple(loan for loan in held if not loan.hidden)
    lost = Draft(findings=tuple(_lost(host, domain, held)))
    tuned = _tuned(host, loans)
    if visible and (lacking(domain, visible) or not in_its_guest(tuned.makes)):
        return here + _anew(lender, host, domain, slot, loans, connect) + tuned + lost
    if visible:
        return here + tuned + _uncovered(lender, host, domain, slot, visible, connect) + lost
    if not held:
        tuned = _made_clean(_untuned(host, loans)) + tuned
    host = host.after(tuned.makes)
    missing = tuple(loan for loan in loans if loan not in held)
    dirty = claimed(host, loans)
    ready = lender.ready(host, slot, missing, dirty)
    clean = _made_clean(_clean(lender, host.after(ready.steps), slot, missing)) if dirty else NOTHING
    given = Draft(
        makes=lender.give(host, domain, loans, connect),
        findings=(*_divided(host, slot), *_obstacles(lender, host, domain, slot, loans, connect)),
    )
    return here + tuned + ready + clean + given


def _tuned(host: Host, loans: Loans) -> Draft:
    return sum((tuning(host, loan) for loan in loans if loan.options.set_it), NOTHING)


def _untuned(host: Host, loans: Loans) -> Draft:
    """What was set for the last attachment, and is not for this one."""
    found = (untuned(host, loan.address, loan.options) for loan in loans if loan.mdev is None)
    return sum(found, NOTHING)


def _seen(loan: Loan, shown: tuple[Address, ...]) -> Loan:
    return replace(loan, hidden=loan.hidden and loan.address not in shown)


def _uncovered(lender: Lender, host: Host, domain: Domain, slot: Slot, loans: Loans, connect: str) -> Draft:
    """What the domain only holds for its IOMMU group is given to the guest itself."""
    covered = lender.covered(domain, loans)
    if not covered:
        return NOTHING
    return Draft(
        takes=lender.take(domain, covered, connect),
        makes=lender.give(host, domain, covered, connect),
        findings=tuple(_obstacles(lender, host, domain, slot, covered, connect)),
    )


def _anew(lender: Lender, host: Host, domain: Domain, slot: Slot, loans: Loans, connect: str) -> Draft:
    """Its guest lets go of it and gets it otherwise, with all that it sees of it now."""
    covered = lender.covered(domain, loans)
    seen = tuple(loan.address for loan in lender.held(domain, loans) if loan not in covered)
    back = _take_back(lender, host, domain, slot, connect, force=False)
    again = tuple(_seen(loan, seen) for loan in loans)
    open_end = any(step.leaves_open for step in back.takes)
    loss = Disruption(victim=f"domain {domain.name}", loses=f"{slot.what}, which comes back")
    without = host.after(back.takes)
    return back + Draft(
        makes=() if open_end else lender.give(host, domain, again, connect),
        findings=(
            *_keeps(lender, domain, loans, force=False),
            *_obstacles(lender, without, domain, slot, again, connect),
        ),
        losses=(loss,),
    )


def _obstacles(
    lender: Lender, host: Host, domain: Domain, slot: Slot, loans: Loans, connect: str
) -> Iterator[Finding]:
    """Each that the guest sees takes a port from those after it."""
    for loan in loans:
        if not loan.hidden:
            now = host.domain(domain.uuid) or domain
            yield from _against(lender, host, replace(slot, device=loan.address), loan, now, None)
            host = host.after(lender.give(host, now, (loan,), connect))


def _against(
    lender: Lender, host: Host, slot: Slot, loan: Loan, domain: Domain, leaving: Domain | None
) -> Iterator[Finding]:
    unfit = tuple(option_findings(host, loan, domain))
    yield from unfit
    fits = not any(finding.fatal for finding in unfit)
    yield from lender.obstacles(host, slot, with_its_port(domain, loan.options) if fits else domain, leaving)


def detach(host: Host, domain: Domain, slot: Slot, connect: str, force: bool = False) -> Draft:
    """Ask the guest for all of it, see it closed, clean it. Empty when nothing is left to do.

    `force`: a guest that does not let go in time is destroyed.
    """
    lender = _lender(slot, type(domain))
    if lender is None:
        return _refusal(slot)
    here = Draft(devices=lender.devices(host, slot))
    loans = lender.loans(host, slot)
    owner = lender.holder(host, loans)
    if owner is not None and owner.uuid != domain.uuid:
        return here + Draft(findings=(_elsewhere(slot.what, domain, owner),))
    back = _take_back(lender, host, domain, slot, connect, force)
    untouchable = _quarantined(host, loans) if back.steps and owner is None else ()
    if back.steps and not any(step.leaves_open for step in back.takes):
        back += _untuned(host, loans)
    along = _along(lender, domain, slot, loans)
    return here + back + Draft(findings=(*_keeps(lender, domain, loans, force), *untouchable, *along))


def move(
    host: Host, target: Domain, slot: Slot, connect: str, force: bool = False, options: Options = UNSAID
) -> Draft:
    """From whoever has it: one change, so that a failure goes back to the first owner, if he still runs.

    Options of its attachment that are not said otherwise go along.
    """
    lender = _lender(slot, type(target))
    if lender is None:
        return _refusal(slot)
    loans = lender.loans(host, slot)
    owner = lender.holder(host, loans)
    if owner is None or owner.uuid == target.uuid:
        return attach(host, target, slot, connect, options=options)
    loans = with_options(loans, options.over(options_of(owner, slot)))
    back = _take_back(lender, host, owner, slot, connect, force) + _tuned(host, loans)
    open_end = any(step.leaves_open for step in back.takes)
    return (
        Draft(devices=lender.devices(host, slot))
        + back
        + Draft(
            makes=() if open_end else lender.give(host, target, loans, connect),
            findings=(
                *_lost(host, owner, lender.held(owner, loans)),
                *_keeps(lender, owner, loans, force),
                *(
                    finding
                    for loan in loans
                    if not loan.hidden
                    for finding in _against(lender, host, slot, loan, target, owner)
                ),
                *_along(lender, owner, slot, loans),
            ),
        )
    )


def clean(host: Host, slot: Slot) -> Draft:
    """After a guest has gone without us; what is quarantined is not touched until a person says so."""
    lender = next(_lenders(slot), None)
    if lender is None:
        return NOTHING
    loans = lender.loans(host, slot)
    left = claimed(host, loans) and lender.holder(host, loans) is None
    dirty = left and not _quarantined(host, loans)
    here = Draft(devices=lender.devices(host, slot))
    return here + (_clean(lender, host, slot, loans) + _untuned(host, loans) if dirty else NOTHING)


def forget(host: Host, domain: Domain | None, loan: Loan, connect: str) -> Draft:
    """What has left the host is taken out of the domain, which may still have it; nothing can be cleaned."""
    about = (mark for mark in host.marks if (mark.carrier, mark.part) == (loan.address, loan.mdev or ""))
    keys = tuple(mark.key for mark in about if not isinstance(mark, Quarantine))
    taken = take(domain, (loan,), connect) if domain is not None else ()
    if domain is None or not taken:
        return Draft(takes=(Remember(address=loan.address, forgets=keys),) if keys else ())
    takes = tuple(known_as(step, step.of, keys) for step in taken)
    return Draft(takes=takes, findings=keeps(domain, (loan,)))


def unbind(host: Host, device: Base) -> Draft:
    """Back to the host's drivers; what a guest has used is reset first."""
    back = give_back(host, device)
    if back.steps:
        back += sum((untuned(host, member.address) for member in host.group_of(device)), NOTHING)
    return (clean(host, whole(device)) if isinstance(device, Device) and back.steps else NOTHING) + back


def unlent(slot: Slot) -> tuple[Finding, ...]:
    """Why no domain can ever have it."""
    return () if _lender(slot, Domain) is not None else _refusal(slot).findings


def _lender(slot: Slot, recipient: type[Domain]) -> Lender | None:
    """A vGPU may be a function or a mediated device."""
    return LENDERS[recipient].get(SlotKind.MDEV if slot.mdev is not None else slot.kind)


def _lenders(slot: Slot) -> Iterator[Lender]:
    """To any kind of recipient."""
    found = (_lender(slot, recipient) for recipient in LENDERS)
    return (lender for lender in found if lender is not None)


def _take_back(lender: Lender, host: Host, domain: Domain, slot: Slot, connect: str, force: bool) -> Draft:
    loans = lender.loans(host, slot)
    taken = lender.take(domain, loans, connect)
    if not taken and not claimed(host, loans):
        return NOTHING
    ended = by_force(domain, loans, connect, taken) if force and taken else Draft(takes=taken)
    if any(step.leaves_open for step in taken):
        found = tuple(_by_libvirt(step, domain) for step in taken if step.leaves_open)
        return replace(ended, takes=_remembered(host, domain, loans, ended.takes)) + Draft(findings=found)
    return ended + _clean(lender, host, slot, loans)


def _keeps(lender: Lender, domain: Domain, loans: Loans, force: bool) -> Iterator[Finding]:
    """What keeps a guest from letting go does not keep it from being destroyed."""
    return (replace(finding, fatal=not force) for finding in lender.keeps(domain, loans))


def _lost(host: Host, domain: Domain, held: Loans) -> Iterator[Finding]:
    """Its XML has what has left VFIO, or the host and come back: a VF made anew, a card plugged again."""
    for loan in held:
        device = host.device(loan.address)
        if device is not None and loan.mdev is None and not device.on_vfio:
            now = device.driver or "no driver"
            yield Finding(
                message=f"{domain.name} has lost {loan.address}, which is with {now} now",
                remedy=f"gpupass detach {domain.name} {loan.address}",
            )


def _along(lender: Lender, domain: Domain, slot: Slot, loans: Loans) -> Iterator[Finding]:
    """Others of the group that its guest sees: nobody has named them."""
    for loan in lender.held(domain, loans):
        other = loan.mdev is None and loan.address != slot.device
        if other and loan not in lender.covered(domain, loans):
            yield Finding(
                message=f"{domain.name} loses {loan.address}, too: it is in the same IOMMU group",
                remedy=f"gpupass attach {domain.name} {loan.address} gives it back",
                fatal=False,
            )


def _remembered(host: Host, domain: Domain, loans: Loans, taken: tuple[Deed, ...]) -> tuple[Deed, ...]:
    """Whatever becomes of them, they are not clean until a fresh look has seen to it."""
    known: dict[Name, tuple[Claim, ...]] = {loan.address: adopted(host, domain, loan) for loan in loans}
    return tuple(remarked(step, known[step.carriers[0]]) if step.leaves_open else step for step in taken)


def _by_libvirt(step: Deed, domain: Domain) -> Finding:
    what = ", ".join(step.leaves_open)
    return Finding(
        message=f"{domain.name} has {what} with managed='yes': libvirt itself gives it back to the host",
        remedy="managed='no' in its <hostdev>, for gpupass to clean it before anybody else has it",
        fatal=False,
    )


def _clean(lender: Lender, host: Host, slot: Slot, loans: Loans) -> Draft:
    """What is handed on is not forgotten before: its next claim takes the place of the last one."""
    draft = lender.clean(host, slot, loans)
    ends = tuple(end for loan in loans for end in end_of_claim(host, loan))
    return draft + (Draft(makes=ends) if draft.makes else Draft(takes=ends))


def _made_clean(draft: Draft) -> Draft:
    """Before its first guest, not after its last one: under the driver that it is to have."""
    return replace(draft, takes=(), makes=draft.steps)


def _quarantined(host: Host, loans: Loans) -> tuple[Finding, ...]:
    return quarantine_findings(host, (loan.address for loan in loans))


def _divided(host: Host, slot: Slot) -> Iterator[Finding]:
    """A part that is cut again: others may have its parts. Of a whole function its driver tells that."""
    carrier = carrier_of(host, slot)
    if carrier is None or kind_of(carrier) is CarrierKind.FUNCTION:
        return
    parts = ", ".join(part.part for part in cut_again(host, carrier))
    if parts:
        yield Finding(
            message=f"{slot.name} is cut into {parts}, and so it is not lent",
            remedy="take the rule that cuts it out of the profile: gpupass apply",
        )


def _elsewhere(what: str, domain: Domain, owner: Domain) -> Finding:
    """No refusal: what is to be taken from `domain` is not there any more."""
    return Finding(
        message=f"{what} is not with {domain.name}, but with {owner.name}",
        remedy=f"gpupass detach {owner.name} {what}",
        fatal=False,
    )


def _refusal(slot: Slot) -> Draft:
    finding = Finding(
        message=f"{slot.name} has no PCI function of its own, so no domain can have it",
        remedy="for domains cut the GPU with use: vgpu and MIG-backed types; containers: gpupass cdi"
        if slot.kind is SlotKind.MIG
        else "for domains use virtual functions; containers: gpupass cdi",
    )
    return Draft(findings=(finding,), devices=(slot.device,))
