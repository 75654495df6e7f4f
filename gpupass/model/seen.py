"""What only one way to share a GPU sees of a carrier: a class of its own in its folder, of this base."""

from typing import TypeVar

from msgspec import Struct

from gpupass.model.address import Name


class Seen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read in the one look, beside what the model has for all ways; a step of the way says what it leaves."""

    carrier: Name


S = TypeVar("S", bound=Seen)
