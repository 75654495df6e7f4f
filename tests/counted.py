"""What is asked of a machine's files, by whom: a look, or one kind of step."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gpupass.kinds import STEPS
from gpupass.observe import observe
from gpupass.system import System

READS, LISTS = "read_bytes", "names"


class Asked:
    """Every file read and directory listed, in order, with what asked for it."""

    def __init__(self, monkeypatch, machine: System) -> None:
        self.asked: list[tuple[str, str, str]] = []  # who, read_bytes or names, path
        self.looks = 0
        self._who = ["verb"]
        for what in (READS, LISTS):
            monkeypatch.setattr(machine, what, self._told(what, getattr(machine, what)))
        for room in ("look", "reach"):
            monkeypatch.setattr(f"gpupass.app.{room}.observe", self.look)
        for step in STEPS:
            for what in ("current", "do"):
                monkeypatch.setattr(step, what, self._by(step.__name__, getattr(step, what)))

    def reads(self) -> Counter[str]:
        """Files read, by who asked."""
        return Counter(who for who, what, _ in self.asked if what == READS)

    def twice(self, *what: str) -> list[tuple[str, str, str]]:
        """What one and the same look asked for again, of reads or lists."""
        return [
            asked
            for asked, times in Counter(self.asked).items()
            if times > 1 and "look" in asked[0] and asked[1] in what
        ]

    def _told(self, what: str, real: Callable) -> Callable:
        def ask(path: str, *arguments: object, **more: object) -> object:
            self.asked.append((self._who[-1], what, path))
            return real(path, *arguments, **more)

        return ask

    def look(self, *arguments: object, **more: object) -> object:
        self.looks += 1
        with self._as(f"look {self.looks}"):
            return observe(*arguments, **more)

    def _by(self, who: str, real: Callable) -> Callable:
        def call(*arguments: object) -> object:
            with self._as(who):
                return real(*arguments)

        return call

    @contextmanager
    def _as(self, who: str) -> Iterator[None]:
        self._who.append(who)
        try:
            yield
        finally:
            self._who.pop()
