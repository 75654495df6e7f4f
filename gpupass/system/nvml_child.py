"""The process that calls NVML: an ioctl in uninterruptible sleep can be left behind only with its process.

Each request is a function of this package with its arguments; it runs on a thread of its own there, so that
one GPU does not wait for another. What is asked only once is told us, for the next such process.
"""

import os
import pickle
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NoReturn

from gpupass.errors import GpupassError
from gpupass.system.guarded import DESCRIPTORS, HELPERS, Hung, sleeps_in

_ENDING = 10.0  # seconds until it has closed every GPU
_LARGEST = 1 << 20  # of a request


class Child:
    """`close` is called there before it ends; `learn` gets here what `learned` says there after a request."""

    def __init__(
        self, close: Callable[[], None], learned: Callable[[], Any], learn: Callable[[Any], None]
    ) -> None:
        self.calls = 0  # that wait for it
        self._learn = learn
        self._sending = threading.Lock()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            _serve(theirs, close, learned)
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
                        return self._learn(value)
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
        process = os.pidfd_open(self.pid)
        waiting = select.poll()
        waiting.register(process, select.POLLIN)
        gone = bool(waiting.poll(_ENDING * 1000))
        os.close(process)
        self.leave(gone)

    def leave(self, gone: bool = False) -> None:
        """Its other calls end with it, those in the kernel with the kernel."""
        self._requests.close()
        HELPERS.discard(self.pid)
        if not gone:
            os.kill(self.pid, signal.SIGKILL)
        else:
            os.waitpid(self.pid, 0)


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


def _serve(requests: socket.socket, close: Callable[[], None], learned: Callable[[], Any]) -> NoReturn:
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
                close()
                status = 0
                break
            threading.Thread(target=_answer, args=(request, descriptors[0], learned), daemon=True).start()
    finally:
        os._exit(status)


def _answer(request: bytes, answer_to: int, learned: Callable[[], Any]) -> None:
    with suppress(OSError), os.fdopen(answer_to, "wb") as pipe:
        try:
            call, arguments = pickle.loads(request)
            for item in call(*arguments):
                _say(pipe, "item", item)
            _say(pipe, "end", learned())
        except Exception as error:
            _say(pipe, "error", error)


def _say(pipe: Any, kind: str, value: object) -> None:
    message = pickle.dumps((kind, value))
    pipe.write(len(message).to_bytes(8, "little") + message)
    pipe.flush()
