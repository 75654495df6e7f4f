"""Programs: those of others that are installed, and the one that systemd shall run as root."""

import os
import re
import sys
from pathlib import Path

import gpupass
from gpupass.errors import Refused
from gpupass.system.reader import Reader
from gpupass.system.trusted import changeable_by_others

_PROGRAMS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin")
_HINT = "sudo python3 -m venv /opt/gpupass && sudo /opt/gpupass/bin/pip install gpupass"


def installed(system: Reader, program: str) -> bool:
    return any(system.exists(f"{directory}/{program}") for directory in _PROGRAMS)


def own_executable() -> str:
    """Refused when an ordinary user could change the program, its interpreter, or the way to one of them."""
    called = sys.argv[0]
    found = called if os.path.basename(called) == "gpupass" else "gpupass"  # noqa: PTH119
    from shutil import which

    path = which(found)
    if path is None:
        raise Refused("cannot tell systemd what to run: gpupass is not in the PATH", _HINT)
    executable = os.path.abspath(path)  # noqa: PTH100 - a link that root made stays a link
    if not re.fullmatch(r"[A-Za-z0-9/._+-]+", executable):  # systemd takes no quotes in a program's name
        raise Refused(f"cannot tell systemd to run {executable!r}: the name has special characters", _HINT)
    for part in (executable, sys.executable, str(Path(gpupass.__file__).parent)):
        try:
            loose = changeable_by_others(part)
        except OSError as error:
            why = f"cannot tell whose {part} is: {error.strerror}"
            raise Refused(why, "run it with sudo") from None
        if loose is not None:
            raise Refused(f"cannot let systemd run {executable} as root: others can change {loose}", _HINT)
    return executable
