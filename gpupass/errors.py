"""Every foreseeable failure: what could not be done, why, a hint to type, and the exit status."""

import os
from typing import Any, ClassVar, NamedTuple


class Spot(NamedTuple):
    """Where in a profile a reason is: `path` as in gpus[1].layout[0]; lines and columns count from 1."""

    path: str | None
    file: str
    line: int
    column: int


class GpupassError(Exception):
    """Something failed and everything it had changed was put back.

    `reasons` holds every finding when there are several, each with its remedy; `spots` where they are (the
    only one of a single finding), as far as that is known. `kind` is the word that programs tell it by, and
    `came` what had become of the change until then (app's Came), where there was a plan already.
    """

    exit_code = 1
    kind: ClassVar[str] = "failed"
    retryable: ClassVar[bool] = False  # the same command, unchanged, may succeed later
    spots: tuple[Spot | None, ...] = ()
    came: Any = None

    def __init__(
        self, message: str, hint: str | None = None, reasons: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.reasons = reasons


class Usage(GpupassError):
    """The request itself is malformed, or names something that does not exist."""

    exit_code = 2
    kind = "usage"


class Refused(GpupassError):
    """A precheck said no; nothing was changed."""

    exit_code = 4
    kind = "refused"


class NotRoot(Refused):
    """Only root changes a host."""

    kind = "not-root"


class NoLibvirt(Refused):
    """libvirt cannot be asked, and without it nobody may decide."""

    kind = "no-libvirt"
    retryable = True


class Disrupts(Refused):
    """Somebody at work would lose something, which takes --allow-disruption."""

    kind = "needs-allow-disruption"


class Resets(Refused):
    """GPUs would be reset, which takes --allow-reset."""

    kind = "needs-allow-reset"


class Unlike(Refused):
    """The host is not any more as it was when somebody looked at this plan."""

    kind = "plan-outdated"


class Unasked(Usage):
    """Nobody is there to be asked, and nobody has said --yes."""

    kind = "needs-yes"


class Busy(Refused):
    """Another gpupass is at work on the device."""

    kind = "busy"
    retryable = True


class NeedsPerson(GpupassError):
    """A rollback is incomplete or a device is quarantined."""

    exit_code = 5
    kind = "needs-person"


class NotClean(NeedsPerson):
    """Devices must not be handed on: a reset could not be verified, or the kernel hangs on them."""

    kind = "not-clean"

    def __init__(self, addresses: str | tuple[str, ...], why: str, hint: str | None = None) -> None:
        self.addresses = (addresses,) if isinstance(addresses, str) else addresses
        super().__init__(f"cannot hand {', '.join(self.addresses)} on: {why}", hint)
        self.why = why


class KernelRefused(GpupassError):
    """The kernel has said no, and `errno` why; a step may go on where that is no failure to it."""

    kind = "kernel-refused"

    def __init__(self, path: str, errno: int, what: str, why: str = "", hint: str | None = None) -> None:
        self.path = path
        self.errno = errno
        self.why = why or os.strerror(errno)
        super().__init__(f"cannot {what}: {self.why}", hint)


class Damaged(NeedsPerson):
    """What gpupass remembers cannot be read, or does not agree with itself: nobody knows what is open."""

    kind = "damaged"

    def __init__(self, path: object, why: str) -> None:
        super().__init__(f"cannot trust {path}: {why}", "gpupass recover --forget")
        self.why = why


class Interrupted(GpupassError):
    """Somebody has stopped a change between two steps; what had begun was put back."""

    exit_code = 130
    kind = "interrupted"


class Pending(GpupassError):
    """The guest, or whoever holds a GPU to be reset, has not let go yet; the request stands."""

    exit_code = 6
    kind = "pending"
    retryable = True


class Unforeseen(GpupassError):
    """A fault of gpupass itself, told in one line: what it was and where."""

    exit_code = 70  # EX_SOFTWARE
    kind = "unforeseen"

    def __init__(self, bug: Exception) -> None:
        import traceback
        from pathlib import Path

        called = traceback.extract_tb(bug.__traceback__)
        ours = [frame for frame in called if "gpupass" in Path(frame.filename).parts] or called
        at = f" ({Path(ours[-1].filename).name}:{ours[-1].lineno})" if ours else ""
        words = " ".join(str(bug).split())
        what = f"{type(bug).__name__}: {words}" if words else type(bug).__name__
        super().__init__(f"cannot go on: gpupass has a fault: {what}{at}", "gpupass recover --dry-run")


def as_error(error: Exception) -> GpupassError:
    """What a change that has begun is taken back for: a fault of our own, too."""
    return error if isinstance(error, GpupassError) else Unforeseen(error)
