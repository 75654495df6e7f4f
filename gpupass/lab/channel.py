"""The client's end of the command channel: one command at a time over one virtio-serial port."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gpupass.errors import GpupassError
from gpupass.lab.frames import PORTS, Decoder, Frame, Kind

SILENT_SECONDS = 60.0
_CHUNK = 48 << 10
_OUT_LIMIT = 256 << 10


class ChannelLost(Exception):
    """The machine at the other end is gone or silent; the text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a command ended: an exit status, or a signal that ended it."""

    status: int = 0
    signal: int | None = None

    @property
    def returncode(self) -> int:
        """As a shell says it: 128 + signal."""
        return self.status if self.signal is None else 128 + self.signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    rows: int
    columns: int
    kind: str


@contextlib.contextmanager
def port(locks: Path, sockets: Path, timeout: float) -> Iterator[Channel]:
    """A free port, held while the command runs."""
    deadline = time.monotonic() + timeout
    while True:
        for number in range(PORTS):
            with (locks / f"port{number}.lock").open("w", encoding="ascii") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                channel = Channel(sockets / f"port{number}")
                try:
                    yield channel
                finally:
                    channel.close()
                return
        if time.monotonic() > deadline:
            raise GpupassError(f"cannot run a command in the lab: all {PORTS} ports are busy")
        time.sleep(0.05)


class Channel:
    def __init__(self, path: Path) -> None:
        self.session = secrets.token_hex(8)
        self._decoder = Decoder()
        self._out = bytearray()
        self._frames: list[Frame] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise ChannelLost(f"its port does not answer: {error.strerror}") from error
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def hello(self, timeout: float) -> bool:
        """True once the agent has answered for this session."""
        deadline = time.monotonic() + timeout
        pause, again = 0.1, 0.0
        while (now := time.monotonic()) < deadline:
            if now >= again:
                # The newline ends whatever torn line an earlier client left behind. A greeting can reach the
                # guest before the news that the port is connected: its answer then has no way back.
                self._out += b"\n" + Frame(session=self.session, kind=Kind.HELLO).encode()
                again, pause = now + pause, min(2 * pause, 2.0)
            self._step({}, min(again, deadline) - now)
            while self._frames:
                if self._frames.pop(0).kind is Kind.READY:
                    return True
        return False

    def execute(
        self,
        argv: tuple[str, ...],
        *,
        stdin: int | None,
        output: Callable[[bytes], object],
        errors: Callable[[bytes], object],
        terminal: Terminal | None = None,
        resized: Callable[[], Terminal | None] = lambda: None,
        deadline: float | None = None,
    ) -> Ending:
        """Run one command to its end; `stdin` is a descriptor read until its end."""
        self._send(
            Kind.EXEC,
            argv=argv,
            rows=terminal.rows if terminal else 0,
            columns=terminal.columns if terminal else 0,
            text=terminal.kind if terminal else "",
        )
        if stdin is None:
            self._send(Kind.STDIN_END)
        heard = time.monotonic()
        while True:
            now = time.monotonic()
            if deadline is not None and now > deadline:
                raise TimeoutError
            if now - heard > SILENT_SECONDS:
                raise ChannelLost(f"its agent has been silent for {SILENT_SECONDS:.0f} s")
            size = resized()
            if size is not None:
                self._send(Kind.RESIZE, rows=size.rows, columns=size.columns)
            wait = 1.0 if deadline is None else min(1.0, max(0.0, deadline - now))
            readable = {stdin} if stdin is not None and len(self._out) < _OUT_LIMIT else set()
            if stdin in self._step({fd: select.POLLIN for fd in readable if fd is not None}, wait):
                assert stdin is not None
                data = os.read(stdin, _CHUNK)
                if data:
                    self._send(Kind.STDIN, data=data)
                else:
                    self._send(Kind.STDIN_END)
                    stdin = None
            while self._frames:
                heard = time.monotonic()
                frame = self._frames.pop(0)
                match frame.kind:
                    case Kind.STDOUT:
                        output(frame.data)
                    case Kind.STDERR:
                        errors(frame.data)
                    case Kind.EXITED:
                        return Ending(status=frame.number)
                    case Kind.KILLED:
                        return Ending(signal=frame.number)
                    case Kind.CANNOT:
                        errors(f"cannot run {argv[0]}: {frame.text}\n".encode())
                        return Ending(status=frame.number)

    def _send(
        self,
        kind: Kind,
        *,
        data: bytes = b"",
        argv: tuple[str, ...] = (),
        rows: int = 0,
        columns: int = 0,
        text: str = "",
    ) -> None:
        frame = Frame(
            session=self.session, kind=kind, data=data, argv=argv, rows=rows, columns=columns, text=text
        )
        self._out += frame.encode()

    def _step(self, others: dict[int, int], timeout: float) -> set[int]:
        """Move bytes both ways once; returns which of the other descriptors are ready."""
        poller = select.poll()
        poller.register(self._socket, select.POLLIN | (select.POLLOUT if self._out else 0))
        for fd, events in others.items():
            poller.register(fd, events)
        ready = {fd for fd, _ in poller.poll(timeout * 1000)}
        if self._socket.fileno() in ready:
            try:
                if self._out:
                    with contextlib.suppress(BlockingIOError):
                        del self._out[: self._socket.send(self._out)]
                with contextlib.suppress(BlockingIOError):
                    data = self._socket.recv(1 << 18)
                    if not data:
                        raise ChannelLost("QEMU has ended")
                    self._frames += [f for f in self._decoder.feed(data) if f.session == self.session]
            except OSError as error:
                raise ChannelLost("QEMU has ended") from error
        return ready
