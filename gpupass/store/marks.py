"""What gpupass remembers of a device: one mark for each tag, carrier and part of it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gpupass.errors import Damaged
from gpupass.model.mark import MARKS, M, Mark, MarkKey, tag_of
from gpupass.model.wire import from_json, to_json
from gpupass.store import held

if TYPE_CHECKING:
    from gpupass.store.rows import Commit
    from gpupass.store.store import Reader, Store

_OF_ALL: dict[str, type[Mark]] = {tag_of(kind): kind for kind in MARKS}


def read_marks(store: "Store") -> tuple[Mark, ...]:
    """All of them, by tag, carrier and part."""
    over = store.over()
    with store.reading() as rows:
        return tuple(_mark(store, row) for row in _as_they_are(rows, over))


def read_marks_of(store: "Store", kind: type[M]) -> tuple[M, ...]:
    """Those of one kind, by carrier and part."""
    return tuple(mark for mark in read_marks(store) if isinstance(mark, kind))


def read_mark(store: "Store", kind: type[M], carrier: str, part: str = "") -> M | None:
    key = (tag_of(kind), carrier, part)
    return next((mark for mark in read_marks_of(store, kind) if mark.key == key), None)


def set_mark(store: "Store", mark: Mark) -> None:
    """In a commit of its own: what no step does."""
    set_marks(store, (mark,))


def set_marks(store: "Store", marks: Iterable[Mark]) -> None:
    with store.writing() as commit:
        put(commit, *marks)


def forget(store: "Store", *keys: MarkKey) -> None:
    with store.writing() as commit:
        for key in keys:
            drop(commit, key)


def put(commit: "Commit", *marks: Mark) -> None:
    """Refused where a claim is about what another owner has."""
    for mark in marks:
        _keep(commit, mark.key, to_json(mark).decode())


def drop(commit: "Commit", key: MarkKey) -> None:
    _keep(commit, key, None)


def bodies(rows: "Reader", keys: Iterable[MarkKey]) -> list[list[str | None]]:
    """As they are now, for `put_back`: tag, carrier, part, and the body or None."""
    found = []
    for key in keys:
        now = rows.rows("marks", "WHERE (tag, carrier, part) = (?, ?, ?)", key)
        found.append([*key, now[0][-1] if now else None])
    return found


def put_back(commit: "Commit", before: list[list[str | None]]) -> None:
    for tag, carrier, part, body in before:
        _keep(commit, (str(tag), str(carrier), str(part)), body, refuse=False)


def _keep(commit: "Commit", key: MarkKey, body: str | None, refuse: bool = True) -> None:
    tag, carrier, part = key
    if tag == held.CLAIM:
        held.follow(commit, carrier, part, body, refuse)
    if body is None:
        commit.drop("marks", tag=tag, carrier=carrier, part=part)
    else:
        commit.put("marks", tag, carrier, part, body)


def read_body(key: tuple[str, str, str], body: str) -> Mark:
    """ValueError when it is no mark, or one of something else."""
    mark: Mark = from_json(body, _OF_ALL.get(key[0]) or _any_mark())
    if mark.key != key:
        raise ValueError("of something else")
    return mark


def _any_mark() -> Any:
    """And with it every way: a look that meets no mark of theirs is without."""
    from gpupass.kinds import AnyMark

    return AnyMark


def _as_they_are(rows: "Reader", over: tuple[str, ...]) -> list[tuple[str, ...]]:
    """What was taken back while the disk was too full to say so is taken back."""
    found = rows.rows("marks", "ORDER BY tag, carrier, part")
    if not over:
        return found
    from gpupass.store.operations import marks_before

    there: dict[tuple[str, ...], str | None] = {tuple(row[:-1]): row[-1] for row in found}
    for name in over:
        there |= {(str(tag), str(at), str(part)): body for tag, at, part, body in marks_before(rows, name)}
    return [(*key, body) for key, body in sorted(there.items()) if body is not None]


def _mark(store: "Store", row: tuple[str, ...]) -> Mark:
    *key, body = row
    try:
        return read_body((key[0], key[1], key[2]), body)
    except (ValueError, RecursionError):
        raise Damaged(store.path, f"what it says of {' '.join(key).strip()} has no meaning") from None
