"""What a step is: one write as data, with its own words, its place in an order and the host after it.

`do` and `undo` are idempotent: after a crash they may run twice. A step holds no policy.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from msgspec import Struct

from gpupass.model.address import Address
from gpupass.model.host import Host

if TYPE_CHECKING:
    from gpupass.system import System


class Kind(StrEnum):
    """Facts that steps of several rooms give, need or end; a way to share a GPU has an enum of its own."""

    DRIVER = "driver"  # a function has the driver that it is to have
    VFS = "vfs"  # a physical function has its virtual functions
    MODULE = "module"  # a kernel module is loaded as it is to be
    LENT = "lent"  # somebody has it, or its last one has not let go cleanly
    CLEAN = "clean"  # nothing of its last user is left in it
    FILE = "file"  # a file of the host is as it is to be


Fact = tuple[StrEnum, str]  # (kind, what it is about): (Kind.VFS, "0000:01:00.0")
Facts = frozenset[Fact]
NOTHING: Facts = frozenset()


def facts(*found: Fact) -> Facts:
    return frozenset(found)


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True, tag_field="step"):
    """The base of all steps: what most of them do not say. What every step must say is in `Deed`."""

    why: str = ""

    hidden: ClassVar[bool] = False  # bookkeeping: people are not shown it beside deeds
    means: ClassVar[bool] = False  # done on the way only: what differs is said by other steps

    @property
    def needs(self) -> Facts:
        """What must be so while it is done."""
        return NOTHING

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
    def rank(self) -> int:
        """Of steps that give or end the same fact the higher goes first."""
        return 0

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
    def only_back(self) -> bool:
        """It does something only when it is undone."""
        return False

    def seconds(self) -> float:
        """As a host with a real GPU takes, roughly."""
        return 0.5

    def after(self, host: Host) -> Host:
        """The host as it will be."""
        return host

    def committed(self, system: "System") -> bool:
        """After a crash: has its effect reached somebody it cannot be called back from?"""
        return False


class Deed(Protocol):
    """Every step; the tuples STEPS are checked against it: one without `undo` does not type-check."""

    Before: ClassVar[Any]  # the type of what `current` tells, to read it back
    hidden: ClassVar[bool]
    means: ClassVar[bool]

    @property
    def why(self) -> str: ...
    @property
    def carriers(self) -> tuple[Address, ...]:
        """What it is about; () for a kernel module or a file."""
        ...

    @property
    def needs(self) -> Facts: ...
    @property
    def gives(self) -> Facts: ...
    @property
    def ends(self) -> Facts: ...
    @property
    def without(self) -> Facts: ...
    @property
    def rank(self) -> int: ...
    @property
    def resets(self) -> tuple[Address, ...]: ...
    @property
    def rebinds(self) -> tuple[Address, ...]: ...
    @property
    def needs_leave(self) -> tuple[Address, ...]: ...
    @property
    def only_back(self) -> bool: ...
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
