"""The write-ahead journal: an operation and its events, each of them committed before anybody acts on it.

Events: begin (plan, devices and who they are, boot id) · intent N (value and marks before) · done N ·
pending N · more (the rest of a plan that continues) · rolling-back · undone N · end.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct, convert, field
from msgspec.structs import replace

from gpupass.errors import Damaged
from gpupass.kinds import AnyStep
from gpupass.model.address import LASTING, Address, root_of
from gpupass.model.identity import Identity
from gpupass.model.mark import Mark, MarkKey
from gpupass.plan import Plan
from gpupass.step import Deed
from gpupass.store import Store, marks, operations
from gpupass.store.operations import Event

NOBODY: Mapping[Address, Identity] = MappingProxyType({})
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


class Operation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was planned, how far it came, how it ended."""

    id: str
    title: str
    steps: tuple[Deed, ...]
    devices: tuple[Address, ...]
    boot_id: str
    time: str
    user: str = ""  # who asked for it
    apply: str = ""  # the apply it belongs to
    continues: bool = False  # what it made is no end: more steps follow
    identities: dict[Address, Identity] = field(default_factory=dict)  # who had these addresses at first
    before: dict[int, Any] = field(default_factory=dict)  # intents
    done: frozenset[int] = frozenset()
    rolling_back: bool = False
    undone: frozenset[int] = frozenset()
    pending: str | None = None
    end: str | None = None  # done, rolled-back, partly, needs-person, replaced, reboot

    def ended_by_reboot(self, boot_id: str) -> bool:
        """The kernel and its guests have forgotten what it did to them; files have not."""
        return self.boot_id != boot_id and not LASTING.intersection(self.devices)


def begin(store: Store, plan: Plan, *, boot_id: str, time: str, user: str, apply: str = "") -> Operation:
    """The whole plan, and its devices in the head, before the first of them is touched."""
    event = {
        "begin": plan.title,
        "plan": plan.steps,
        "devices": plan.devices,
        "identities": plan.identities,
        "boot_id": boot_id,
        "time": time,
        "user": user,
        "apply": apply,
        "continues": plan.continues,
    }
    with store.writing() as commit:
        name = operations.begin(commit, event)
    return _begun(name, event, plan.steps)


def intent(
    store: Store,
    operation: Operation,
    number: int,
    before: Any,
    sets: Iterable[Mark] = (),
    forgets: Iterable[MarkKey] = (),
    met: Mapping[Address, Identity] = NOBODY,
) -> Operation:
    """The marks `sets` are set with it; they and what `forgets` names are noted as they were before.

    `met` are those that nobody knew when it was planned: functions that it has made itself.
    """
    event = {"intent": number, "before": before} | ({"identities": met} if met else {})
    operation = _apply(operation, event)
    sets = tuple(replace(mark, identity=operation.identities.get(root_of(mark.carrier))) for mark in sets)
    with store.writing() as commit:
        had = marks.bodies(commit, (*(mark.key for mark in sets), *forgets))
        operations.append(commit, operation.id, event | ({"marks": had} if had else {}))
        marks.put(commit, *sets)
    return operation


def done(store: Store, operation: Operation, number: int, forgets: Iterable[MarkKey] = ()) -> Operation:
    """With it, and no earlier, the marks of what it has ended are forgotten."""
    event = {"done": number}
    with store.writing() as commit:
        operations.append(commit, operation.id, event)
        for key in forgets:
            marks.drop(commit, key)
    return _apply(operation, event)


def pending(store: Store, operation: Operation, number: int, why: str) -> Operation:
    return _appended(store, operation, {"pending": number, "why": why})


def more(store: Store, operation: Operation, plan: Plan) -> Operation:
    """What a fresh look planned on with; its steps are numbered on."""
    event = {
        "more": plan.steps,
        "devices": plan.devices,
        "identities": plan.identities,
        "continues": plan.continues,
    }
    longer = _longer(operation, plan.steps, plan.devices, plan.continues, plan.identities)
    with store.writing() as commit:
        operations.append(commit, operation.id, event, devices=longer.devices)
    return longer


def rolling_back(store: Store, operation: Operation, why: str) -> Operation:
    """Before the first undo: from here on there is no way forward, whatever was done."""
    return _appended(store, operation, {"rolling-back": why})


