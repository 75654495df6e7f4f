"""A call into a C library that waits on a socket: on a thread that may be left behind, for no signal ends it.

A thread in uninterruptible sleep would keep the whole process: for calls into the kernel see guarded.py.
"""

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NoAnswer(Exception):
    """Private to this package: nothing came in time; the thread waits on."""


def in_time(call: Callable[[], T], seconds: float) -> T:
    """What `call` returns or raises; NoAnswer after `seconds`. The caller stays interruptible."""
    answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put((call(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=ask, name="may-hang", daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise NoAnswer from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]  # a value or an error
