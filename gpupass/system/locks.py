"""One writer per device: an flock per PCI address, in sorted order, freed by the kernel on any death."""

import errno
import fcntl
import os
import re
import resource
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpupass.errors import Busy, GpupassError
from gpupass.model.address import Address
from gpupass.system.state import ensure_directory

HOOK = "gpupass-hook"  # so begins the name of a hook's unit, and the process it is of follows


@contextmanager
def hold(state: Path, addresses: Iterable[Address], wait: float = 10.0) -> Iterator[None]:
    """Hold all of `addresses`; Refused when another gpupass keeps one longer than `wait` seconds."""
    directory = ensure_directory(state / "locks")
    held: list[int] = []
    deadline = time.monotonic() + wait
    try:
        for address in sorted(set(addresses)):
            fd = _open(directory / address)
            held.append(fd)
            while not _try(fd):
                if runs_under(_owner(fd)):
                    raise Busy(
                        f"cannot change {address}: the change that runs this hook holds it",
                        "what the hook is given says what is done; other devices can be changed",
                    )
                if time.monotonic() > deadline:
                    owner = os.pread(fd, 200, 0).decode(errors="replace") or "another gpupass"
                    raise Busy(
                        f"cannot change {address}: {owner} is at work on it",
                        "wait for it, or look at it with: gpupass recover --dry-run",
                    )
                time.sleep(0.05)
            with suppress(OSError):  # a full disk: only the message to others suffers
                os.truncate(fd, 0)
                os.pwrite(fd, f"gpupass process {os.getpid()}".encode(), 0)
        yield
    finally:
        for fd in held:
            os.close(fd)


@contextmanager
def whole(directory: int, shared: bool, wait: float) -> Iterator[None]:
    """Hold an open directory, alone or with others who only read; BlockingIOError after `wait` seconds."""
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(directory, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
    try:
        yield
    finally:
        fcntl.flock(directory, fcntl.LOCK_UN)


def runs_under(owner: int | None) -> bool:
    """Are we a hook of this gpupass, or started by one: in its unit, or among its children?"""
    if owner is None:
        return False
    if f"/{HOOK}-{owner}-" in _read("/proc/self/cgroup"):
        return True
    pid = os.getppid()
    while pid > 1 and pid != owner:
        found = re.search(r"^PPid:\s*(\d+)", _read(f"/proc/{pid}/status"), re.MULTILINE)
        pid = int(found[1]) if found is not None else 0
    return pid == owner


def _owner(fd: int) -> int | None:
    text = os.pread(fd, 200, 0).decode(errors="replace").rpartition(" ")[2]
    return int(text) if text.isdecimal() else None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _open(path: Path) -> int:
    """A profile of many virtual functions holds more locks than a shell lets us have files open."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.EMFILE and _more_files():
            return _open(path)
        raise GpupassError(f"cannot lock {path}: {error.strerror}") from None


def _more_files() -> bool:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft != hard


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
