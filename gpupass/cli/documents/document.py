"""What all documents have in common, and the one of a failure."""

from typing import Any, Literal

from msgspec import Struct

from gpupass.errors import GpupassError, Spot


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`schema` rises when programs that read the document have to be changed."""

    schema: Literal[2] = 2


class Where(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where in a profile: `path` as in gpus[1].layout[0], lines and columns from 1; null: it is not known."""

    path: str | None
    file: str | None
    line: int | None
    column: int | None


class Reason(Where, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several reasons, and what to do about it."""

    message: str
    remedy: str | None


class Failure(Where, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What failed and why, and what to type then.

    `code` is the word for it that stays; `retryable`: the same command, unchanged, may succeed later.
    """

    code: str
    message: str
    hint: str | None
    exit_code: int
    retryable: bool
    reasons: tuple[Reason, ...]


class Failed(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a verb that changes nothing prints instead when it cannot do what it was told."""

    error: Failure


def failure(error: GpupassError, exit_code: int | None = None) -> Failure:
    """`exit_code`: what the verb ends with, where that is another one."""
    spots = error.spots or (None,) * len(error.reasons)
    reasons = tuple(
        Reason(message=message, remedy=remedy, **where(spot))
        for (message, remedy), spot in zip(error.reasons, spots, strict=False)
    )
    return Failure(
        code=error.kind,
        message=error.message,
        hint=error.hint,
        exit_code=error.exit_code if exit_code is None else exit_code,
        retryable=error.retryable,
        reasons=reasons,
        **where(spots[0] if spots else None),
    )


def where(spot: Spot | None) -> dict[str, Any]:
    return dict(zip(Spot._fields, spot or (None,) * len(Spot._fields), strict=True))
