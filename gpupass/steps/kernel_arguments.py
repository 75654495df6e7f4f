"""More words on the command line of every kernel that grubby knows."""

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from msgspec import Struct

from gpupass.step import Step
from gpupass.system import System

_ENTRY = re.compile(r'^kernel="?([^"\n]+)"?$.*?^args="?([^\n]*?)"?$', re.MULTILINE | re.DOTALL)
_WORD = re.compile(r"[\w.,:=/+-]+")
_SECONDS = 120.0


class Told(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kernel by its path, and which of the words it had already."""

    kernel: str
    words: tuple[str, ...]


class AddKernelArguments(Step, frozen=True, kw_only=True):
    """grubby --update-kernel=ALL --args=… ValueError: a word that is none."""

    arguments: tuple[str, ...]

    Before: ClassVar[Any] = tuple[Told, ...]

    def __post_init__(self) -> None:
        if not all(map(_WORD.fullmatch, self.arguments)):
            raise ValueError(f"{self.arguments!r} are no words of a command line")

    @property
    def target(self) -> str:
        return "kernel:arguments"

    def words(self) -> str:
        return f"tell every kernel {' '.join(self.arguments)}"

    def seconds(self) -> float:
        return 2.0

    def current(self, system: System) -> tuple[Told, ...]:
        return tuple(self._told(system))

    def _told(self, system: System) -> Iterator[Told]:
        for kernel, args in _ENTRY.findall(system.run("grubby", "--info=ALL", timeout=_SECONDS)):
            had = {*args.split()}
            yield Told(kernel=kernel, words=tuple(word for word in self.arguments if word in had))

    def do(self, system: System, deadline: float) -> None:
        _grubby(system, "ALL", "--args", self.arguments)

    def undo(self, before: Any, system: System) -> None:
        """From each kernel what it has got; one that was installed meanwhile keeps what it came with."""
        for told in before:
            new = tuple(word for word in self.arguments if word not in told.words)
            _grubby(system, told.kernel, "--remove-args", new)


def _grubby(system: System, kernel: str, option: str, words: tuple[str, ...]) -> None:
    if words:
        system.run("grubby", f"--update-kernel={kernel}", f"{option}={' '.join(words)}", timeout=_SECONDS)
