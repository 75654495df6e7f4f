"""The administrator's own programs before and after a change: root's alone, each in a unit of its own.

A unit ends with all that the program has started, and keeps none of what we have open.
"""

import os
import re
import stat
from itertools import count

from gpupass.errors import GpupassError, Refused
from gpupass.system.locks import HOOK
from gpupass.system.process import ended
from gpupass.system.trusted import require_roots

HOOKS = "/etc/gpupass/hooks.d"
SECONDS = 60.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.(sh|py|pl|rb))?")  # none that an editor or dpkg has left
_ENDING = 10.0  # seconds, until systemd itself has killed what does not end
_TIMED_OUT = 124  # of timeout(1)
_BOOTED = "/run/systemd/system"  # sd_booted(3)
_count = count()


def find_hooks(directory: str = HOOKS) -> tuple[str, ...]:
    """The executable files, by name; Refused when others than root can change one of them."""
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208 - strings wanted
    except OSError:
        return ()
    paths = (f"{directory}/{name}" for name in names if _NAME.fullmatch(name))
    return tuple(path for path in paths if _is_program(path))


def run_hook(path: str, arguments: tuple[str, ...], given: bytes, seconds: float = SECONDS) -> None:
    """GpupassError with its own last words when it says no, or does not end."""
    status, said, complaint = ended(_command(path, arguments, seconds), seconds + _ENDING, given)
    if status == _TIMED_OUT:
        raise GpupassError(f"no end within {seconds:g} s", path)
    if status != 0:
        words = (complaint.strip() or said.strip()).splitlines()
        raise GpupassError(words[-1] if words else f"exit status {status}", path)


def _command(path: str, arguments: tuple[str, ...], seconds: float) -> tuple[str, ...]:
    if not os.path.isdir(_BOOTED):  # noqa: PTH112
        return ("timeout", f"--kill-after={_ENDING / 2:g}", f"{seconds:g}", path, *arguments)
    unit = ("--property", f"RuntimeMaxSec={seconds:g}", "--property", f"TimeoutStopSec={_ENDING / 2:g}")
    name = f"--unit={HOOK}-{os.getpid()}-{next(_count)}"
    return ("systemd-run", "--wait", "--collect", "--pipe", "--quiet", name, *unit, "--", path, *arguments)


def _is_program(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return False
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode) or not about.st_mode & 0o111:
            return False
        if os.geteuid() == 0:
            require_roots(fd, path)
        return True
    except Refused as refused:
        raise Refused(f"{refused.message}: it is a hook", refused.hint) from None
    finally:
        os.close(fd)
