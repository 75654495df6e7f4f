"""The write-ahead journal: one file per operation, one JSON line per event, fsynced before the deed.

What only says that a deed is over need not be: a power cut loses it, but then the boot id has changed.
Lines: begin (plan, devices, boot id) · intent N (value before) · done N · pending N · more (the rest of a
plan that continues) · rolling-back · undone N · end.
Only whole lines count; a torn tail is cut before the next line is written.
"""

import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from msgspec import Struct, convert, field
from msgspec.structs import replace

from gpupass.errors import GpupassError, Refused
from gpupass.kinds import AnyStep
from gpupass.model.address import BOOT, Address
from gpupass.model.wire import SCHEMA, from_json, to_json
from gpupass.plan import Plan
from gpupass.step import Deed
from gpupass.system import System
from gpupass.system.state import ensure_directory, set_aside, sync_directory

KEPT = 1000  # operations in the history
CRASH = "GPUPASS_CRASH"  # fault injection: "3" dies after this process's third line, "3-" just before it
_lines: dict[int, int] = {}  # written so far, by process: a fork starts anew


class Operation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One journal file, read: what was planned, how far it came, how it ended."""

    path: Path
    title: str
    steps: tuple[Deed, ...]
    devices: tuple[Address, ...]
    boot_id: str
    time: str
    user: str = ""  # who asked for it
    apply: str = ""  # the apply it belongs to
    continues: bool = False  # what it made is no end: more steps follow
    lines: int = 1
    before: dict[int, Any] = field(default_factory=dict)  # intents
    done: frozenset[int] = frozenset()
    rolling_back: bool = False
    undone: frozenset[int] = frozenset()
    pending: str | None = None
    end: str | None = None  # done, rolled-back, partly, needs-person, replaced, reboot

    @property
    def id(self) -> str:
        return self.path.stem

    def ended_by_reboot(self, boot_id: str) -> bool:
        """The kernel and its guests have forgotten what it did to them; files have not."""
        return self.boot_id != boot_id and BOOT not in self.devices


def begin(system: System, plan: Plan, apply: str = "") -> Operation:
    """A new journal file with the whole plan in it; nobody ever sees it without its first line."""
    operation = Operation(
        path=system.state / "journal",
        title=plan.title,
        steps=plan.steps,
        devices=plan.devices,
        boot_id=system.boot_id(),
        time=system.now(),
        user=system.user(),
        apply=apply,
        continues=plan.continues,
    )
    line = {
        "schema": SCHEMA,
        "begin": plan.title,
        "plan": plan.steps,
        "devices": plan.devices,
        "boot_id": operation.boot_id,
        "time": operation.time,
        "user": operation.user,
        "apply": apply,
        "continues": plan.continues,
    }
    number = _next_line()
    _crash_at(f"{number}-")
    directory = ensure_directory(operation.path)
    try:
        path = _create(directory, operation.time, to_json(line) + b"\n")
    except OSError as error:
        raise GpupassError(f"cannot write the journal in {directory}: {error.strerror}") from None
    _crash_at(str(number))
    return replace(operation, path=path)


def _create(directory: Path, time: str, data: bytes) -> Path:
    """Written under another name first: who looks for unfinished operations must not find half a line."""
    temporary = directory / f".{os.getpid()}-{threading.get_ident()}.new"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            _write_whole(fd, data, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        for number in count():
            path = directory / f"{time[:19].replace(':', '').replace('-', '')}-{os.getpid()}-{number}.jsonl"
            if (_history(directory) / path.name).exists():
                continue
            try:
                path.hardlink_to(temporary)
                break
            except FileExistsError:
                continue
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(directory)
    return path


def _history(directory: Path) -> Path:
    return directory.parent / "history"


def intent(operation: Operation, number: int, before: Any) -> Operation:
    return replace(
        _append(operation, {"intent": number, "before": before}),
        before={**operation.before, number: before},
    )


def done(operation: Operation, number: int) -> Operation:
    return replace(
        _append(operation, {"done": number}, sync=False), done=operation.done | {number}, pending=None
    )


def pending(operation: Operation, number: int, why: str) -> Operation:
    return replace(_append(operation, {"pending": number, "why": why}), pending=why)


def more(operation: Operation, plan: Plan) -> Operation:
    """What a fresh look planned on with; its steps are numbered on."""
    line = {
        "more": plan.steps,
        "devices": plan.devices,
        "continues": plan.continues,
    }
    return _longer(_append(operation, line), plan.steps, plan.devices, plan.continues)


def _longer(
    operation: Operation, steps: tuple[Deed, ...], devices: tuple[Address, ...], continues: bool
) -> Operation:
    return replace(
        operation,
        steps=(*operation.steps, *steps),
        devices=tuple(dict.fromkeys((*operation.devices, *devices))),
        continues=continues,
    )


def rolling_back(operation: Operation, why: str) -> Operation:
    """Before the first undo: from here on there is no way forward, whatever was done."""
    return replace(_append(operation, {"rolling-back": why}), rolling_back=True, pending=None)


def undone(operation: Operation, number: int) -> Operation:
    return replace(_append(operation, {"undone": number}, sync=False), undone=operation.undone | {number})


def unbegun(operation: Operation) -> Operation:
    """All of it is undone, and there is no room to say so: its first line alone says it, too."""
    try:
        fd = os.open(operation.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, os.pread(fd, 1 << 24, 0).find(b"\n") + 1)
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise GpupassError(f"cannot write the journal {operation.path}: {error.strerror}") from None
    return replace(operation, lines=1, before={}, done=frozenset(), undone=frozenset(), rolling_back=False)


def end(operation: Operation, result: str, why: str = "") -> Operation:
    """The last line; then the file moves to the history, so that open operations stay few."""
    return _file(replace(_append(operation, {"end": result, "why": why}), end=result))


def open_operations(system: System) -> Iterator[Operation]:
    """Every operation without an end, oldest first; a damaged journal is set aside under another name."""
    directory = system.state / "journal"
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208 - glob hides that we may not look
    except FileNotFoundError:
        return
    except OSError as error:
        raise Refused(
            f"cannot read the journal in {directory}: {error.strerror}", "run it with sudo"
        ) from None
    _sweep(directory, names)
    for path in (directory / name for name in names if name.endswith(".jsonl")):
        operation = read(path)
        if operation is not None and operation.end is not None:
            _file(operation)
        elif operation is not None:
            yield operation


def _sweep(directory: Path, names: list[str]) -> None:
    """Half-made journals of processes that were killed; their plans were never begun."""
    for name in names:
        pid = name.removeprefix(".").partition("-")[0]
        if name.endswith(".new") and pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            with suppress(OSError):
                (directory / name).unlink()


def _file(operation: Operation) -> Operation:
    """Into the history; another gpupass may have put it there already."""
    history = ensure_directory(_history(operation.path.parent))
    path = history / operation.path.name
    try:
        operation.path.rename(path)
        sync_directory(history)
        _prune(history)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise GpupassError(f"cannot keep {path}: {error.strerror}") from None
    return replace(operation, path=path)


def _prune(history: Path) -> None:
    """The oldest go: names begin with the time."""
    names = sorted(name for name in os.listdir(history) if name.endswith(".jsonl"))  # noqa: PTH208
    for name in names[:-KEPT]:
        (history / name).unlink(missing_ok=True)


def ended_operations(system: System) -> Iterator[Operation]:
    """What the history keeps, oldest first."""
    for path in sorted((system.state / "history").glob("*.jsonl")):
        operation = read(path)
        if operation is not None:
            yield operation


def read(path: Path) -> Operation | None:
    """None when another gpupass has ended it meanwhile, or when it is no journal and was set aside."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        data = b""
    whole = data[: data.rfind(b"\n") + 1]
    try:
        lines = [from_json(line, Any) for line in whole.splitlines()]
        operation = _first(path, lines[0])
        for line in lines[1:]:
            operation = _apply(operation, line)
        known: dict[int, Any] = {}
        for number, before in operation.before.items():
            if not 0 <= number < len(operation.steps):
                raise ValueError("a step that was never planned")
            known[number] = convert(before, operation.steps[number].Before)
        if not operation.done | operation.undone <= operation.before.keys():
            raise ValueError("a step that was never begun")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        set_aside(path)
        return None
    return replace(operation, lines=len(lines), before=known)


