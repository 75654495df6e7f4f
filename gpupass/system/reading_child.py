"""Files whose reading may never return: of a driver's own, a dead device's, a stuck process's.

A child reads them on request, and is left behind with the one that hangs; another takes its place.
"""

import os
import select
import signal
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import NoReturn

from gpupass.errors import GpupassError, NotClean
from gpupass.model.address import parse_address
from gpupass.system.guarded import DESCRIPTORS, reap
from gpupass.system.may_hang import owner
from gpupass.system.opened import opened
from gpupass.system.reader import follows, read_regular

_REQUEST = struct.Struct("<HIB")  # length of the path that comes after it; limit, How
_ANSWER = struct.Struct("<q")  # length; below zero: cannot be read
_ENDING = 1.0  # seconds
_AT_ONCE = 64  # requests; their paths fit into a pipe, so that nobody waits for the other


class How(IntEnum):
    """What is asked of a path."""

    READ = 0
    OPENED = 1  # of /proc/PID: what that process has open


class Unread(GpupassError):
    """A file did not answer."""

    kind = "no-answer"
    retryable = True

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__(f"{path} does not answer (asked for {seconds:g} s)", "dmesg | tail")
        self.seconds = seconds
        self._address = parse_address(owner(path).rpartition("/")[2])

    def not_clean(self) -> NotClean | None:
        """For whoever is about to change the device that it is a file of."""
        if self._address is None:
            return None
        clear = f"reboot, then: gpupass quarantine clear {self._address}"
        return NotClean(self._address, self.message, clear)


Answer = bytes | Unread | None


class ReadingChild:
    """One thread at a time asks it: it answers within microseconds or never."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._pid = self._requests = self._answers = -1

    def read(
        self, paths: Sequence[str], limit: int, patience: Callable[[], float], how: How = How.READ
    ) -> Iterator[Answer]:
        """An answer for each path, in order: bytes, None when it cannot be read, Unread when it hangs."""
        with self._asking:
            left, at_once = list(paths), _AT_ONCE
            while left:
                asked = left[:at_once]
                try:
                    self._ask(asked, limit, how)
                except OSError:  # somebody has ended it since
                    self._leave()
                    self._ask(asked, limit, how)
                for path in asked:
                    try:
                        answer = self._answer(path, patience())
                    except OSError:  # a read has killed it, this one or a later one: which, is to be seen
                        self._leave()
                        if at_once > 1:
                            at_once = 1
                            break
                        answer = None
                    left.pop(0)
                    yield answer
                    if self._pid < 0:  # left behind, with what else it was asked
                        break

    def close(self) -> None:
        """One that hangs is left behind."""
        with self._asking:
            pid = self._pid
            self._leave()
        if pid >= 0:
            reap(pid, _ENDING)

    def _ask(self, paths: Sequence[str], limit: int, how: How) -> None:
        if self._pid < 0:
            self._start()
        encoded = (os.fsencode(path) for path in paths)
        os.write(
            self._requests,
            b"".join(_REQUEST.pack(len(path), limit, how) + path for path in encoded),
        )

    def _answer(self, path: str, seconds: float) -> Answer:
        waiting = select.poll()
        waiting.register(self._answers, select.POLLIN)
        if not waiting.poll(seconds * 1000):
            self._leave()
            return Unread(path, seconds)
        (length,) = _ANSWER.unpack(_exactly(self._answers, _ANSWER.size))
        return _exactly(self._answers, length) if length >= 0 else None

    def _start(self) -> None:
        theirs, self._requests = os.pipe2(os.O_CLOEXEC)
        self._answers, answers = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            _serve(theirs, answers)
        os.close(theirs)
        os.close(answers)

    def _leave(self) -> None:
        if self._pid >= 0:
            os.close(self._requests)
            os.close(self._answers)
            os.kill(self._pid, signal.SIGKILL)
            self._pid = -1


def _regular(path: str, limit: int) -> bytes | None:
    return read_regular(path, limit, follow=follows(path))


def _exactly(pipe: int, length: int) -> bytes:
    """OSError when the other side is gone."""
    parts = []
    while length > 0:
        part = os.read(pipe, length)
        if not part:
            raise BrokenPipeError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _serve(requests: int, answers: int) -> NoReturn:
    """It ends with its parent, and holds nothing of its."""
    try:
        os.setsid()
        low, high = sorted((requests, answers))
        os.closerange(0, low)
        os.closerange(low + 1, high)
        os.closerange(high + 1, DESCRIPTORS)
        while True:
            length, limit, how = _REQUEST.unpack(_exactly(requests, _REQUEST.size))
            path = os.fsdecode(_exactly(requests, length))
            try:
                data = opened(path, limit) if how == How.OPENED else _regular(path, limit)
            except OSError:
                data = None
            answer = _ANSWER.pack(-1 if data is None else len(data)) + (data or b"")
            while answer:
                answer = answer[os.write(answers, answer) :]
    finally:
        os._exit(0)
