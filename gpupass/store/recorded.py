"""The marks of a recorded host: a file of their own, as its store is a machine's and never copied."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gpupass.errors import Damaged
from gpupass.model.mark import Mark
from gpupass.model.wire import from_json, to_json
from gpupass.store import marks

if TYPE_CHECKING:
    from gpupass.store.database import Commit

FILE = "marks.json"


def spell(known: Iterable[Mark]) -> str:
    return to_json(tuple(known), indent=1).decode() + "\n"


def is_there(state: Path) -> bool:
    return (state / FILE).is_file()


def take_over(commit: "Commit", state: Path) -> None:
    """Damaged where it cannot be read."""
    from gpupass.kinds import AnyMark

    path = state / FILE
    try:
        marks.put(commit, *from_json(path.read_bytes(), tuple[AnyMark, ...]))
    except (ValueError, RecursionError, OSError):
        raise Damaged(path, "it holds no marks") from None
