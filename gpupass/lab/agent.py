"""Runs commands for the lab's clients inside the lab machine; one process per virtio-serial port.

Part of the machine's image and of every snapshot. Standard library and frames.py only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

from frames import PORT_NAME, PORTS, Decoder, Frame, Kind  # type: ignore[import-not-found,unused-ignore]

CHUNK = 48 << 10
STDIN_LIMIT = 1 << 20
TICK_SECONDS = 2.0
LINGER_SECONDS = 0.3
GRACE_SECONDS = 2.0
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
}


class HostGone(Exception):
    """The client closed its end of the port."""


class Superseded(Exception):
    """Another client took the port over before the agent saw the first one leave."""

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self.frame = frame


class Port:
    def __init__(self, device: Path) -> None:
        self.fd = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._decoder = Decoder()

    def read(self) -> list[Frame]:
        """All frames that are there; raises HostGone when nobody is connected."""
        frames: list[Frame] = []
        while True:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                return frames
            if not data:
                if frames:
                    return frames
                raise HostGone
            frames.extend(self._decoder.feed(data))

    def write(self, frame: Frame) -> None:
        rest = memoryview(frame.encode())
        while rest:
            try:
                rest = rest[os.write(self.fd, rest) :]
            except BlockingIOError:
                waiter = select.poll()
                waiter.register(self.fd, select.POLLOUT)
                for _, events in waiter.poll(1000):
                    if events & select.POLLHUP:
                        raise HostGone from None


class Command:
    """One running command and the pipes or terminal it talks through."""

    def __init__(self, request: Frame) -> None:
        self.terminal = request.rows > 0
        self.pending = bytearray()
        self.stdin_ended = False
        environment = dict(ENVIRONMENT)
        if self.terminal:
            environment["TERM"] = request.text or "linux"
            master, slave = os.openpty()
            _set_size(master, request)
            self.process = subprocess.Popen(
                request.argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                preexec_fn=_take_terminal, cwd="/root", env=environment,
            )  # fmt: skip
            os.close(slave)
            self.stdin: int | None = master
            self.outputs = {master: Kind.STDOUT}
        else:
            self.process = subprocess.Popen(
                request.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True, preexec_fn=_be_ordinary, cwd="/root", env=environment,
            )  # fmt: skip
            assert self.process.stdin and self.process.stdout and self.process.stderr
            self.stdin = self.process.stdin.fileno()
            self.outputs = {
                self.process.stdout.fileno(): Kind.STDOUT,
                self.process.stderr.fileno(): Kind.STDERR,
            }
        os.set_blocking(self.stdin, False)
        self.exit = os.pidfd_open(self.process.pid)

    def feed(self) -> None:
        """Give the command as much of the waiting input as it takes now."""
        if self.stdin is None:
            return
        while self.pending:
            try:
                del self.pending[: os.write(self.stdin, self.pending[:CHUNK])]
            except BlockingIOError:
                return
            except OSError:
                self.pending.clear()
                self._close_stdin()
                return
        if self.stdin_ended:
            self._close_stdin()

    def _close_stdin(self) -> None:
        if self.stdin is None:
            return
        if self.terminal:
            with contextlib.suppress(OSError):
                os.write(self.stdin, b"\x04")
        elif self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        self.stdin = None

    def resize(self, frame: Frame) -> None:
        if self.terminal:
            _set_size(next(iter(self.outputs)), frame)

    def end(self) -> None:
        """Stop the process group: asked first, then killed."""
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGCONT):
            self._signal(number)
        select.select([self.exit], [], [], GRACE_SECONDS)
        self._signal(signal.SIGKILL)  # also for members that ignored the request and outlived their leader

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def close(self) -> None:
        self.process.wait()
        os.close(self.exit)
        if self.terminal:
            for fd in self.outputs:
                os.close(fd)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _set_size(fd: int, frame: Frame) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", frame.rows, frame.columns, 0, 0))


def _be_ordinary() -> None:
    Path("/proc/self/oom_score_adj").write_text("0")
    os.nice(10)


def _take_terminal() -> None:
    _be_ordinary()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def serve(port: Port) -> None:
    """Answer one client after the other, for ever."""
    session = ""
    waiting: list[Frame] = []
    wakeups = select.epoll()
    # Edge-triggered: a port without a client reports a hang-up for as long as nobody connects.
    wakeups.register(port.fd, select.EPOLLIN | select.EPOLLHUP | select.EPOLLET)
    while True:
        with contextlib.suppress(HostGone):
            waiting.extend(port.read())
        if not waiting:
            wakeups.poll(30)
            continue
        frame = waiting.pop(0)
        try:
            if frame.kind is Kind.HELLO:
                session = frame.session
                port.write(Frame(session=session, kind=Kind.READY))
            elif frame.kind is Kind.EXEC and frame.session == session:
                execute(port, frame, waiting)
        except HostGone:
            waiting.clear()
        except Superseded as other:
            waiting.insert(0, other.frame)


def execute(port: Port, request: Frame, early: list[Frame]) -> None:
    def say(kind: Kind, *, data: bytes = b"", number: int = 0, text: str = "") -> None:
        port.write(Frame(session=request.session, kind=kind, data=data, number=number, text=text))

    try:
        command = Command(request)
    except (OSError, subprocess.SubprocessError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        say(Kind.CANNOT, number=127 if isinstance(error, FileNotFoundError) else 126, text=why)
        return
    finished = False
    try:
        for frame in early:
            _take(command, frame, request.session)
        early.clear()
        _relay(port, command, request.session, say)
        finished = True
    finally:
        if not finished:
            command.end()
        command.close()
    status = command.process.returncode
    say(Kind.KILLED if status < 0 else Kind.EXITED, number=abs(status))


def _take(command: Command, frame: Frame, session: str) -> None:
    if frame.kind is Kind.HELLO and frame.session != session:
        raise Superseded(frame)
    if frame.session != session:
        return
    match frame.kind:
        case Kind.STDIN:
            command.pending += frame.data
        case Kind.STDIN_END:
            command.stdin_ended = True
        case Kind.RESIZE:
            command.resize(frame)
    command.feed()


def _relay(port: Port, command: Command, session: str, say: Callable[..., None]) -> None:
    """Carry data both ways until the command has ended and its output is drained."""
    open_outputs = dict(command.outputs)
    deadline: float | None = None
    said = time.monotonic()
    while open_outputs or deadline is None:
        poller = select.poll()
        if len(command.pending) < STDIN_LIMIT:
            poller.register(port.fd, select.POLLIN)
        if command.pending and command.stdin is not None:
            poller.register(command.stdin, select.POLLOUT)
        for fd in open_outputs:
            wants_input = select.POLLOUT if command.pending and fd == command.stdin else 0
            poller.register(fd, select.POLLIN | wants_input)
        if deadline is None:
            poller.register(command.exit, select.POLLIN)
        left = TICK_SECONDS if deadline is None else max(0.0, deadline - time.monotonic())
        ready = dict(poller.poll(left * 1000))
        if port.fd in ready:
            for frame in port.read():
                _take(command, frame, session)
        if command.pending:
            command.feed()
        for fd in [fd for fd in open_outputs if fd in ready and ready[fd] & ~select.POLLOUT]:
            try:
                data = os.read(fd, CHUNK)
            except OSError:  # a terminal whose last process left reads as EIO
                data = b""
            if data:
                say(open_outputs[fd], data=data)
                said = time.monotonic()
                if deadline is not None:
                    deadline = said + LINGER_SECONDS
            else:
                del open_outputs[fd]
        if command.exit in ready and deadline is None:
            # Something left in the background may hold the output open: wait for silence only.
            deadline = time.monotonic() + LINGER_SECONDS
        if deadline is not None and time.monotonic() >= deadline:
            return
        if time.monotonic() - said >= TICK_SECONDS:
            say(Kind.TICK)
            said = time.monotonic()


def find_port(number: int) -> Path:
    wanted = PORT_NAME.format(number)
    while True:
        for entry in Path("/sys/class/virtio-ports").glob("*"):
            with contextlib.suppress(OSError):
                if (entry / "name").read_text().strip() == wanted:
                    return Path("/dev") / entry.name
        time.sleep(0.2)


def main() -> None:
    workers: dict[int, int] = {}
    while True:
        for number in range(PORTS):
            if number in workers.values():
                continue
            child = os.fork()
            if child == 0:
                with contextlib.suppress(OSError):
                    os.nice(-10)
                serve(Port(find_port(number)))
                os._exit(0)
            workers[child] = number
        gone, status = os.wait()
        sys.stderr.write(f"port {workers.pop(gone, -1)}: worker ended with {status}\n")
        time.sleep(0.5)


if __name__ == "__main__":
    main()
