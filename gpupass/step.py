"""What a step is: one write as data, with its own words, its place in an order, its marks and the next host.

`do` and `undo` are idempotent: after a crash they may run twice. A step holds no policy.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from msgspec import Struct
from msgspec.structs import replace

from gpupass.model.address import Address, Name, root_of
from gpupass.model.host import Host
from gpupass.model.mark import Mark, MarkKey

if TYPE_CHECKING:
    from gpupass.model.mark import Mark as AnyMark
    from gpupass.system import System


class Kind(StrEnum):
    """Facts that steps of several rooms give, end or need; a way to share a GPU has an enum of its own."""

    MODULE = "module"  # a kernel module is loaded
    DRIVER = "driver"  # a function has the driver that it is to have
    PERSISTENCE = "persistence"  # NVIDIA's persistence mode keeps it open
    AT_WORK = "at work"  # somebody has it open for the host, or draws on it
    VFS = "vfs"  # a physical function has its virtual functions
    MIG_MODE = "MIG mode"  # a GPU is in it
    INSTANCE = "GPU instance"  # a GPU has it
    MIXED = "mixed"  # vGPUs of several sizes may share a card
    TURNS = "turns"  # … and take them otherwise than by themselves
    CUT = "cut"  # a part that somebody can have has been made of it
    PART = "part"  # this part is there: a mediated device, a vGPU
    WHOLE = "whole"  # and so is what belongs to it: whoever stands on it may
    SHARES = "shares"  # virtual functions to come have their shares
    OWNED = "owned"  # a domain owns the hidden functions of a group
    LENT = "lent"  # a domain has it
    ASKED = "asked"  # its domain has been asked to let go
    CLOSED = "closed"  # nobody has its files open
    FREE = "free"  # … and nobody is remembered as having it
    CLEAN = "clean"  # nothing of its last user is left in it
    TUNED = "tuned"  # it is set as its guest is to have it
    FILE = "file"  # a file of the host is as it is to be


Fact = tuple[StrEnum, str]  # (kind, what it is about): (Kind.VFS, "0000:01:00.0")
Facts = frozenset[Fact]
NOTHING: Facts = frozenset()
Rank = tuple[int, ...]


def facts(*found: Fact) -> Facts:
    return frozenset(found)


def _there(carrier: Name) -> Facts:
    """Its driver has the function; and what has none of its own is cut from one, whole."""
    driver = (Kind.DRIVER, root_of(carrier))
    of, cut, _ = carrier.rpartition("/")
    return (
        facts(driver, (Kind.CUT, of), (Kind.PART, carrier), (Kind.WHOLE, carrier)) if cut else facts(driver)
    )


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True, tag_field="step"):
    """The base of all steps: what most of them do not say. What every step must say is in `Deed`.

    `marks` are remembered before it is done, and `forgets` are forgotten when it is done.
    """

    why: str = ""
    of: Address | None = None  # the physical function, when it is about a virtual one
    marks: "tuple[AnyMark, ...]" = ()  # kinds.py, which knows all of them, says at last what this is
    forgets: tuple[MarkKey, ...] = ()

    hidden: ClassVar[bool] = False  # bookkeeping: people are not shown it beside deeds
    means: ClassVar[bool] = False  # done on the way only: what differs is said by other steps
    settles: ClassVar[bool] = False  # has others read what was written: last, on the way back, too
    beside: ClassVar[str] = ""  # what cannot be beside what it must be without, for people

    @property
    def carriers(self) -> tuple[Name, ...]:
        """What it is about; () for a kernel module or a file."""
        return ()

    @property
    def target(self) -> str:
        """That in one word, for programs: 0000:01:00.0, module:vfio-pci, file:/etc/…"""
        return self.carriers[0] if self.carriers else ""

    @property
    def needs(self) -> Facts:
        """What must be so while it is done: its devices have their drivers, a virtual function is there."""
        there = ((Kind.VFS, self.of),) if self.of is not None else ()
        return facts(*there).union(*map(_there, self.carriers))

    @property
    def gives(self) -> Facts:
        return NOTHING

    @property
    def ends(self) -> Facts:
        return NOTHING

    @property
    def without(self) -> Facts:
        """What must not be so while it is done."""
        return NOTHING

    @property
    def rank(self) -> Rank:
        """Of steps that give or end the same fact the higher goes first."""
        return (0,)

    @property
    def resets(self) -> tuple[Address, ...]:
        """Devices that lose what they are doing."""
        return ()

    @property
    def rebinds(self) -> tuple[Address, ...]:
        """Devices that get another driver, or theirs anew."""
        return ()

    @property
    def needs_leave(self) -> tuple[Address, ...]:
        """GPUs whose reset somebody must have allowed (--allow-reset)."""
        return ()

    @property
    def leaves_open(self) -> tuple[Address, ...]:
        """Devices whose driver somebody else decides then: only a fresh look can tell which."""
        return ()

    def seconds(self) -> float:
        """As a host with a real GPU takes, roughly."""
        return 0.5

    def after(self, host: Host) -> Host:
        """The host as it will be, without its marks."""
        return host

    def committed(self, system: "System") -> bool:
        """After a crash: has its effect reached somebody it cannot be called back from?"""
        return False


class Deed(Protocol):
    """Every step; the tuples STEPS are checked against it: one without `undo` does not type-check."""

    Before: ClassVar[Any]  # the type of what `current` tells, to read it back
    hidden: ClassVar[bool]
    means: ClassVar[bool]
    settles: ClassVar[bool]
    beside: ClassVar[str]

    @property
    def why(self) -> str: ...
    @property
    def of(self) -> Address | None: ...
    @property
    def marks(self) -> tuple[Mark, ...]: ...
    @property
    def forgets(self) -> tuple[MarkKey, ...]: ...
    @property
    def carriers(self) -> tuple[Name, ...]: ...
    @property
    def target(self) -> str: ...

    @property
    def needs(self) -> Facts: ...
    @property
    def gives(self) -> Facts: ...
    @property
    def ends(self) -> Facts: ...
    @property
    def without(self) -> Facts: ...
    @property
    def rank(self) -> Rank: ...
    @property
    def resets(self) -> tuple[Address, ...]: ...
    @property
    def rebinds(self) -> tuple[Address, ...]: ...
    @property
    def needs_leave(self) -> tuple[Address, ...]: ...
    @property
    def leaves_open(self) -> tuple[Address, ...]: ...
    def words(self) -> str:
        """What it does, for people: "bind 0000:01:00.0 to vfio-pci"."""
        ...

    def seconds(self) -> float: ...
    def after(self, host: Host) -> Host: ...
    def current(self, system: "System") -> Any:
        """The value that it would change: journalled before `do`, given back to `undo`."""
        ...

    def do(self, system: "System", deadline: float) -> None:
        """Reach the goal; waits for guests and closing files end at `deadline` (system.monotonic)."""
        ...

    def undo(self, before: Any, system: "System") -> None:
        """Put `before` back; GpupassError when somebody else has changed it meanwhile."""
        ...

    def committed(self, system: "System") -> bool: ...


def remarked(step: Deed, marks: tuple[Mark, ...]) -> Deed:
    """The same deed, remembered otherwise."""
    found: Deed = _replaced(step, marks=marks)
    return found


def known_as(step: Deed, of: Address | None, forgets: tuple[MarkKey, ...] = ()) -> Deed:
    """With the physical function of the virtual one that it is about; and what it forgets besides."""
    more = tuple(key for key in forgets if key not in step.forgets)
    if step.of == of and not more:
        return step
    found: Deed = _replaced(step, of=of, forgets=(*step.forgets, *more))
    return found


def _replaced(step: Any, **fields: Any) -> Any:
    return replace(step, **fields)
