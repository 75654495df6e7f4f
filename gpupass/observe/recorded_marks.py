"""What gpupass remembered on a recorded host: files of a stranger, never a store."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from msgspec import convert

from gpupass.errors import GpupassError
from gpupass.kinds import AnyMark
from gpupass.model.mark import Mark
from gpupass.model.wire import to_json
from gpupass.observe.recorded import load
from gpupass.store.first_marks import KINDS, Json
from gpupass.store.first_version import marks_in
from gpupass.system import Reader
from gpupass.system.door import STATE

FILE = "marks.json"


def spell_marks(known: Iterable[Mark]) -> str:
    return to_json(tuple(known), indent=1).decode() + "\n"


def read_marks(system: Reader) -> tuple[tuple[Mark, ...], tuple[str, ...]]:
    """What gpupass remembered on it, and why that cannot be seen."""
    try:
        if system.exists(f"{STATE}/{FILE}"):
            return load(system, f"{STATE}/{FILE}", _shape, ()), ()
        return _shape(_first_marks(system)), ()
    except GpupassError as error:
        return (), (f"{error.message}: {error.hint}",)


def _shape(data: Any) -> tuple[Mark, ...]:
    return convert(data, tuple[AnyMark, ...])


def _first_marks(system: Reader) -> list[Json]:
    """As gpupass 0.1 recorded them."""
    return [
        mark
        for kind in KINDS
        for name in system.names(f"{STATE}/{kind}")
        if name.endswith(".json")
        for mark in load(system, f"{STATE}/{kind}/{name}", partial(_of_first, name, kind), None)
    ]


def _of_first(name: str, kind: str, data: Any) -> list[Json]:
    if data.pop("schema") != 1:
        raise ValueError("not of the first version")
    return marks_in(name.removesuffix(".json"), kind, to_json(data).decode())
