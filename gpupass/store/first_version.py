"""The state directory of gpupass 0.1, a JSON file for each thing: taken over as a whole, then put away."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import convert

from gpupass.errors import Damaged
from gpupass.model.wire import from_json, to_json
from gpupass.store import applies, first_marks, marks, operations
from gpupass.store.first_marks import Json, Old
from gpupass.system.state import sync_directory

if TYPE_CHECKING:
    from gpupass.store.rows import Commit

JOURNAL, HISTORY, APPLIES = "journal", "history", "applies"
DIRECTORIES = (JOURNAL, HISTORY, APPLIES, *first_marks.KINDS)
PUT_AWAY = "first-version"
_SCHEMA = 1
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OSError)


def is_there(state: Path) -> bool:
    return any((state / name).is_dir() for name in DIRECTORIES)


def take_over(commit: "Commit", state: Path) -> None:
    """All of it. Damaged where something that is not merely history cannot be read."""
    known = list(_records(state))
    for path in _files(state / HISTORY, "jsonl"):
        try:
            operations.put_whole(commit, path.stem, _ended(_journal(path, known).today()))
        except _UNREADABLE:
            _leave(path)
    for path in _files(state / APPLIES, "json"):
        try:
            applies.put(commit, applies.read_body(path.stem, _unwrapped(path)))
        except _UNREADABLE:
            _leave(path)
    for path in _files(state / JOURNAL, "jsonl"):
        try:
            old = _journal(path, known)
            operations.put_whole(commit, path.stem, old.today())
            known += old.begun()
        except _UNREADABLE:
            raise Damaged(path, "it is no journal") from None
    from gpupass.kinds import AnyMark

    marks.put(commit, *(convert(mark, AnyMark) for mark in known))


def _records(state: Path) -> Iterator[Json]:
    for kind in first_marks.KINDS:
        for path in _files(state / kind, "json"):
            try:
                yield from _marks(path, kind)
            except _UNREADABLE:
                raise Damaged(path, f"it is no {kind} record") from None


def put_away(state: Path) -> None:
    """Nobody reads them any more; a person may, or throw them away."""
    left = [name for name in DIRECTORIES if (state / name).is_dir()]
    if not left:
        return
    away = state / PUT_AWAY
    away.mkdir(mode=0o700, exist_ok=True)
    for name in left:
        free = (away / f"{name}{number or ''}" for number in count())
        (state / name).rename(next(path for path in free if not path.exists()))
    sync_directory(away)
    sync_directory(state)


def _files(directory: Path, ending: str) -> Iterator[Path]:
    """Oldest first; what was half made, or set aside as damaged, has another ending."""
    if directory.is_dir():
        names = sorted(os.listdir(directory))  # noqa: PTH208 - glob hides that we may not look
        yield from (
            directory / name for name in names if name.endswith(f".{ending}") and not name.startswith(".")
        )


def _events(path: Path) -> list[dict[str, Any]]:
    """Only whole lines count: the last one was being written."""
    data = path.read_bytes()
    lines = [from_json(line, Any) for line in data[: data.rfind(b"\n") + 1].splitlines()]
    if lines[0].pop("schema") != _SCHEMA:
        raise ValueError("not of the first version")
    return lines


def _ended(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if "end" not in events[-1]:
        raise ValueError("it has no end")
    return events


def _journal(path: Path, known: list[Json]) -> Old:
    return Old(_events(path), known)


def _marks(path: Path, kind: str) -> list[Json]:
    return marks_in(path.stem, kind, _unwrapped(path))


def marks_in(stem: str, kind: str, text: str) -> list[Json]:
    """Of the record of this kind in the file STEM.json; ValueError and the like where it is none."""
    record = from_json(text, Any)
    address, _, mdev = stem.partition("+")
    if (record["kind"], record["address"], record.get("mdev") or "") != (kind, address, mdev):
        raise ValueError("of something else")
    from gpupass.kinds import AnyMark

    found = list(first_marks.marks_of(record))
    convert(found, list[AnyMark])
    return found


def _unwrapped(path: Path) -> str:
    data: Any = from_json(path.read_bytes(), Any)
    if not isinstance(data, dict) or data.pop("schema", None) != _SCHEMA:
        raise ValueError("not of the first version")
    return to_json(data).decode()


def _leave(path: Path) -> None:
    import logging

    logging.getLogger("gpupass").warning("gpupass: %s is damaged: it is not taken over", path)
