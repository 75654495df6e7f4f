"""What can be looked at: files, directories and links below one root. Whoever only looks takes a Reader."""

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime

Number = tuple[int, int]  # of a device: major, minor
BLOCK = 1 << 31  # beside the major of a block device: a character device may have the same numbers
MOST = 1 << 24  # bytes of any one file
ORDER = 1 << 16  # bytes of a file that says what root may do
_OPEN = os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Reader(ABC):
    """A machine, live or recorded. It has no writers.

    Paths are absolute, as on the machine itself; what is not there, or not for us to read, is None or ().
    """

    root = ""
    recorded = False

    @abstractmethod
    def read_bytes(self, path: str, limit: int = MOST) -> bytes | None:
        """A regular file's first bytes."""

    @abstractmethod
    def names(self, path: str) -> tuple[str, ...]:
        """What a directory holds, sorted."""

    @abstractmethod
    def exists(self, path: str) -> bool: ...

    @abstractmethod
    def target(self, path: str) -> str | None:
        """A symbolic link's target as it is written."""

    @abstractmethod
    def resolve(self, path: str) -> str | None:
        """The real path behind links, again below the root."""

    def read_order(self, path: str) -> bytes | None:
        """A file that says what root may do; Refused when others than root can change it."""
        return self.read_bytes(path, ORDER)

    def why_no_rom(self, path: str) -> str | None:
        """Why no guest is given this file as a ROM; "" when one may be, None: a record does not tell."""
        return None

    def read_many(self, paths: Sequence[str]) -> Sequence[bytes | None]:
        """The same of several files, in their order and with fewer words than one by one."""
        return [self.read_bytes(path) for path in paths]

    def opened(self, processes: Sequence[int]) -> Sequence[frozenset[Number]]:
        """The devices that each has open or mapped; a record has no processes."""
        return [frozenset() for _ in processes]

    def answers(self, path: str) -> bool:
        """False: something below this directory does not answer; what is not known of it may be so."""
        return True

    def looking(self) -> AbstractContextManager[list[str]]:
        """What does not answer within is no failure: it gets into the list."""
        return nullcontext([])

    def read(self, path: str) -> str | None:
        """The stripped text of a file."""
        data = self.read_bytes(path)
        return None if data is None else data.decode(errors="replace").strip()

    def link(self, path: str) -> str | None:
        """The last part of a symbolic link's target: a driver's name, a group's number."""
        target = self.target(path)
        return None if target is None else target.rpartition("/")[2]

    def now(self) -> str:
        return datetime.now(UTC).isoformat(timespec="seconds")

    def hostname(self) -> str:
        """Of a record it is not known: ""."""
        return self.read("/proc/sys/kernel/hostname") or ""

    def machine_id(self) -> str:
        """machine-id(5), which stays for as long as the installation; of a record it is not known: ""."""
        return self.read("/etc/machine-id") or ""

    def boot_id(self) -> str:
        return self.read("/proc/sys/kernel/random/boot_id") or ""


def follows(path: str) -> bool:
    """May its last part be a link? Attributes of the kernel are none."""
    return not path.startswith("/sys/")


def read_regular(path: str, limit: int, *, follow: bool) -> bytes | None:
    """None for what is no regular file: a FIFO would wait, a device would act."""
    fd = os.open(path, os.O_RDONLY | _OPEN | (0 if follow else os.O_NOFOLLOW))
    try:
        return read_all(fd, limit) if stat.S_ISREG(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)


def read_all(fd: int, limit: int) -> bytes:
    """Up to `limit` bytes."""
    chunks = []
    while limit > 0 and (chunk := os.read(fd, min(limit, 1 << 16))):
        chunks.append(chunk)
        limit -= len(chunk)
    return b"".join(chunks)
