"""One apply of a profile, as the history keeps it."""

from enum import StrEnum

from msgspec import Struct

from gpupass.model.address import Address
from gpupass.model.domain import QEMU
from gpupass.model.mark import MarkKey


class ApplyEnd(StrEnum):
    """How an apply ended."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"  # killed; `recover` has taken each of its devices to an end
    DONE = "done"
    FAILED = "failed"  # some device's change was rolled back
    PENDING = "pending"
    NEEDS_PERSON = "needs-person"
    TAKEN_BACK = "taken-back"  # by `gpupass rollback`


class Apply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`before` is the profile (YAML) of the devices as they were; `after` the one that was applied."""

    id: str
    time: str  # ISO 8601, UTC
    user: str
    source: str  # the file's name
    devices: tuple[Address, ...]
    before: str
    after: str
    boot_id: str
    end: ApplyEnd = ApplyEnd.RUNNING
    takes_back: str = ""  # the id of the apply that this one rolls back
    connect: str = QEMU
    devices_only: bool = False
    disruption: bool = False  # what had been agreed to: `recover` goes on with no more than that
    reset: bool = False
    known: tuple[MarkKey, ...] | None = None  # what gpupass remembered of what it touched; None: not told
