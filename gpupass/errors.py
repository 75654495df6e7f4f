"""Every foreseeable failure: what could not be done, why, a hint to type, and the exit status."""

import os


class GpupassError(Exception):
    """Something failed and everything it had changed was put back.

    `reasons` holds every finding when there are several, each with its remedy.
    """

    exit_code = 1

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


class Refused(GpupassError):
    """A precheck said no; nothing was changed."""

    exit_code = 4


class Busy(Refused):
    """Another gpupass is at work on the device."""


class NeedsPerson(GpupassError):
    """A rollback is incomplete or a device is quarantined."""

    exit_code = 5


class NotClean(NeedsPerson):
    """Devices must not be handed on: a reset could not be verified, or the kernel hangs on them."""

    def __init__(self, addresses: str | tuple[str, ...], why: str, hint: str | None = None) -> None:
        self.addresses = (addresses,) if isinstance(addresses, str) else addresses
        super().__init__(f"cannot hand {', '.join(self.addresses)} on: {why}", hint)
        self.why = why


class KernelRefused(GpupassError):
    """The kernel has said no, and `errno` why; a step may go on where that is no failure to it."""

    def __init__(self, path: str, errno: int, what: str, why: str = "", hint: str | None = None) -> None:
        self.path = path
        self.errno = errno
        self.why = why or os.strerror(errno)
        super().__init__(f"cannot {what}: {self.why}", hint)


class Damaged(NeedsPerson):
    """What gpupass remembers cannot be read, or does not agree with itself: nobody knows what is open."""

    def __init__(self, path: object, why: str) -> None:
        super().__init__(f"cannot trust {path}: {why}", "gpupass recover --forget")
        self.why = why


class Interrupted(GpupassError):
    """Somebody has stopped a change between two steps; what had begun was put back."""

    exit_code = 130


class Pending(GpupassError):
    """The guest, or whoever holds a GPU to be reset, has not let go yet; the request stands."""

    exit_code = 6
