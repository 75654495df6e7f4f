"""The small file beside the database: two slots of 512 bytes, written in turn, then the open operations.

A slot is overwritten in place, which needs no space and which a power cut leaves old or new. The list is
replaced as a whole, fsynced, when an operation begins, grows or ends.
"""

import os
from functools import lru_cache
from typing import Any
from zlib import crc32

from msgspec import Struct, field

from gpupass.model.wire import from_json, to_json
from gpupass.store.place import HEAD

SIZE = 512
_LARGEST = 1 << 26
_NEW = f"{HEAD}.new"


class HeadDamaged(ValueError):
    """It says nothing, or not one thing."""


class Slot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last commit; `over` are rolled back, but the database had no room to say so."""

    schema: int
    seq: int
    hash: str
    over: tuple[str, ...] = ()


class List(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The open operations and their devices, as of the commit `at`."""

    at: int = 0
    open: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Head(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What both say."""

    slot: Slot
    list: List


def read(directory: int) -> Head | None:
    """None when there is none."""
    data = _bytes(directory, _LARGEST)
    if data is None:
        return None
    try:
        return Head(slot=_last(data[: 2 * SIZE]), list=_checked(data[2 * SIZE :], List))
    except ValueError:
        raise HeadDamaged("its list of open operations cannot be read") from None


def read_slot(directory: int) -> Slot | None:
    """The last commit alone; None when there is no head."""
    data = _bytes(directory, 2 * SIZE)
    return None if data is None else _last(data)


def _bytes(directory: int, most: int) -> bytes | None:
    try:
        fd = os.open(HEAD, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return None
    try:
        return os.pread(fd, most, 0)
    finally:
        os.close(fd)


def _last(data: bytes) -> Slot:
    slots = [slot for start in (0, SIZE) if (slot := _slot(data[start : start + SIZE])) is not None]
    if not slots:
        raise HeadDamaged("neither of its slots can be read")
    return max(slots, key=lambda slot: slot.seq)


@lru_cache(maxsize=2)  # of two, each commit changes one
def _slot(data: bytes) -> Slot | None:
    try:
        slot: Slot = _checked(data, Slot)
    except ValueError:
        return None
    return slot


def advance(directory: int, slot: Slot) -> None:
    """The slot whose turn it is; a power cut may lose it."""
    _overwrite(directory, _filled(slot), (slot.seq % 2) * SIZE)


def say_over(directory: int, slot: Slot) -> None:
    """Both slots, one after the other, fsynced: it needs no space."""
    for place in (0, SIZE):
        _overwrite(directory, _filled(slot), place, sync=True)


def rewrite(directory: int, head: Head) -> None:
    """All of it, fsynced; after a crash the old or the new one."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(_NEW, flags, 0o600, dir_fd=directory)
    with os.fdopen(fd, "wb") as file:
        file.write(_filled(head.slot) * 2 + _spelled(head.list))
        file.flush()
        os.fsync(fd)
    os.rename(_NEW, HEAD, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


def _filled(slot: Slot) -> bytes:
    data = _spelled(slot, SIZE)
    if len(data) > SIZE:
        raise OSError(f"{HEAD} has no room for {len(slot.over)} operations")
    return data


def _overwrite(directory: int, data: bytes, offset: int, sync: bool = False) -> None:
    fd = os.open(HEAD, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.pwrite(fd, data, offset)
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


def _spelled(values: Struct, size: int = 0) -> bytes:
    """A line: the CRC of all that follows it, then JSON, filled up with spaces."""
    text = to_json(values).ljust(size - 10)
    return b"%08x %b\n" % (crc32(text), text)


def _checked(data: bytes, kind: Any) -> Any:
    """ValueError when it is not what was written."""
    crc, text = data[:8], data[9:-1]
    if data[8:9] + data[-1:] != b" \n" or crc != b"%08x" % crc32(text):
        raise ValueError("not what was written")
    return from_json(text, kind)
