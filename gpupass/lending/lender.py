"""What differs between kinds of slots on their way to a domain and back; handover.py asks for it; pure."""

from typing import Protocol

from msgspec import Struct

from gpupass.model.address import Address
from gpupass.model.domain import Domain
from gpupass.model.host import Device, Host
from gpupass.model.mdev import Mdev
from gpupass.model.options import UNSAID, Options
from gpupass.model.slot import Slot, SlotKind
from gpupass.plan import Draft, Finding
from gpupass.step import Deed


class Loan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is claimed and handed over: a function, or that mediated device (UUID) of it."""

    address: Address
    mdev: str | None = None
    hidden: bool = False  # its IOMMU group takes it along, and the guest does not see it
    options: Options = UNSAID


Loans = tuple[Loan, ...]


class Lender(Protocol):
    """How one kind of slot gets to one kind of recipient; a module satisfies it."""

    def devices(self, host: Host, slot: Slot) -> tuple[Address, ...]:
        """What must keep still meanwhile."""
        ...

    def loans(self, host: Host, slot: Slot) -> Loans:
        """Everything that changes hands with the slot; all of it but the slot itself is hidden."""
        ...

    def ready(self, host: Host, slot: Slot, missing: Loans, claimed: bool) -> Draft:
        """What must be so before anybody is handed `missing`; a claimed one is cleaned after it."""
        ...

    def obstacles(
        self, host: Host, slot: Slot, domain: Domain, leaving: Domain | None
    ) -> tuple[Finding, ...]:
        """What speaks against handing it over; `leaving` is who has it until then."""
        ...

    def clean(self, host: Host, slot: Slot, loans: Loans) -> Draft:
        """See them closed by whom they were with, and leave nothing of that one in them."""
        ...

    def holder(self, host: Host, loans: Loans) -> Domain | None:
        """Who has any of them."""
        ...

    def held(self, domain: Domain, loans: Loans) -> Loans: ...
    def covered(self, domain: Domain, loans: Loans) -> Loans:
        """Those that the domain holds, and its guest does not see."""
        ...

    def give(self, host: Host, domain: Domain, loans: Loans, connect: str) -> tuple[Deed, ...]: ...
    def take(self, domain: Domain, loans: Loans, connect: str) -> tuple[Deed, ...]: ...
    def keeps(self, domain: Domain, loans: Loans) -> tuple[Finding, ...]:
        """What speaks against taking them from it."""
        ...


def device_of(host: Host, slot: Slot) -> Device:
    """LookupError when it is gone: the caller has looked at another host."""
    found = host.device(slot.device)
    if found is None:
        raise LookupError(f"{slot.device} is not on this host")
    return found


def whole(device: Device) -> Slot:
    """The function itself."""
    return Slot(kind=SlotKind.FUNCTION, device=device.address, of=device.address)


def mdev_of(host: Host, slot: Slot) -> Mdev:
    """LookupError as for `device_of`."""
    parent = host.carrier(slot.device)
    mdevs = parent.facts.mdevs if parent is not None else ()
    found = next((mdev for mdev in mdevs if mdev.uuid == slot.mdev), None)
    if found is None:
        raise LookupError(f"{slot.device} has no mediated device {slot.mdev}")
    return found
