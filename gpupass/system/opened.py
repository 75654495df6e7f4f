"""Which devices a process has open or mapped: by their numbers, for anybody can call them anything.

To look may hang, at a process that holds the lock of its own memory: reading_child.py does it.
"""

import os
import re
import stat
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any

from gpupass.system.reader import BLOCK, Number, read_regular

# statx(2), linux/stat.h. DONT_SYNC: what the kernel knows; no file system of a user's own program is asked
_AT_FDCWD, _DONT_SYNC, _TYPE = -100, 0x4000, 0x1
_SIZE, _MODE, _RDEV = 256, 28, 128
_SHARED = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) ..?.?s", re.MULTILINE)
_ONE = struct.Struct("<II")


def opened(process: str, limit: int) -> bytes:
    """The numbers of /proc/PID, packed; of its mappings those that so many bytes of `maps` tell of.

    A mapping can outlive its descriptor. Drivers let nobody map a device privately.
    """
    found = {number for path in _files(process, limit) if (number := _number(path)) is not None}
    return b"".join(_ONE.pack(*number) for number in sorted(found))


def numbers(packed: bytes) -> frozenset[Number]:
    return frozenset((major, minor) for major, minor in _ONE.iter_unpack(packed))


def _files(process: str, limit: int) -> Iterator[str]:
    for fd in os.listdir(f"{process}/fd"):  # noqa: PTH208 - hot path, strings wanted
        yield f"{process}/fd/{fd}"
    for start, end in _SHARED.findall(read_regular(f"{process}/maps", limit, follow=False) or b""):
        yield f"{process}/map_files/{int(start, 16):x}-{int(end, 16):x}"


def _number(path: str) -> Number | None:
    """None for what is no device; sockets and pipes have no path to look at."""
    try:
        if not os.readlink(path).startswith("/"):  # noqa: PTH115 - likewise
            return None
    except OSError:
        return None
    about = _statx(os.fsencode(path))
    if about is None:
        return None
    (mode,) = struct.unpack_from("=H", about, _MODE)
    major, minor = struct.unpack_from("=II", about, _RDEV)
    if stat.S_ISBLK(mode):
        return (major | BLOCK, minor)
    return (major, minor) if stat.S_ISCHR(mode) else None


def _statx(path: bytes) -> bytes | None:
    import ctypes

    about = ctypes.create_string_buffer(_SIZE)
    return None if _libc().statx(_AT_FDCWD, path, _DONT_SYNC, _TYPE, about) else about.raw


@cache
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None)
