"""Every foreseeable failure: what could not be done, why, a hint to type, and the exit status."""


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
    """A device must not be handed on: its reset could not be verified, or the kernel hangs on it."""

    def __init__(self, address: str, why: str, hint: str | None = None) -> None:
        super().__init__(f"cannot hand {address} on: {why}", hint)
        self.address = address
        self.why = why


class Pending(GpupassError):
    """The guest, or whoever holds a GPU to be reset, has not let go yet; the request stands."""

    exit_code = 6
