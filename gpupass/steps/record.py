"""gpupass's own memory of a device: one file per kind and address."""

from typing import Any

from msgspec import convert

from gpupass.model.record import Record
from gpupass.model.step import WriteRecord
from gpupass.model.wire import from_json, to_json
from gpupass.system import System
from gpupass.system.state import read_record, record_path, remove, write_record


def current(step: WriteRecord, system: System) -> Any:
    return from_json(to_json(read_record(system.state, step.kind, step.address, step.mdev)), Any)


def do(step: WriteRecord, system: System) -> None:
    _store(step, step.record, system)


def undo(step: WriteRecord, before: Any, system: System) -> None:
    _store(step, None if before is None else convert(before, Record), system)


def _store(step: WriteRecord, record: Record | None, system: System) -> None:
    if record is None:
        remove(record_path(system.state, step.kind, step.address, step.mdev))
    else:
        write_record(system.state, record)
