"""The applies of the past, the last 200."""

import os
from typing import TYPE_CHECKING

from gpupass.errors import Damaged
from gpupass.model.apply import Apply
from gpupass.model.wire import from_json, to_json

if TYPE_CHECKING:
    from gpupass.store.rows import Commit
    from gpupass.store.store import Store

KEPT = 200


def write_apply(store: "Store", apply: Apply) -> None:
    with store.writing() as commit:
        put(commit, apply)
        for number, _ in commit.rows("applies", f"ORDER BY id DESC LIMIT -1 OFFSET {KEPT}"):
            commit.drop("applies", id=number)


def read_applies(store: "Store") -> tuple[Apply, ...]:
    """Oldest first."""
    with store.reading() as rows:
        return tuple(_apply(store, *row) for row in rows.rows("applies", "ORDER BY id"))


def new_id(store: "Store", time: str) -> str:
    """Ids sort by time."""
    stem = time[:19].replace(":", "").replace("-", "")
    with store.reading() as rows:
        number = len(rows.rows("applies", "WHERE id GLOB ?", (f"{stem}-*",)))
    return f"{stem}-{number:03d}-{os.getpid()}"


def put(commit: "Commit", apply: Apply) -> None:
    commit.put("applies", apply.id, to_json(apply).decode())


def read_body(name: str, body: str) -> Apply:
    """ValueError when it is no apply, or another one."""
    apply: Apply = from_json(body, Apply)
    if apply.id != name:
        raise ValueError("of another name")
    return apply


def _apply(store: "Store", name: str, body: str) -> Apply:
    try:
        return read_body(name, body)
    except (ValueError, RecursionError):
        raise Damaged(store.path, f"what it says of the apply {name} has no meaning") from None
