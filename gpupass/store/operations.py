"""Operations and their events as rows; what an event says of a step, the engine knows."""

import os
from itertools import count
from typing import TYPE_CHECKING, Any

from msgspec import convert

from gpupass.errors import Damaged, GpupassError
from gpupass.model.address import Address
from gpupass.model.wire import from_json, to_json
from gpupass.store import marks

if TYPE_CHECKING:
    from gpupass.store.rows import Commit
    from gpupass.store.store import Reader, Store

KEPT = 1000  # that are over: the history
ROLLED_BACK = "rolled-back"
Event = dict[str, Any]
_EVENTS = {"intent", "done", "pending", "more", "rolling-back", "undone", "end"}


def begin(commit: "Commit", event: Event) -> str:
    """Its name; names sort by time."""
    end_those_over(commit)
    stem = str(event["time"])[:19].replace(":", "").replace("-", "")
    names = (f"{stem}-{os.getpid()}-{number}" for number in count())
    name = next(name for name in names if not commit.rows("operations", "WHERE id = ?", (name,)))
    put_whole(commit, name, [event])
    return name


def append(
    commit: "Commit",
    name: str,
    event: Event,
    devices: tuple[Address, ...] | None = None,
    over: bool = False,
) -> None:
    """`devices` where they are others than before; `over` says that it is the last one."""
    end_those_over(commit)
    _append(commit, name, event, devices, over)
    if over:
        _prune(commit)


def put_marks_back(commit: "Commit", name: str, number: int) -> None:
    """As they were before this step."""
    for event in events(commit, name):
        if event.get("intent") == number:
            marks.put_back(commit, event.get("marks", []))


def open_ones(store: "Store") -> list[tuple[str, list[Event]]]:
    """Every operation without an end, oldest first."""
    over = store.over()
    with store.reading() as rows:
        found = rows.rows("operations", "WHERE ended IS NULL ORDER BY began, id")
        return [(row[0], _all_events(store, rows, row)) for row in found if row[0] not in over]


def ended_ones(store: "Store") -> list[tuple[str, list[Event]]]:
    """By name."""
    with store.reading() as rows:
        found = rows.rows("operations", "WHERE ended IS NOT NULL ORDER BY id")
        return [(row[0], _all_events(store, rows, row)) for row in found]


def events(rows: "Reader", name: str) -> list[Event]:
    found = rows.rows("events", "WHERE operation = ? ORDER BY number", (name,))
    return [from_json(row[-1], Any) for row in found]


def _all_events(store: "Store", rows: "Reader", row: tuple[Any, ...]) -> list[Event]:
    name, _, _, number, _ = row
    found = events(rows, name)
    if len(found) != number:
        raise Damaged(store.path, f"of the operation {name} some events are gone")
    return found


def put_whole(commit: "Commit", name: str, events: list[Event]) -> None:
    """With all its events so far. ValueError, KeyError or TypeError when they are none."""
    devices: dict[Address, None] = {}
    ended = None
    for number, event in enumerate(events):
        if not ({"begin"} if number == 0 else _EVENTS) & event.keys():
            raise ValueError("no event")
        devices |= dict.fromkeys(convert(event.get("devices", []), tuple[Address, ...]))
        ended = commit.seq if "end" in event else ended
        commit.put("events", name, number, to_json(event).decode())
    commit.put("operations", name, commit.seq, ended, len(events), to_json(tuple(devices)).decode())
    commit.lists = True


def _append(
    commit: "Commit", name: str, event: Event, devices: tuple[Address, ...] | None = None, over: bool = False
) -> None:
    found = commit.rows("operations", "WHERE id = ? AND ended IS NULL", (name,))
    if not found:
        raise GpupassError(f"cannot go on with the operation {name}: another gpupass has ended it")
    ((_, began, _, number, before),) = found
    told = before if devices is None else to_json(devices).decode()
    commit.put("operations", name, began, commit.seq if over else None, number + 1, told)
    commit.put("events", name, number, to_json(event).decode())
    commit.lists |= over or devices is not None


def end_those_over(commit: "Commit") -> None:
    """There is room again for what only the head could say; perhaps there was none for the marks either."""
    if not commit.over:
        return
    known = {name for name, *_ in commit.rows("operations", "WHERE ended IS NULL")}
    for name in known.intersection(commit.over):  # a store that is forgotten takes its operations along
        marks.put_back(commit, marks_before(commit, name))
        _append(commit, name, {"end": ROLLED_BACK, "why": "the disk was full"}, over=True)
    commit.over = ()


def marks_before(rows: "Reader", name: str) -> list[list[str | None]]:
    """As they were before the steps that it began and has not said to be undone; the last one counts."""
    told = events(rows, name)
    undone = {event["undone"] for event in told if "undone" in event}
    begun = (event for event in reversed(told) if "intent" in event and event["intent"] not in undone)
    return [mark for event in begun for mark in event.get("marks", [])]


def _prune(commit: "Commit") -> None:
    old = f"WHERE ended IS NOT NULL ORDER BY ended DESC, id DESC LIMIT -1 OFFSET {KEPT}"
    for name, *_ in commit.rows("operations", old):
        commit.drop("operations", id=name)
        commit.drop("events", operation=name)
