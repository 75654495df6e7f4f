"""The applies of the past in the state directory, one small file each."""

import os
from pathlib import Path
from typing import Any

from msgspec import convert
from msgspec.structs import asdict

from gpupass.model.apply import Apply
from gpupass.model.wire import SCHEMA, from_json, to_json
from gpupass.system.state import set_aside, write_atomically

KEPT = 200


def write_apply(state: Path, apply: Apply) -> None:
    text = to_json({"schema": SCHEMA, **asdict(apply)}, indent=1).decode() + "\n"
    directory = state / "applies"
    write_atomically(directory / f"{apply.id}.json", text)
    for path in sorted(directory.glob("*.json"))[:-KEPT]:
        path.unlink(missing_ok=True)


def read_applies(state: Path) -> tuple[Apply, ...]:
    """Oldest first; a damaged one is set aside."""
    found = (_read(path) for path in sorted((state / "applies").glob("*.json")))
    return tuple(apply for apply in found if apply is not None)


def new_id(state: Path, time: str) -> str:
    """Ids sort by time."""
    stem = time[:19].replace(":", "").replace("-", "")
    number = sum(1 for _ in (state / "applies").glob(f"{stem}-*.json"))
    return f"{stem}-{number:03d}-{os.getpid()}"


def _read(path: Path) -> Apply | None:
    try:
        data: Any = from_json(path.read_bytes(), Any)
        if not isinstance(data, dict) or data.pop("schema", None) != SCHEMA:
            raise ValueError("not of this version")
        apply: Apply = convert(data, Apply)
        if apply.id != path.stem:
            raise ValueError("of another name")
        return apply
    except OSError:
        return None
    except (ValueError, RecursionError):
        set_aside(path)
        return None
