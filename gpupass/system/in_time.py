"""A call into a C library that waits on a socket: on a thread that may be left behind, for no signal ends it.

A thread in uninterruptible sleep would keep the whole process: for calls into the kernel see guarded.py.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
Answer = tuple[Any, BaseException | None]
_A_MOMENT = 0.2


class NoAnswer(Exception):
    """Private to this package: nothing came in time; the thread waits on."""


def in_time(call: Callable[[], T], seconds: float) -> T:
    """What `call` returns or raises; NoAnswer after `seconds`. The caller stays interruptible."""
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put((call(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=ask, name="may-hang", daemon=True).start()
    answer, error = _first_of(answers, time.monotonic() + seconds)
    if error is not None:
        raise error
    found: T = answer
    return found


def _first_of(answers: "queue.SimpleQueue[Answer]", deadline: float) -> Answer:
    """In short waits: the kernel may hand a signal to another thread, which does not end this one's wait."""
    while True:
        left = deadline - time.monotonic()
        try:
            return answers.get(timeout=max(0.0, min(left, _A_MOMENT)))
        except queue.Empty:
            if left <= 0:
                raise NoAnswer from None
