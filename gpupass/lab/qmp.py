"""A small client of QEMU's machine protocol (QMP)."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from gpupass.errors import GpupassError


class QmpClosed(GpupassError):
    """QEMU closed the connection or never answered."""


class Qmp:
    def __init__(self, path: Path, timeout: float = 30.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self._rest = b""
        self.events: list[dict[str, object]] = []
        try:
            self._socket.connect(str(path))
            self._read()
            self.execute("qmp_capabilities")
        except OSError as error:
            self._socket.close()
            raise QmpClosed(f"cannot reach QEMU at {path}: {error.strerror or error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def execute(self, command: str, arguments: dict[str, object] | None = None) -> object:
        message: dict[str, object] = {"execute": command}
        if arguments:
            message["arguments"] = arguments
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
            while True:
                answer = self._read()
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    error = answer["error"]
                    why = error.get("desc") if isinstance(error, dict) else error
                    raise GpupassError(f"cannot execute {command} in QEMU: {why}")
        except OSError as error:
            raise QmpClosed(f"cannot execute {command}: QEMU does not answer ({error})") from error

    def hmp(self, line: str) -> str:
        """A line of the human monitor; its text is the answer, errors included."""
        return str(self.execute("human-monitor-command", {"command-line": line}))

    def wait_event(self, name: str, timeout: float, wanted: Callable[[dict[str, object]], bool]) -> bool:
        """True once an event `name` that satisfies `wanted` has come."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events:
                data = event.get("data")
                if event.get("event") == name and wanted(data if isinstance(data, dict) else {}):
                    return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._socket.settimeout(left)
            try:
                self._read()
            except TimeoutError:
                return False

    def _read(self) -> dict[str, object]:
        """The next message; an event is also kept in `events`."""
        while b"\n" not in self._rest:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError("connection closed")
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        message = json.loads(line)
        assert isinstance(message, dict)
        if "event" in message:
            self.events.append(message)
        return message
