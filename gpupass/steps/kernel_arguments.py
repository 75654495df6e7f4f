"""Words on the command line of every kernel that grubby knows."""

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from msgspec import Struct

from gpupass.step import Step
from gpupass.system import System

_ENTRY = re.compile(r'^kernel="?([^"\n]+)"?$.*?^args="?([^\n]*?)"?$', re.MULTILINE | re.DOTALL)
WORD = re.compile(r"[\w.,:=/+-]+")  # what no shell and no boot loader takes for anything else
_SECONDS = 120.0


class Told(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kernel by its path, and which of the words it had already."""

    kernel: str
    words: tuple[str, ...]


class SetKernelArguments(Step, frozen=True, kw_only=True):
    """grubby --update-kernel=ALL. ValueError: a word that is none."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()

    Before: ClassVar[Any] = tuple[Told, ...]

    def __post_init__(self) -> None:
        words = (*self.add, *self.remove)
        if not words or not all(map(WORD.fullmatch, words)):
            raise ValueError(f"{words!r} are no words of a command line")

    @property
    def target(self) -> str:
        return "kernel:arguments"

    def words(self) -> str:
        told = f"tell every kernel {' '.join(self.add)}" if self.add else ""
        taken = f"no longer tell any kernel {' '.join(self.remove)}" if self.remove else ""
        return ", and ".join(filter(None, (told, taken)))

    def seconds(self) -> float:
        return 2.0

    def current(self, system: System) -> tuple[Told, ...]:
        return tuple(self._told(system))

    def _told(self, system: System) -> Iterator[Told]:
        for kernel, args in _ENTRY.findall(system.run("grubby", "--info=ALL", timeout=_SECONDS)):
            had = {*args.split()}
            words = tuple(word for word in (*self.add, *self.remove) if word in had)
            yield Told(kernel=kernel, words=words)

    def do(self, system: System, deadline: float) -> None:
        _grubby(system, "ALL", self.add, self.remove)

    def undo(self, before: Any, system: System) -> None:
        """Each kernel as it was; one that was installed meanwhile keeps what it came with."""
        for told in before:
            taken = tuple(word for word in self.remove if word in told.words)
            new = tuple(word for word in self.add if word not in told.words)
            _grubby(system, told.kernel, taken, new)


def _grubby(system: System, kernel: str, add: tuple[str, ...], remove: tuple[str, ...]) -> None:
    options = [f"--args={' '.join(add)}"] if add else []
    options += [f"--remove-args={' '.join(remove)}"] if remove else []
    if options:
        system.run("grubby", f"--update-kernel={kernel}", *options, timeout=_SECONDS)