def _first(path: Path, line: dict[str, Any]) -> Operation:
    if line["schema"] != SCHEMA:
        raise ValueError("not of this version")
    return Operation(
        path=path,
        title=str(line["begin"]),
        steps=convert(line["plan"], tuple[AnyStep, ...]),
        devices=convert(line["devices"], tuple[Address, ...]),
        boot_id=str(line["boot_id"]),
        time=str(line["time"]),
        user=str(line.get("user", "")),
        apply=str(line.get("apply", "")),
        continues=bool(line.get("continues", False)),
    )


def _apply(operation: Operation, line: dict[str, Any]) -> Operation:
    match line:
        case {"intent": int(number), "before": before}:
            return replace(operation, before={**operation.before, number: before})
        case {"done": int(number)}:
            return replace(operation, done=operation.done | {number}, pending=None)
        case {"pending": int(), "why": str(why)}:
            return replace(operation, pending=why)
        case {"more": list(steps), "devices": list(devices), "continues": bool(continues)}:
            planned, touched = convert(steps, tuple[AnyStep, ...]), convert(devices, tuple[Address, ...])
            return _longer(operation, planned, touched, continues)
        case {"rolling-back": str()}:
            return replace(operation, rolling_back=True, pending=None)
        case {"undone": int(number)}:
            return replace(operation, undone=operation.undone | {number})
        case {"end": str(result)}:
            return replace(operation, end=result)
        case _:
            raise ValueError("unknown line")


def _append(operation: Operation, line: dict[str, Any], sync: bool = True) -> Operation:
    number = _next_line()
    _crash_at(f"{number}-")
    try:
        fd = os.open(operation.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            data = os.pread(fd, 1 << 24, 0)
            whole = data.rfind(b"\n") + 1
            if whole != len(data):
                os.ftruncate(fd, whole)
            _write_whole(fd, to_json(line) + b"\n", whole)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise GpupassError(f"cannot write the journal {operation.path}: {error.strerror}") from None
    _crash_at(str(number))
    return replace(operation, lines=operation.lines + 1)


def _next_line() -> int:
    number = _lines[os.getpid()] = _lines.get(os.getpid(), 0) + 1
    return number


def _write_whole(fd: int, data: bytes, offset: int) -> None:
    """A disk that fills up takes a part of the line without complaint."""
    if os.pwrite(fd, data, offset) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _crash_at(point: str) -> None:
    if os.environ.get(CRASH) == point:
        os.kill(os.getpid(), signal.SIGKILL)
