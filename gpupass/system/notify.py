"""systemd is told that we are ready (sd_notify(3)); nobody is where nobody has started us so."""

import os
import socket
from contextlib import suppress


def ready() -> None:
    where = os.environ.get("NOTIFY_SOCKET", "")
    if not where.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
        told.sendto(b"READY=1", "\0" + where[1:] if where[0] == "@" else where)
