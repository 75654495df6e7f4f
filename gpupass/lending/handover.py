"""One trip for every slot: to a domain, from one to another, back, and cleaned between two of them; pure.

What differs from slot to slot its lender says: a new kind of slot or of recipient is one module and one line
in LENDERS.
"""

from collections.abc import Iterator

from gpupass.lending import function, mdev
from gpupass.lending.claims import claim, claimed, end_of_claim
from gpupass.lending.lender import Lender, Loans
from gpupass.methods.passthrough import plan_unbind, quarantine_findings
from gpupass.methods.passthrough import slot as whole
from gpupass.model.domain import Domain
from gpupass.model.host import Device, Host
from gpupass.model.slot import Slot, SlotKind
from gpupass.plan import Finding, Plan, imagine
from gpupass.step import Deed

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


def attach(host: Host, domain: Domain, slot: Slot, connect: str) -> Plan:
    """Make it ready, claim it, hand it over. Empty when the domain has it already."""
    lender = _lender(slot, type(domain))
    if lender is None:
        return _refusal(f"attach {slot.name} to {domain.name}", slot)
    title, devices = f"attach {slot.what} to {domain.name}", lender.devices(host, slot)
    loans = lender.loans(host, slot)
    held = lender.held(domain, loans)
    if any(not loan.hidden for loan in held):
        return Plan(title=title, devices=devices)
    missing = tuple(loan for loan in loans if loan not in held)
    dirty = claimed(host, loans)
    ready = lender.ready(host, slot, missing, dirty)
    clean = _clean(lender, imagine(host, ready.steps), slot, missing) if dirty else ()
    return Plan(
        title=title,
        steps=(*ready.steps, *clean, *_hand_over(lender, host, domain, loans, connect)),
        findings=(*ready.findings, *lender.obstacles(host, slot, domain, None)),
        devices=devices,
    )


def detach(host: Host, domain: Domain, slot: Slot, connect: str) -> Plan:
    """Ask the guest for all of it, see it closed, clean it. Empty when nothing is left to do."""
    lender = _lender(slot, type(domain))
    if lender is None:
        return _refusal(f"detach {slot.name} from {domain.name}", slot)
    title, devices = f"detach {slot.what} from {domain.name}", lender.devices(host, slot)
    loans = lender.loans(host, slot)
    owner = lender.holder(host, loans)
    if owner is not None and owner.uuid != domain.uuid:
        return Plan(title=title, findings=(_elsewhere(slot.what, domain, owner),), devices=devices)
    steps = _take_back(lender, host, domain, slot, connect)
    untouchable = _quarantined(host, loans) if steps and owner is None else ()
    findings = (*lender.keeps(domain, loans), *untouchable)
    return Plan(title=title, steps=steps, findings=findings, devices=devices)


def move(host: Host, target: Domain, slot: Slot, connect: str) -> Plan:
    """From whoever has it: one plan, so that a failure goes back to the first owner."""
    lender = _lender(slot, type(target))
    if lender is None:
        return _refusal(f"move {slot.name} to {target.name}", slot)
    loans = lender.loans(host, slot)
    owner = lender.holder(host, loans)
    if owner is None or owner.uuid == target.uuid:
        return attach(host, target, slot, connect)
    return Plan(
        title=f"move {slot.what} from {owner.name} to {target.name}",
        steps=(
            *_take_back(lender, host, owner, slot, connect),
            *_hand_over(lender, host, target, loans, connect),
        ),
        findings=(*lender.keeps(owner, loans), *lender.obstacles(host, slot, target, owner)),
        devices=lender.devices(host, slot),
    )


def clean(host: Host, slot: Slot) -> Plan:
    """After a guest has gone without us; what is quarantined is not touched until a person says so."""
    lender = next(_lenders(slot), None)
    if lender is None:
        return Plan(title=f"clean {slot.name}")
    loans = lender.loans(host, slot)
    left = claimed(host, loans) and lender.holder(host, loans) is None
    dirty = left and not _quarantined(host, loans)
    return Plan(
        title=f"clean {slot.what}",
        steps=_clean(lender, host, slot, loans) if dirty else (),
        devices=lender.devices(host, slot),
    )


def unbind(host: Host, device: Device) -> Plan:
    """Back to the host's drivers; what a guest has used is reset first."""
    back = plan_unbind(host, device)
    steps = (*clean(host, whole(device)).steps, *back.steps) if back.steps else ()
    return Plan(title=back.title, steps=steps, findings=back.findings, devices=back.devices)


def _lender(slot: Slot, recipient: type[Domain]) -> Lender | None:
    """A vGPU may be a function or a mediated device."""
    return LENDERS[recipient].get(SlotKind.MDEV if slot.mdev is not None else slot.kind)


def _lenders(slot: Slot) -> Iterator[Lender]:
    """To any kind of recipient."""
    found = (_lender(slot, recipient) for recipient in LENDERS)
    return (lender for lender in found if lender is not None)


def _hand_over(lender: Lender, host: Host, domain: Domain, loans: Loans, connect: str) -> tuple[Deed, ...]:
    return (*(claim(host, domain, loan) for loan in loans), *lender.give(domain, loans, connect))


def _take_back(lender: Lender, host: Host, domain: Domain, slot: Slot, connect: str) -> tuple[Deed, ...]:
    loans = lender.loans(host, slot)
    taken = lender.take(domain, loans, connect)
    return (*taken, *_clean(lender, host, slot, loans)) if taken or claimed(host, loans) else ()


def _clean(lender: Lender, host: Host, slot: Slot, loans: Loans) -> tuple[Deed, ...]:
    ends = (end for loan in loans for end in end_of_claim(host, loan))
    return (*lender.clean(host, slot, loans), *ends)


def _quarantined(host: Host, loans: Loans) -> tuple[Finding, ...]:
    return quarantine_findings(host, host.devices_at(loan.address for loan in loans))


def _elsewhere(what: str, domain: Domain, owner: Domain) -> Finding:
    """No refusal: what is to be taken from `domain` is not there any more."""
    return Finding(
        message=f"{what} is not with {domain.name}, but with {owner.name}",
        remedy=f"gpupass detach {owner.name} {what}",
        fatal=False,
    )


def _refusal(title: str, slot: Slot) -> Plan:
    finding = Finding(
        message=f"{slot.name} has no PCI function of its own, so no domain can have it",
        remedy="for domains cut the GPU with use: vgpu and MIG-backed types; containers: gpupass cdi"
        if slot.kind is SlotKind.MIG
        else "for domains use virtual functions; containers: gpupass cdi",
    )
    return Plan(title=title, findings=(finding,), devices=(slot.device,))
