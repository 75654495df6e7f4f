"""Who holds which atoms: a row of `owned` for each atom, so that two owners of one are impossible.

A claim holds those of what it is about from the commit that sets it to the one that drops it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gpupass.errors import Refused
from gpupass.model.atom import words
from gpupass.model.mark import Claim, tag_of
from gpupass.model.wire import from_json

if TYPE_CHECKING:
    from gpupass.store.rows import Commit

CLAIM = tag_of(Claim)


def follow(commit: "Commit", carrier: str, part: str, body: str | None, refuse: bool = True) -> None:
    """The claim of this carrier and part is `body` now. Refused where another owner has what it is about.

    Not to `refuse` is for what was so before: the claim is put back, and the other owner keeps the atom.
    """
    slot = f"{carrier}/{part}" if part else carrier
    _free(commit, slot)
    claim = from_json(body, dict[str, Any]) if body is not None else {}
    for atom in _atoms(claim) if claim else ():
        owner = next((row[1] for row in commit.rows("owned", "WHERE atom = ?", (atom,))), None)
        if owner not in (None, claim["uuid"]):
            if refuse:
                raise _refusal(commit, slot, claim["domain"], atom, owner)
            continue
        if owner is None:
            commit.add("owned", atom, claim["uuid"])
        commit.add("held", slot, atom, claim["uuid"])


def fill(commit: "Commit") -> None:
    """From the claims of a store that knew none of this."""
    for _, carrier, part, body in commit.rows("marks", "WHERE tag = ? ORDER BY carrier, part", (CLAIM,)):
        follow(commit, carrier, part, body, refuse=False)


def _free(commit: "Commit", slot: str) -> None:
    held = commit.rows("held", "WHERE slot = ?", (slot,))
    if held:
        commit.drop("held", slot=slot)
    for _, atom, _ in held:
        if not commit.rows("held", "WHERE atom = ?", (atom,)):
            commit.drop("owned", atom=atom)


def _atoms(claim: dict[str, Any]) -> Iterable[str]:
    """A claim of before they were known is about a function, or a mediated device."""
    whole = f"mdev:{claim['part']}" if claim.get("part") else f"function:{claim['carrier']}"
    return sorted(claim.get("atoms") or [whole])


def _refusal(commit: "Commit", slot: str, domain: str, atom: str, owner: str) -> Refused:
    """Names the first."""
    claims = (from_json(row[-1], dict[str, Any]) for row in commit.rows("marks", "WHERE tag = ?", (CLAIM,)))
    first = next((claim["domain"] for claim in claims if claim["uuid"] == owner), owner)
    return Refused(
        f"cannot give {slot} to {domain}: {first} has {words(atom)}",
        f"gpupass detach {first} {slot}, or gpupass recover when {first} has it no more",
    )
