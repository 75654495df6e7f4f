"""Files that a person names, as UTF-8 and bounded; every failure is an OSError or a UnicodeDecodeError."""

import errno
import os
import re
import stat
import sys
from pathlib import Path

from gpupass.errors import GpupassError
from gpupass.system.trusted import read_trusted

LIMIT = 1 << 20


def read_text(path: str) -> str:
    """Refused, too, where root would take orders from a file that others can change."""
    return _bounded(read_trusted(path, LIMIT + 1), path)


def read_stdin() -> str:
    return _bounded(sys.stdin.buffer.read(LIMIT + 1), "-")


def opened_already(path: str) -> int | None:
    """The descriptor that a shell's <(…) names: a pipe of whoever has called us, like standard input."""
    found = re.fullmatch(r"/(?:dev|proc/self)/fd/(\d{1,6})", path)
    return int(found[1]) if found else None


def read_opened(fd: int) -> str:
    with os.fdopen(os.dup(fd), "rb") as file:
        return _bounded(file.read(LIMIT + 1), f"/dev/fd/{fd}")


def write_text(path: str, text: str) -> None:
    """For its owner alone, and in one piece; a link, or what is no ordinary file, is not written to."""
    file = Path(path)
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        if os.path.lexists(file) and not stat.S_ISREG(file.lstat().st_mode):
            raise OSError(0, "it is no ordinary file")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as out:
                out.write(text)
            new.rename(file)
        except OSError:
            new.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise GpupassError(f"cannot write {path}: {error.strerror}") from None


def _bounded(data: bytes, name: str) -> str:
    if len(data) > LIMIT:
        raise OSError(errno.EFBIG, f"it is larger than {LIMIT >> 20} MiB", name)
    return data.decode()
