"""gpupass's own files: root-only, replaced atomically, a damaged one set aside and said so."""

import os
from pathlib import Path
from typing import Any

from msgspec import convert
from msgspec.structs import asdict

from gpupass.errors import GpupassError, Refused
from gpupass.model.record import Record, RecordKind
from gpupass.model.wire import SCHEMA, from_json, to_json


def ensure_directory(path: Path) -> Path:
    """The directory, root-only as those it makes above it; GpupassError when it cannot be made."""
    try:
        missing = [path, *(above for above in path.parents if not above.exists())]
        for directory in reversed(missing):
            directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise GpupassError(
            f"cannot keep state in {path}: {error.strerror}", "run it as root: sudo gpupass …"
        ) from None
    return path


def write_atomically(path: Path, text: str) -> None:
    """Temporary file, fsync, rename, fsync of the directory: after a crash the old or the new one."""
    ensure_directory(path.parent)
    temporary = path.with_name(f".{path.name}.new")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise GpupassError(f"cannot write {path}: {error.strerror}") from None


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_directory(path.parent)
    except OSError as error:
        raise GpupassError(f"cannot remove {path}: {error.strerror}") from None


def set_aside(path: Path) -> Path:
    """Keep a damaged file under another name, so that it is neither trusted nor lost."""
    number = 0
    while (aside := path.with_name(f"{path.name}.damaged{number or ''}")).exists():
        number += 1
    import logging

    try:
        path.rename(aside)
    except OSError as error:  # not ours to move: it stays, and stays untrusted
        logging.getLogger("gpupass").warning("gpupass: %s is damaged (%s)", path, error.strerror)
        return path
    logging.getLogger("gpupass").warning("gpupass: %s is damaged; it is kept as %s", path, aside)
    return aside


def require_readable(state: Path) -> None:
    """Refused where an ordinary user would otherwise be told that there is nothing."""
    for kind in RecordKind:
        try:
            os.listdir(state / kind.value)  # noqa: PTH208 - Path.glob hides a directory that is closed to us
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Refused(f"cannot read {state / kind.value}: {error.strerror}", "run it with sudo") from None


def record_path(state: Path, kind: RecordKind, address: str, mdev: str | None = None) -> Path:
    return state / kind.value / f"{address}{f'+{mdev}' if mdev else ''}.json"


def read_record(state: Path, kind: RecordKind, address: str, mdev: str | None = None) -> Record | None:
    """None when there is none; a damaged one is set aside (ValueError never leaves this module)."""
    path = record_path(state, kind, address, mdev)
    try:
        text = path.read_bytes()
    except (FileNotFoundError, PermissionError):
        return None
    except OSError as error:
        raise GpupassError(f"cannot read {path}: {error.strerror}") from None
    try:
        data: Any = from_json(text, Any)
        if not isinstance(data, dict) or data.pop("schema", None) != SCHEMA:
            raise ValueError("not of this version")
        record: Record = convert(data, Record)
        if (record.kind, record.address, record.mdev) != (kind, address, mdev):
            raise ValueError("about something else")
        return record
    except (ValueError, RecursionError):
        set_aside(path)
        return None


def write_record(state: Path, record: Record) -> None:
    text = to_json({"schema": SCHEMA, **asdict(record)}, indent=1).decode() + "\n"
    write_atomically(record_path(state, record.kind, record.address, record.mdev), text)


def read_records(state: Path) -> tuple[Record, ...]:
    found = []
    for kind in RecordKind:
        directory = state / kind.value
        try:
            paths = sorted(directory.glob("*.json"))
        except PermissionError:
            continue
        for path in paths:
            address, _, mdev = path.stem.partition("+")
            record = read_record(state, kind, address, mdev or None)
            if record is not None:
                found.append(record)
    return tuple(found)
