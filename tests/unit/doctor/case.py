"""What a case of a check is."""

from typing import Any

from msgspec import Struct, field


class Case(Struct, frozen=True):
    """`bad` are several ways to go wrong; `good` what makes the check have something to say."""

    bad: tuple[dict[str, Any], ...]
    good: dict[str, Any] = field(default_factory=dict)
