"""What a way to share a GPU says: a folder in methods/ whose package has all this, an entry in METHODS."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from gpupass.model.address import Address
from gpupass.model.carrier import Carrier, CarrierKind
from gpupass.model.host import Device, Host
from gpupass.model.mark import Mark
from gpupass.model.profile import Rule
from gpupass.model.seen import Seen
from gpupass.model.slot import Slot
from gpupass.model.user import User
from gpupass.plan import NOTHING, Draft, Finding
from gpupass.step import Deed

if TYPE_CHECKING:
    from gpupass.system import Reader

# Of everything that changes together: the rules that speak of a device, its own and those that others of its
# ways stand on; () where none does, and what gpupass has made of it goes.
Rules = Mapping[Address, tuple[Rule, ...]]


C = TypeVar("C", bound=Carrier, contravariant=True)  # functions, and all that it TAKES


class Method(Protocol[C]):
    """Satisfied by a package of methods/."""

    TAG: str  # `use:` in a profile, the tag of its slots
    RULE: type[Rule]
    TAKES: frozenset[CarrierKind]  # what a rule of its can be about
    STEPS: tuple[type[Deed], ...]
    MARKS: tuple[type[Mark], ...]

    def read(self, system: "Reader", carrier: C) -> Seen | None:
        """What the model has no place for; None: there is nothing of it."""
        ...

    def alike(self, host: Host, carrier: C) -> tuple[Device, ...]:
        """What a bare look must look at closer, because it may be one thing with the device."""
        ...

    def company(self, host: Host, carrier: C, rules: tuple[Rule, ...]) -> tuple[Device, ...]:
        """Others that change with it under these rules."""
        ...

    def asks(self, host: Host, carrier: C, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        """Rules of other ways that its own among these rules stands on."""
        ...

    def slots(self, host: Host, carrier: C) -> Iterator[Slot]:
        """What can be given away of it now."""
        ...

    def cut(self, host: Host, rules: Rules) -> Draft:
        """What makes the slots that the rules ask for, and ends what gpupass made where none of its does."""
        ...

    def clear(self, host: Host, carrier: C, rules: tuple[Rule, ...], step: Deed) -> Draft:
        """What ends what the step must be without, or what stands on what it ends."""
        ...

    def seen_after(self, device: Device, step: Deed) -> Device:
        """What a step of another way leaves of what it sees of the device."""
        ...

    def renew(self, host: Host, slot: Slot) -> Draft:
        """What makes a slot anew between two users, where gpupass made it."""
        ...

    def lend_findings(self, host: Host, slot: Slot) -> Iterator[Finding]:
        """What keeps a slot of its from being lent."""
        ...

    def export(self, host: Host, carrier: C, as_rule: Rule, others: tuple[Rule, ...]) -> Rule | None:
        """The rule that asks for what is; None: nothing of it is on the device.

        `others` are those of the methods before it, which it may stand on: the last one asks for all.
        """
        ...

    def unseen(self, host: Host, carrier: C) -> bool:
        """It has parts, or may have some, that nobody tells of."""
        ...

    def adopt(self, host: Host, carrier: C) -> Iterator[Mark]:
        """What makes what others made gpupass's own."""
        ...

    def foreign(self, host: Host, carrier: C) -> Iterator[str]:
        """What others made, for people."""
        ...

    def owner(self, host: Host, slot: Slot) -> str:
        """Who made it: gpupass, mdevctl, "" for anybody else."""
        ...

    def users(self, host: Host, slot: Slot) -> tuple[User, ...]: ...
    def carries(self, host: Host, carrier: C, slot: Slot) -> bool:
        """Is a slot of its on this slot of another way?"""
        ...


class Nothing:
    """What a way that has nothing to say of something says."""

    STEPS: tuple[type[Deed], ...] = ()
    MARKS: tuple[type[Mark], ...] = ()

    @staticmethod
    def read(system: "Reader", carrier: Carrier) -> Seen | None:
        return None

    @staticmethod
    def alike(host: Host, carrier: Carrier) -> tuple[Device, ...]:
        return ()

    @staticmethod
    def company(host: Host, carrier: Carrier, rules: tuple[Rule, ...]) -> tuple[Device, ...]:
        return ()

    @staticmethod
    def asks(host: Host, carrier: Carrier, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return ()

    @staticmethod
    def slots(host: Host, carrier: Carrier) -> Iterator[Slot]:
        return iter(())

    @staticmethod
    def clear(host: Host, carrier: Carrier, rules: tuple[Rule, ...], step: Deed) -> Draft:
        return NOTHING

    @staticmethod
    def seen_after(device: Device, step: Deed) -> Device:
        return device

    @staticmethod
    def renew(host: Host, slot: Slot) -> Draft:
        return NOTHING

    @staticmethod
    def lend_findings(host: Host, slot: Slot) -> Iterator[Finding]:
        return iter(())

    @staticmethod
    def unseen(host: Host, carrier: Carrier) -> bool:
        return False

    @staticmethod
    def adopt(host: Host, carrier: Carrier) -> Iterator[Mark]:
        return iter(())

    @staticmethod
    def foreign(host: Host, carrier: Carrier) -> Iterator[str]:
        return iter(())

    @staticmethod
    def owner(host: Host, slot: Slot) -> str:
        return ""

    @staticmethod
    def users(host: Host, slot: Slot) -> tuple[User, ...]:
        return ()

    @staticmethod
    def carries(host: Host, carrier: Carrier, slot: Slot) -> bool:
        return False
