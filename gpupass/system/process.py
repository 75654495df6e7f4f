"""Every external command goes through `run`: argv only, bounded, a failure told once with a line to paste."""

import fcntl
import os
import select
import shlex
import signal
import subprocess

from gpupass.errors import GpupassError
from gpupass.system.guarded import Hung, sleeps_in

# of root's making; nothing of whoever has called us: not LD_PRELOAD, not PYTHONPATH, not a language
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_MOST = 1 << 24  # bytes of output; what is more is refused to the command
_DYING = 2.0  # seconds


def run(argv: tuple[str, ...], seconds: float = 60.0) -> str:
    """The command's output; GpupassError when it fails or takes too long, Hung when no kill ends it."""
    status, said, complaint = ended(argv, seconds)
    if status != 0:
        why = (complaint.strip() or said.strip()).splitlines()  # nvidia-smi complains to stdout
        raise GpupassError(f"cannot run {argv[0]}: {why[-1] if why else f'exit {status}'}", shlex.join(argv))
    return said


def ended(argv: tuple[str, ...], seconds: float, given: bytes = b"") -> tuple[int, str, str]:
    """Status, output and errors of a command that reads `given`; GpupassError, Hung as `run` has them."""
    output, errors, read = _unnamed("output"), _unnamed("errors"), _input(given)
    try:
        status = _status(argv, shlex.join(argv), (read, output, errors), seconds)
        return status, _text(output), _text(errors)
    finally:
        for fd in (output, errors, read):
            os.close(fd)


def _status(argv: tuple[str, ...], line: str, files: tuple[int, int, int], seconds: float) -> int:
    """In a session of its own: what the terminal sends us is not for it."""
    try:
        child = subprocess.Popen(
            argv,
            stdin=files[0],
            stdout=files[1],
            stderr=files[2],
            env=ENVIRONMENT,
            cwd="/",
            umask=0o022,  # what it writes is the host's
            start_new_session=True,
        )
    except FileNotFoundError:
        raise GpupassError(f"cannot run {argv[0]}: it is not installed", f"command -v {argv[0]}") from None
    except OSError as error:
        raise GpupassError(f"cannot run {argv[0]}: {error.strerror}", line) from None
    if not _ends(child.pid, seconds):
        where = sleeps_in(child.pid)
        os.killpg(child.pid, signal.SIGKILL)
        if not _ends(child.pid, _DYING):  # uninterruptible: to wait for it would never end
            child.returncode = -signal.SIGKILL  # so that Popen does not wait either
            raise Hung(child.pid, where)
        child.wait()
        raise GpupassError(f"cannot run {argv[0]}: no end within {seconds:g} s", line)
    return child.wait()


def _ends(pid: int, seconds: float) -> bool:
    """The command itself: those it has left behind may go on, and may keep its output open."""
    process = os.pidfd_open(pid)
    try:
        waiting = select.poll()
        waiting.register(process, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))
    finally:
        os.close(process)


def _unnamed(name: str) -> int:
    """A file in memory that cannot grow beyond its size."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, _MOST)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return fd


def _input(given: bytes) -> int:
    fd = os.memfd_create("input", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(given)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _text(fd: int) -> str:
    """What was written: the command shares our place in the file."""
    length = os.lseek(fd, 0, os.SEEK_CUR)
    return os.pread(fd, min(length, _MOST), 0).decode(errors="replace").replace("\r\n", "\n")
