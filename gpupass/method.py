"""What a way to share a GPU says: a folder in methods/ whose package makes one, and an entry in METHODS."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct

from gpupass.model.address import Name
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
Rules = Mapping[Name, tuple[Rule, ...]]


C = TypeVar("C", bound=Carrier)  # functions, and all that it takes


def unread(system: "Reader", carrier: Carrier) -> Seen | None:
    return None


def _none(*about: object) -> tuple[()]:
    return ()


def _nothing(*about: object) -> Draft:
    return NOTHING


def _no(*about: object) -> bool:
    return False


def _nobody(*about: object) -> str:
    return ""


def _as_it_is(device: Device, step: Deed) -> Device:
    return device


class Method(Struct, Generic[C], frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Made once by each package of methods/, which says what it has; the rest is nothing."""

    rule: type[Rule]  # its `use` is the tag of its slots
    takes: frozenset[CarrierKind] = frozenset({CarrierKind.FUNCTION})  # what a rule of its can be about
    steps: tuple[type[Deed], ...] = ()
    marks: tuple[type[Mark], ...] = ()

    # What the model has no place for; None: there is nothing of it.
    read: Callable[["Reader", C], Seen | None] = unread
    # What a bare look must look at closer, because it may be one thing with the device.
    alike: Callable[[Host, C], tuple[Device, ...]] = _none
    # Others that change with it under these rules.
    company: Callable[[Host, C, tuple[Rule, ...]], tuple[Device, ...]] = _none
    # Rules of other ways that its own among these rules stands on.
    asks: Callable[[Host, C, tuple[Rule, ...]], tuple[Rule, ...]] = _none
    # What can be given away of it now.
    slots: Callable[[Host, C], Iterable[Slot]] = _none
    # What makes the slots that the rules ask for, and ends what gpupass made where none of its does.
    cut: Callable[[Host, Rules], Draft]
    # What ends what the step must be without, or what stands on what it ends.
    clear: Callable[[Host, C, tuple[Rule, ...], Deed], Draft] = _nothing
    # What a step of another way leaves of what it sees of the device.
    seen_after: Callable[[Device, Deed], Device] = _as_it_is
    # What makes a slot anew between two users, where gpupass made it.
    renew: Callable[[Host, Slot], Draft] = _nothing
    # What keeps a slot of its from being lent.
    lend_findings: Callable[[Host, Slot], Iterable[Finding]] = _none
    # The rule, called and selecting as the given one, that asks for what is; None: nothing of it is on the
    # device. The last are those of the methods before it, which it may stand on: the last one asks for all.
    export: Callable[[Host, C, Rule, tuple[Rule, ...]], Rule | None]
    # It has parts, or may have some, that nobody tells of.
    unseen: Callable[[Host, C], bool] = _no
    # What makes what others made gpupass's own.
    adopt: Callable[[Host, C], Iterable[Mark]] = _none
    # What others made, for people.
    foreign: Callable[[Host, C], Iterable[str]] = _none
    # Who made it: gpupass, mdevctl, "" for anybody else.
    owner: Callable[[Host, Slot], str] = _nobody
    users: Callable[[Host, Slot], tuple[User, ...]] = _none
    # Is a slot of its on this slot of another way?
    carries: Callable[[Host, C, Slot], bool] = _no

    @property
    def tag(self) -> str:
        """`use:` in a profile."""
        return self.rule.use
