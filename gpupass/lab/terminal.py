"""An interactive shell in the lab: this terminal, raw, at the other end of the channel."""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty

from gpupass.errors import Usage
from gpupass.lab.channel import Terminal
from gpupass.lab.machine import Lab


def shell(lab: Lab) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Usage("cannot open a shell: this is no terminal", "gpupass lab run -- sh -c 'COMMANDS'")
    changed = True

    def mark(*_: object) -> None:
        nonlocal changed
        changed = True

    def resized() -> Terminal | None:
        nonlocal changed
        if not changed:
            return None
        changed = False
        return _size()

    before = termios.tcgetattr(0)
    previous = signal.signal(signal.SIGWINCH, mark)
    try:
        tty.setraw(0)
        ending = lab.execute(
            ("bash", "-l"), stdin=0, output=_write, errors=_write, terminal=_size(), resized=resized
        )
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, previous)
    return ending.returncode


def _size() -> Terminal:
    columns, rows = os.get_terminal_size(1)
    return Terminal(rows=max(1, rows), columns=max(1, columns), kind=os.environ.get("TERM", "linux"))


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
