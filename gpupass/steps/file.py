"""One whole file of the host, replaced or removed."""

from typing import Any, ClassVar

from msgspec import Struct

from gpupass.errors import NeedsPerson
from gpupass.model.boot import HostFile
from gpupass.step import Facts, Kind, Step, facts
from gpupass.system import System


class Content(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file, without its path."""

    text: str
    mode: int


class Before(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None: no file; and the directories that were not there, the deepest first."""

    file: Content | None
    missing: tuple[str, ...]


class WriteFile(Step, frozen=True, kw_only=True):
    """One whole file of the host; `text` None: no such file. `prune`: an empty directory goes with it."""

    path: str
    text: str | None
    mode: int = 0o644
    prune: bool = False

    Before: ClassVar[Any] = Before

    @property
    def target(self) -> str:
        return f"file:{self.path}"

    @property
    def gives(self) -> Facts:
        return facts((Kind.FILE, self.path))

    def words(self) -> str:
        return f"{'remove' if self.text is None else 'write'} {self.path}"

    def seconds(self) -> float:
        return 0.0

    def current(self, system: System) -> Before:
        return Before(file=_data(system.read_file(self.path)), missing=_missing(self.path, system))

    def do(self, system: System, deadline: float) -> None:
        _put(self.path, _wanted(self), system)
        if self.text is None and self.prune:
            system.remove_directory(_parent(self.path))

    def undo(self, before: Any, system: System) -> None:
        """Also when the file is as before already: a crash may have left half of the new one beside it."""
        if _data(system.read_file(self.path)) not in (before.file, _wanted(self)):
            raise NeedsPerson(
                f"cannot put {self.path} back: somebody else has changed it meanwhile", f"ls -l {self.path}"
            )
        _put(self.path, before.file, system)
        for directory in before.missing:
            system.remove_directory(directory)


def _put(path: str, file: Content | None, system: System) -> None:
    if file is None:
        system.remove_file(path)
    else:
        system.write_file(HostFile(path=path, text=file.text, mode=file.mode))


def _wanted(step: WriteFile) -> Content | None:
    return None if step.text is None else Content(text=step.text, mode=step.mode)


def _data(file: HostFile | None) -> Content | None:
    return None if file is None else Content(text=file.text, mode=file.mode)


def _missing(path: str, system: System) -> tuple[str, ...]:
    """The directories that `do` would make, the deepest first."""
    missing = []
    while (path := _parent(path)) and not system.exists(path):
        missing.append(path)
    return tuple(missing)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
