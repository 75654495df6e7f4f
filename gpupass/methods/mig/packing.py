"""Which pieces go where on a row of slices, so that the least of what is there is lost; pure and exact."""

from functools import lru_cache
from operator import add

from msgspec import Struct

Cost = tuple[int, ...]  # compared from the left: what comes first weighs infinitely more


class Piece(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`saves`: starts where just such a piece is already, and the (negative) cost of keeping it."""

    size: int
    starts: tuple[int, ...]
    saves: tuple[tuple[int, Cost], ...] = ()


@lru_cache(maxsize=1024)  # GPUs of a host are much the same, and planned more than once
def pack(pieces: tuple[Piece, ...], nothing: Cost, places: tuple[int, ...] = ()) -> tuple[int, ...] | None:
    """The start of each piece in the cheapest packing; None: they do not fit together.

    `nothing` is the cost of a new piece; the more `places` (as bits) are free in the end, the better: that is
    compared last.
    What pieces cost does not depend on each other, so the best way to go on depends only on the slices taken
    by the pieces before: at most pieces x 2^slices situations, of which few can be reached (7 pieces on 8
    slices: below 1,000). The lowest starts win a tie.
    """
    saves = tuple(dict(piece.saves) for piece in pieces)
    known: dict[tuple[int, int], tuple[Cost, tuple[int, ...]] | None] = {}

    def best(index: int, taken: int) -> tuple[Cost, tuple[int, ...]] | None:
        if index == len(pieces):
            return (*nothing[:-1], nothing[-1] - sum(not taken & place for place in places)), ()
        if (index, taken) not in known:
            known[index, taken] = min(options(index, taken), default=None)
        return known[index, taken]

    def options(index: int, taken: int) -> list[tuple[Cost, tuple[int, ...]]]:
        piece, found = pieces[index], []
        for start in piece.starts:
            mask = ((1 << piece.size) - 1) << start
            if not taken & mask and (then := best(index + 1, taken | mask)) is not None:
                cost = tuple(map(add, then[0], saves[index].get(start, nothing)))
                found.append((cost, (start, *then[1])))
        return found

    chosen = best(0, 0)
    return chosen[1] if chosen is not None else None
