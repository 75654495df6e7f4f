"""Signals while the host is changed: the first is heeded before the next step, the second ends us at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import FrameType

from gpupass.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_asked = threading.Event()
_heeded = ContextVar("heeded", default=False)  # each thread has its own
_FIRST = b"stopping before the next step, to roll back; a second signal ends it at once\n"
_SECOND = b"ended at once, in the middle of a change\nhint: gpupass recover\n"


def asked() -> bool:
    """Is somebody waiting for the change to stop?"""
    return _asked.is_set() and not _heeded.get()


def heed(what: str) -> None:
    """Interrupted where somebody waits for that: before each step, and while one waits for others."""
    if asked():
        raise Interrupted(f"interrupted: {what}: what had begun is rolled back")


@contextmanager
def heeded() -> Iterator[None]:
    """Within, what was asked for is being done: the way back waits for others as long as it must."""
    before = _heeded.set(True)
    try:
        yield
    finally:
        _heeded.reset(before)


@contextmanager
def deferred() -> Iterator[None]:
    """What runs within asks `asked` before each step; so do its threads, which get no signals."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is _heard:
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _heard)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()


def _heard(number: int, frame: FrameType | None) -> None:
    again = _asked.is_set()
    _asked.set()
    with suppress(OSError):  # the terminal is gone
        os.write(2, _SECOND if again else _FIRST)
    if again:
        os._exit(128 + number)
