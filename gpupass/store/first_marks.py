"""What gpupass 0.1 remembered, a record for each kind and device → marks; and in its journals."""

from collections.abc import Iterator
from typing import Any

from gpupass.model.wire import to_json

Json = dict[str, Any]

KINDS = ("origin", "claim", "vfs", "mig", "mdev", "vgpu", "partition", "quarantine")
_FIELDS = {
    "origin": {
        "driver": "driver",
        "override": "override",
        "gpu_uuid": "gpu_uuid",
        "gpu_serial": "gpu_serial",
    },
    "claim": {"domain": "domain", "uuid": "uuid", "alias": "alias", "declared": "declared"},
    "vfs": {"vfs": "vfs", "autoprobe": "autoprobe", "script": "script"},
    "mig": {},
    "mdev": {"part": "name", "type": "type", "params": "params"},
    "vgpu": {"part": "name", "type": "type", "params": "params"},
    "partition": {"compute": "compute", "memory": "memory"},
    "quarantine": {"why": "why", "since": "since"},
}
_TAGS = {
    "vfs": "sriov.made",
    "mig": "mig.made",
    "mdev": "mdev.made",
    "vgpu": "vgpu.made",
    "partition": "partition.made",
}


def marks_of(record: Json) -> Iterator[Json]:
    """GPU instances are a mark each, and MIG mode is one."""
    kind = str(record["kind"])
    mark = {"mark": _TAGS.get(kind, kind), "carrier": record["address"], "boot_id": record.get("boot_id", "")}
    mark |= {new: record[old] for old, new in _FIELDS[kind].items() if old in record}
    if kind == "mig":
        parts = (*record.get("instances", ()), *([""] if record.get("mode") else []))
    else:
        parts = (record.get("mdev") or "",)
    yield from (mark | {"part": part} for part in parts)


class Old:
    """A journal of 0.1: its steps by number, what each had found, and how far it came."""

    def __init__(self, events: list[Json], known: list[Json]) -> None:
        self.events, self.known = events, known
        self.steps = [step for event in events for key in ("plan", "more") for step in event.get(key, ())]
        self.before = {event["intent"]: event["before"] for event in events if "intent" in event}
        self.done = {event["done"] for event in events if "done" in event}
        self.undone = {event["undone"] for event in events if "undone" in event}

    def today(self) -> list[Json]:
        """Its events about the steps of today; their numbers stay."""
        numbers = iter(range(len(self.steps)))
        found = []
        for event in self.events:
            told = {**event}
            for key in ("plan", "more"):
                if key in told:
                    told[key] = [self._step(next(numbers)) for _ in told[key]]
            if "intent" in told:
                told |= self._begun(told["intent"])
            if self._reset_of(told.get("done")) in (None, *self.done):
                found.append(told)
        return found

    def begun(self) -> Iterator[Json]:
        """The marks of what it was about to write: today they come with the intent."""
        open_ones = self.before.keys() - self.done - self.undone
        return (mark for number in sorted(open_ones) for mark in self._marks(number))

    def _step(self, number: int) -> Json:
        step: Json = self.steps[number]
        now: Json = {"step": "Remember", "address": step.get("address", ""), "why": step.get("why", "")}
        match step["step"]:
            case "WriteRecord":
                kept = [_key(mark) for mark in self._marks(number)]
                gone = [key for mark in self._there(number) if (key := _key(mark)) not in kept]
                return now | {"marks": self._marks(number), "forgets": gone}
            case "ResetGpu":
                return now
            case "SetMigMode":
                rest = {key: value for key, value in step.items() if key != "reset_follows"}
                return rest | {"reset": step.get("reset_follows", False)}
            case "Refresh":
                return {key: value for key, value in step.items() if key != "back"}
            case _:
                return dict(step)

    def _begun(self, number: int) -> Json:
        """What a step had found: a record is in its marks now, persistence mode with the MIG mode."""
        before = self.before[number]
        if self.steps[number]["step"] == "WriteRecord":
            there = {tuple(_key(mark)): mark for mark in self._there(number)}
            keys = dict.fromkeys((*there, *(tuple(_key(mark)) for mark in self._marks(number))))
            had = [[*key, to_json(there[key]).decode() if key in there else None] for key in keys]
            return {"before": None, "marks": had}
        if self.steps[number]["step"] == "ResetGpu":
            return {"before": None}
        reset = self._reset_of(number)
        if reset in self.before:
            return {"before": {**before, "persistent": bool(self.before[reset])}}
        return {"before": before}

    def _marks(self, number: int) -> list[Json]:
        record = self.steps[number].get("record")
        return list(marks_of(record)) if record else []

    def _there(self, number: int) -> list[Json]:
        """The marks that were there before it; where it has not begun, those that are there now."""
        step: Json = self.steps[number]
        if number in self.before:
            return list(marks_of(self.before[number])) if self.before[number] else []
        tag = _TAGS.get(step["kind"], step["kind"])
        about = (tag, step["address"])
        parts = None if step["kind"] == "mig" else (step.get("mdev") or "",)
        return [
            mark
            for mark in self.known
            if (mark["mark"], mark["carrier"]) == about and (parts is None or mark["part"] in parts)
        ]

    def _reset_of(self, number: int | None) -> int | None:
        """The reset that makes this MIG mode so."""
        if number is None or not self.steps[number].get("reset_follows"):
            return None
        later = range(number + 1, len(self.steps))
        return next((n for n in later if self.steps[n]["step"] == "ResetGpu"), None)


def _key(mark: Json) -> list[str]:
    return [mark["mark"], mark["carrier"], mark["part"]]
