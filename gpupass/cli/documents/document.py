"""What all documents have in common, and the one of a failure."""

from typing import Literal

from msgspec import Struct

from gpupass.errors import GpupassError


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`schema` rises when programs that read the document have to be changed."""

    schema: Literal[1] = 1


class Reason(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several reasons, and what to do about it."""

    message: str
    remedy: str | None


class Failure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What failed and why, and what to type then."""

    message: str
    hint: str | None
    exit_code: int
    reasons: tuple[Reason, ...]


class Failed(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every verb prints instead when it cannot do what it was told."""

    error: Failure


def failed(error: GpupassError) -> Failed:
    reasons = tuple(Reason(message=message, remedy=remedy) for message, remedy in error.reasons)
    return Failed(
        error=Failure(message=error.message, hint=error.hint, exit_code=error.exit_code, reasons=reasons)
    )