def undone(store: Store, operation: Operation, number: int) -> Operation:
    """With the marks as they were before."""
    event = {"undone": number}
    with store.writing() as commit:
        operations.put_marks_back(commit, operation.id, number)
        operations.append(commit, operation.id, event)
    return _apply(operation, event)


def unbegun(store: Store, operation: Operation) -> Operation:
    """All of it is undone, and there is no room to say so: the head says it, too."""
    store.say_over(operation.id)
    return replace(operation, end=operations.ROLLED_BACK)


def end(store: Store, operation: Operation, result: str, why: str = "") -> Operation:
    with store.writing() as commit:
        operations.append(commit, operation.id, {"end": result, "why": why}, over=True)
    return replace(operation, end=result)


def open_operations(store: Store) -> tuple[Operation, ...]:
    """Every operation without an end, oldest first."""
    return tuple(_believed(store, name, events) for name, events in operations.open_ones(store))


def ended_operations(store: Store) -> tuple[Operation, ...]:
    """The history, oldest first; its steps may be of kinds that are no more and are left out."""
    ended = operations.ended_ones(store)
    return tuple(_believed(store, name, events, steps=False) for name, events in ended)


def read(store: Store, name: str) -> Operation | None:
    """None when another gpupass has ended it meanwhile."""
    return next((operation for operation in open_operations(store) if operation.id == name), None)


def _appended(store: Store, operation: Operation, event: Event) -> Operation:
    with store.writing() as commit:
        operations.append(commit, operation.id, event)
    return _apply(operation, event)


def _believed(store: Store, name: str, events: list[Event], steps: bool = True) -> Operation:
    try:
        return _replay(name, events, steps)
    except _UNREADABLE:
        raise Damaged(store.path, f"the operation {name} has no meaning") from None


def _replay(name: str, events: list[Event], steps: bool) -> Operation:
    """What its events come to, perhaps without its steps; ValueError and the like when they are none."""
    first = events[0]
    operation = _begun(name, first, convert(first["plan"], tuple[AnyStep, ...]) if steps else ())
    for event in events[1:]:
        operation = _apply(operation, event, steps)
    if not operation.done | operation.undone <= operation.before.keys():
        raise ValueError("a step that was never begun")
    if not steps:
        return operation
    if not all(0 <= number < len(operation.steps) for number in operation.before):
        raise ValueError("a step that was never planned")
    known = {n: convert(before, operation.steps[n].Before) for n, before in operation.before.items()}
    return replace(operation, before=known)


def _begun(name: str, event: Event, steps: tuple[Deed, ...]) -> Operation:
    return Operation(
        id=name,
        title=str(event["begin"]),
        steps=steps,
        devices=convert(event["devices"], tuple[Address, ...]),
        boot_id=str(event["boot_id"]),
        time=str(event["time"]),
        user=str(event.get("user", "")),
        apply=str(event.get("apply", "")),
        continues=bool(event.get("continues", False)),
        identities=_identities(event),
    )


def _identities(event: Event) -> dict[Address, Identity]:
    """None where an earlier version began it."""
    return convert(event.get("identities", {}), dict[Address, Identity])


def _longer(
    operation: Operation,
    steps: tuple[Deed, ...],
    devices: tuple[Address, ...],
    continues: bool,
    identities: Mapping[Address, Identity],
) -> Operation:
    return replace(
        operation,
        steps=(*operation.steps, *steps),
        devices=tuple(dict.fromkeys((*operation.devices, *devices))),
        continues=continues,
        identities={**identities, **operation.identities},
    )


def _apply(operation: Operation, event: Event, steps: bool = True) -> Operation:
    match event:
        case {"intent": int(number), "before": before}:
            known = {**_identities(event), **operation.identities}
            return replace(operation, before={**operation.before, number: before}, identities=known)
        case {"done": int(number)}:
            return replace(operation, done=operation.done | {number}, pending=None)
        case {"pending": int(), "why": str(why)}:
            return replace(operation, pending=why)
        case {"more": list(rest), "devices": list(devices), "continues": bool(continues)}:
            planned = convert(rest, tuple[AnyStep, ...]) if steps else ()
            more = convert(devices, tuple[Address, ...])
            return _longer(operation, planned, more, continues, _identities(event))
        case {"rolling-back": str()}:
            return replace(operation, rolling_back=True, pending=None)
        case {"undone": int(number)}:
            return replace(operation, undone=operation.undone | {number})
        case {"end": str(result)}:
            return replace(operation, end=result)
        case _:
            raise ValueError("unknown event")
