"""Programs: those of others that are installed, and the one that systemd shall run as root."""

import os
import re
import shutil
import sys
from pathlib import Path

import gpupass
from gpupass.errors import Refused
from gpupass.system.door import System

_PROGRAMS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin")
_HINT = "sudo python3 -m venv /opt/gpupass && sudo /opt/gpupass/bin/pip install gpupass"


def installed(system: System, program: str) -> bool:
    return any(system.exists(f"{directory}/{program}") for directory in _PROGRAMS)


def own_executable() -> str:
    """Refused when an ordinary user could change the program, its interpreter, or the way to one of them."""
    called = sys.argv[0]
    found = called if os.path.basename(called) == "gpupass" else "gpupass"  # noqa: PTH119
    path = shutil.which(found)
    if path is None:
        raise Refused("cannot tell systemd what to run: gpupass is not in the PATH", _HINT)
    executable = os.path.abspath(path)  # noqa: PTH100 - a link that root made stays a link
    if not re.fullmatch(r"[A-Za-z0-9/._+-]+", executable):  # systemd takes no quotes in a program's name
        raise Refused(f"cannot tell systemd to run {executable!r}: the name has special characters", _HINT)
    for part in (executable, sys.executable, str(Path(gpupass.__file__).parent)):
        loose = changeable_by_others(part)
        if loose is not None:
            raise Refused(f"cannot let systemd run {executable} as root: others can change {loose}", _HINT)
    return executable


def changeable_by_others(path: str) -> str | None:
    """The first of the path, of what it links to and of all directories above that is not root's alone."""
    for end in dict.fromkeys((path, os.path.realpath(path))):
        for part in (Path(end), *Path(end).parents):
            about = part.lstat()
            linked = part.is_symlink()  # a link's own mode says nothing
            if about.st_uid != 0 or (about.st_mode & 0o022 and not linked):
                return str(part)
    return None
