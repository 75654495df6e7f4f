"""What the lab's agent and its clients say to each other: one JSON object a line.

Every frame names its session, so that either side drops what an earlier client left in the line.
Also runs inside the lab machine, so it uses the standard library only.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

PORTS = 4
PORT_NAME = "gpupass.{}"
MAX_LINE = 4 << 20


class Kind(StrEnum):
    HELLO = "hello"  # client: this session starts here
    READY = "ready"  # agent: answer to hello
    EXEC = "exec"  # client: argv, and rows and columns when it wants a terminal
    STDIN = "stdin"
    STDIN_END = "stdin-end"
    RESIZE = "resize"
    STDOUT = "stdout"
    STDERR = "stderr"
    EXITED = "exited"  # agent: number = exit status
    KILLED = "killed"  # agent: number = signal
    CANNOT = "cannot"  # agent: the command did not start; text = why, number = 126 or 127
    TICK = "tick"  # agent: the command runs and the agent lives


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    session: str
    kind: Kind
    data: bytes = b""
    argv: tuple[str, ...] = ()
    number: int = 0
    text: str = ""
    rows: int = 0
    columns: int = 0

    def encode(self) -> bytes:
        fields: dict[str, object] = {"session": self.session, "kind": self.kind.value}
        if self.data:
            fields["data"] = base64.b64encode(self.data).decode("ascii")
        if self.argv:
            fields["argv"] = list(self.argv)
        for name in ("number", "text", "rows", "columns"):
            value = getattr(self, name)
            if value:
                fields[name] = value
        return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> Frame | None:
    """The frame of one line; None for a torn or foreign line, which a reader skips."""
    try:
        fields = json.loads(line)
        return Frame(
            session=str(fields["session"]),
            kind=Kind(fields["kind"]),
            data=base64.b64decode(fields.get("data", ""), validate=True),
            argv=tuple(str(word) for word in fields.get("argv", ())),
            number=int(fields.get("number", 0)),
            text=str(fields.get("text", "")),
            rows=int(fields.get("rows", 0)),
            columns=int(fields.get("columns", 0)),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class Decoder:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest if len(rest) <= MAX_LINE else b""
        for line in lines:
            frame = decode(line)
            if frame is not None:
                yield frame
