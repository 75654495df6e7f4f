"""Reads that may never return, of the live machine: what does not answer is told, and not asked twice."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from gpupass.system.may_hang import owner
from gpupass.system.patience import lost, patience
from gpupass.system.reading_child import How, ReadingChild, Unread

_SECONDS = 5.0


class Reads:
    """Whoever reads of one System shares one child."""

    def __init__(self) -> None:
        self._child = ReadingChild()
        self._silent: dict[str, Unread] = {}  # by device or process
        self._looks = threading.local()

    def read(self, paths: Sequence[str], limit: int) -> list[bytes | None]:
        """Unread where one does not answer; within `looking` that is noted, and None."""
        return self._ask(paths, limit, How.READ)

    def opened(self, processes: Sequence[str], limit: int) -> list[bytes | None]:
        """The same of what processes have open."""
        return self._ask(processes, limit, How.OPENED)

    def _ask(self, paths: Sequence[str], limit: int, how: How) -> list[bytes | None]:
        asked = [path for path in paths if self.answers(path)]
        found: dict[str, bytes | None] = {}
        for path, answer in zip(
            asked, self._child.read(asked, limit, partial(patience, _SECONDS), how), strict=True
        ):
            if isinstance(answer, Unread):
                lost(answer.seconds)
                self._silent[owner(path)] = answer
            else:
                found[path] = answer
        for path in paths:
            if path not in found:
                self._note(self._silent[owner(path)])
        return [found.get(path) for path in paths]

    def answers(self, path: str) -> bool:
        return owner(path) not in self._silent

    @contextmanager
    def looking(self) -> Iterator[list[str]]:
        """From here on everything is asked again; what does not answer gets into the list."""
        before = getattr(self._looks, "notes", None)
        notes: list[str] = []
        self._looks.notes = notes
        self._silent.clear()
        try:
            yield notes
        finally:
            self._looks.notes = before

    def close(self) -> None:
        self._child.close()

    def _note(self, silent: Unread) -> None:
        notes: list[str] | None = getattr(self._looks, "notes", None)
        if notes is None:
            raise silent.not_clean() or silent
        if silent.message not in notes:
            notes.append(silent.message)
