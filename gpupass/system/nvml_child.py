"""The process that calls NVML: an ioctl in uninterruptible sleep can be left behind only with its process.

Each request is a function of this package, which gets what is open there, and its arguments; it runs on a
thread of its own, so that one GPU does not wait for another. What it has learned comes back with the answer.
"""

import os
import pickle
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NoReturn, Protocol

from gpupass.errors import GpupassError
from gpupass.system.guarded import DESCRIPTORS, HELPERS, Hung, reap, sleeps_in

_ENDING = 10.0  # seconds until it has closed every GPU
_LARGEST = 1 << 20  # of a request


class Inside(Protocol):
    """What is open there."""

    def news(self) -> Any:
        """What was learned since this was asked last; None: nothing."""
        ...

    def close(self) -> None: ...


class Child:
    """`inside` is what it works on; `learn` gets here what it has learned there."""

    def __init__(self, inside: Inside, learn: Callable[[Any], None]) -> None:
        self.calls = 0  # that wait for it
        self._learn = learn
        self._sending = threading.Lock()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            _serve(theirs, inside)
        theirs.close()
        HELPERS.add(self.pid)
        self._requests = ours

    def answers(
        self, call: Callable[..., Any], arguments: tuple[object, ...], seconds: float
    ) -> Iterator[Any]:
        """What `call` yields there, one by one, each within `seconds`; Hung when it does not come in time."""
        mine, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                self._send(pickle.dumps((call, arguments)), theirs)
            finally:
                os.close(theirs)
            with os.fdopen(os.dup(mine), "rb", buffering=0) as pipe:
                while True:
                    kind, value = self._next(pipe, seconds)
                    if kind == "item":
                        yield value
                    elif kind == "error":
                        raise value
                    else:
                        return self._learn(value) if value is not None else None
        finally:
            os.close(mine)

    def _send(self, request: bytes, answer_to: int) -> None:
        with self._sending, suppress(OSError):  # it is gone: then nobody holds the pipe either
            socket.send_fds(self._requests, [request], [answer_to])

    def _next(self, pipe: Any, seconds: float) -> tuple[str, Any]:
        waiting = select.poll()
        waiting.register(pipe, select.POLLIN)
        if not waiting.poll(seconds * 1000):
            HELPERS.discard(self.pid)
            raise Hung(self.pid, sleeps_in(self.pid))
        length = int.from_bytes(_exactly(pipe, 8), "little")
        message: tuple[str, Any] = pickle.loads(_exactly(pipe, length))
        return message

    def end(self) -> None:
        """Wait until it has closed NVML and is gone; one that does not end is left behind."""
        with suppress(OSError):
            self._requests.send(b"end")
        if reap(self.pid, _ENDING):
            self._forget()
        else:
            self.leave()

    def leave(self) -> None:
        """Its other calls end with it, those in the kernel with the kernel."""
        self._forget()
        os.kill(self.pid, signal.SIGKILL)

    def _forget(self) -> None:
        self._requests.close()
        HELPERS.discard(self.pid)


def _exactly(pipe: Any, length: int) -> bytes:
    """GpupassError when the process ended instead of answering."""
    data = b""
    while len(data) < length:
        more = pipe.read(length - len(data))
        if not more:
            raise GpupassError(
                "cannot ask the NVIDIA driver: its library has ended the process", "dmesg | tail"
            )
        data += more
    return data


def _serve(requests: socket.socket, inside: Inside) -> NoReturn:
    """Nothing of our parent's is kept: neither its locks nor its output; and we end when it does."""
    status = 1
    try:
        os.setsid()
        mine = requests.fileno()
        os.closerange(3, mine)
        os.closerange(mine + 1, DESCRIPTORS)
        null = os.open("/dev/null", os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        while True:
            request, descriptors, _, _ = socket.recv_fds(requests, _LARGEST, 1)
            if not request:  # our parent is gone: nobody may go on without its locks
                os._exit(1)
            if request == b"end":
                inside.close()
                status = 0
                break
            threading.Thread(target=_answer, args=(request, descriptors[0], inside), daemon=True).start()
    finally:
        os._exit(status)


def _answer(request: bytes, answer_to: int, inside: Inside) -> None:
    with suppress(OSError), os.fdopen(answer_to, "wb") as pipe:
        try:
            call, arguments = pickle.loads(request)
            for item in call(inside, *arguments):
                _say(pipe, "item", item)
            _say(pipe, "end", inside.news())
        except Exception as error:
            _say(pipe, "error", error)


def _say(pipe: Any, kind: str, value: object) -> None:
    message = pickle.dumps((kind, value))
    pipe.write(len(message).to_bytes(8, "little") + message)
    pipe.flush()
