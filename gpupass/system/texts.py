"""Files that a person names, as UTF-8 and bounded; every failure is an OSError or a UnicodeDecodeError."""

import errno
import sys
from pathlib import Path
from typing import BinaryIO

from gpupass.errors import GpupassError

LIMIT = 1 << 20


def read_text(path: str) -> str:
    with Path(path).open("rb") as file:
        return _bounded(file, path)


def read_stdin() -> str:
    return _bounded(sys.stdin.buffer, "-")


def write_text(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise GpupassError(f"cannot write {path}: {error.strerror}") from None


def _bounded(file: BinaryIO, name: str) -> str:
    data = file.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise OSError(errno.EFBIG, f"it is larger than {LIMIT >> 20} MiB", name)
    return data.decode()
