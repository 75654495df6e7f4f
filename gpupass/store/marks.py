"""What gpupass remembers of a device: one mark for each tag, carrier and part of it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gpupass.errors import Damaged
from gpupass.model.record import Record, RecordKind
from gpupass.model.wire import from_json, to_json

if TYPE_CHECKING:
    from gpupass.store.database import Commit
    from gpupass.store.store import Reader, Store

MarkKey = tuple[str, str, str]  # tag, carrier, part ("" where it is of the carrier itself)
_ORDER = [kind.value for kind in RecordKind]


def key_of(mark: Record) -> MarkKey:
    return (mark.kind.value, mark.address, mark.mdev or "")


def read_marks(store: "Store") -> tuple[Record, ...]:
    """All of them, by tag, carrier and part."""
    with store.reading() as rows:
        found = [_mark(store, row) for row in rows.rows("marks", "ORDER BY carrier, part")]
    return tuple(sorted(found, key=lambda mark: _ORDER.index(mark.kind)))


def read_mark(store: "Store", tag: str, carrier: str, part: str | None = None) -> Record | None:
    with store.reading() as rows:
        found = rows.rows("marks", "WHERE (tag, carrier, part) = (?, ?, ?)", (tag, carrier, part or ""))
    return _mark(store, found[0]) if found else None


def set_mark(store: "Store", mark: Record) -> None:
    """In a commit of its own: what no step does."""
    set_marks(store, (mark,))


def set_marks(store: "Store", marks: Iterable[Record]) -> None:
    with store.writing() as commit:
        put(commit, *marks)


def forget(store: "Store", *keys: MarkKey) -> None:
    with store.writing() as commit:
        for key in keys:
            drop(commit, key)


def put(commit: "Commit", *marks: Record) -> None:
    for mark in marks:
        commit.put("marks", *key_of(mark), to_json(mark).decode())


def drop(commit: "Commit", key: MarkKey) -> None:
    tag, carrier, part = key
    commit.drop("marks", tag=tag, carrier=carrier, part=part)


def bodies(rows: "Reader", keys: Iterable[MarkKey]) -> list[list[str | None]]:
    """As they are now, for `put_back`: tag, carrier, part, and the body or None."""
    found = []
    for key in keys:
        now = rows.rows("marks", "WHERE (tag, carrier, part) = (?, ?, ?)", key)
        found.append([*key, now[0][-1] if now else None])
    return found


def put_back(commit: "Commit", before: list[list[str | None]]) -> None:
    for tag, carrier, part, body in before:
        if body is None:
            drop(commit, (str(tag), str(carrier), str(part)))
        else:
            commit.put("marks", tag, carrier, part, body)


def read_body(key: MarkKey, body: str) -> Record:
    """ValueError when it is no mark, or one of something else."""
    mark: Record = from_json(body, Record)
    if key_of(mark) != key:
        raise ValueError("of something else")
    return mark


def _mark(store: "Store", row: tuple[str, ...]) -> Record:
    *key, body = row
    try:
        return read_body((key[0], key[1], key[2]), body)
    except (ValueError, RecursionError):
        raise Damaged(store.path, f"what it says of {' '.join(key).strip()} has no meaning") from None
