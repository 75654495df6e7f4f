"""What a way to share a GPU says: a folder in methods/ whose package has all this, an entry in METHODS."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from gpupass.model.address import Address
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


class Method(Protocol):
    """Satisfied by a package of methods/."""

    TAG: str  # `use:` in a profile, the tag of its slots
    RULE: type[Rule]
    STEPS: tuple[type[Deed], ...]
    MARKS: tuple[type[Mark], ...]

    def read(self, system: "Reader", device: Device) -> Seen | None:
        """What the model has no place for; None: there is nothing of it."""
        ...

    def alike(self, host: Host, device: Device) -> tuple[Device, ...]:
        """What a bare look must look at closer, because it may be one thing with the device."""
        ...

    def company(self, host: Host, device: Device, rules: tuple[Rule, ...]) -> tuple[Device, ...]:
        """Others that change with it under these rules."""
        ...

    def asks(self, host: Host, device: Device, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        """Rules of other ways that its own among these rules stands on."""
        ...

    def slots(self, host: Host, device: Device) -> Iterator[Slot]:
        """What can be given away of it now."""
        ...

    def cut(self, host: Host, rules: Rules) -> Draft:
        """What makes the slots that the rules ask for, and ends what gpupass made where none of its does."""
        ...

    def clear(self, host: Host, device: Device, rules: tuple[Rule, ...], step: Deed) -> Draft:
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

    def export(self, host: Host, device: Device, as_rule: Rule, others: tuple[Rule, ...]) -> Rule | None:
        """The rule that asks for what is; None: nothing of it is on the device.

        `others` are those of the methods before it, which it may stand on: the last one asks for all.
        """
        ...

    def unseen(self, host: Host, device: Device) -> bool:
        """It has parts, or may have some, that nobody tells of."""
        ...

    def adopt(self, host: Host, device: Device) -> Iterator[Mark]:
        """What makes what others made gpupass's own."""
        ...

    def foreign(self, host: Host, device: Device) -> Iterator[str]:
        """What others made, for people."""
        ...

    def owner(self, host: Host, slot: Slot) -> str:
        """Who made it: gpupass, mdevctl, "" for anybody else."""
        ...

    def users(self, host: Host, slot: Slot) -> tuple[User, ...]: ...
    def carries(self, host: Host, device: Device, slot: Slot) -> bool:
        """Is a slot of its on this slot of another way?"""
        ...


class Nothing:
    """What a way that has nothing to say of something says."""

    STEPS: tuple[type[Deed], ...] = ()
    MARKS: tuple[type[Mark], ...] = ()

    @staticmethod
    def read(system: "Reader", device: Device) -> Seen | None:
        return None

    @staticmethod
    def alike(host: Host, device: Device) -> tuple[Device, ...]:
        return ()

    @staticmethod
    def company(host: Host, device: Device, rules: tuple[Rule, ...]) -> tuple[Device, ...]:
        return ()

    @staticmethod
    def asks(host: Host, device: Device, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return ()

    @staticmethod
    def slots(host: Host, device: Device) -> Iterator[Slot]:
        return iter(())

    @staticmethod
    def clear(host: Host, device: Device, rules: tuple[Rule, ...], step: Deed) -> Draft:
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
    def unseen(host: Host, device: Device) -> bool:
        return False

    @staticmethod
    def adopt(host: Host, device: Device) -> Iterator[Mark]:
        return iter(())

    @staticmethod
    def foreign(host: Host, device: Device) -> Iterator[str]:
        return iter(())

    @staticmethod
    def owner(host: Host, slot: Slot) -> str:
        return ""

    @staticmethod
    def users(host: Host, slot: Slot) -> tuple[User, ...]:
        return ()

    @staticmethod
    def carries(host: Host, device: Device, slot: Slot) -> bool:
        return False
