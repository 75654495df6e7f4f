"""One whole file of the host, replaced or removed."""

from typing import Any, TypedDict

from gpupass.errors import NeedsPerson
from gpupass.model.boot import HostFile
from gpupass.model.step import WriteFile
from gpupass.system import System


class Content(TypedDict):
    """A file, without its path."""

    text: str
    mode: int


class Before(TypedDict):
    """None: no file; and the directories that were not there, the deepest first."""

    file: Content | None
    missing: tuple[str, ...]


def current(step: WriteFile, system: System) -> dict[str, Any]:
    return {"file": _data(system.read_file(step.path)), "missing": _missing(step.path, system)}


def do(step: WriteFile, system: System) -> None:
    _put(step.path, _wanted(step), system)
    if step.text is None and step.prune:
        system.remove_directory(_parent(step.path))


def undo(step: WriteFile, before: Any, system: System) -> None:
    """Also when the file is as before already: a crash may have left half of the new one beside it."""
    if _data(system.read_file(step.path)) not in (before["file"], _wanted(step)):
        raise NeedsPerson(
            f"cannot put {step.path} back: somebody else has changed it meanwhile", f"ls -l {step.path}"
        )
    _put(step.path, before["file"], system)
    for directory in before["missing"]:
        system.remove_directory(directory)


def _put(path: str, file: dict[str, Any] | None, system: System) -> None:
    if file is None:
        system.remove_file(path)
    else:
        system.write_file(HostFile(path=path, text=file["text"], mode=file["mode"]))


def _wanted(step: WriteFile) -> dict[str, Any] | None:
    return None if step.text is None else {"text": step.text, "mode": step.mode}


def _data(file: HostFile | None) -> dict[str, Any] | None:
    return None if file is None else {"text": file.text, "mode": file.mode}


def _missing(path: str, system: System) -> list[str]:
    """The directories that `do` would make, the deepest first."""
    missing = []
    while (path := _parent(path)) and not system.exists(path):
        missing.append(path)
    return missing


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
