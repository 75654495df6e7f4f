"""Writes copies of a machine's files below one directory, at the same paths; never outside it."""

import os
from pathlib import Path

from gpupass.errors import GpupassError, Refused, Usage
from gpupass.system.reader import Reader

_LARGEST = 1 << 20


def _private(directory: Path) -> int:
    """Closed to others first, then looked into: nobody can have left a link there to be followed."""
    another = f"gpupass record {directory}-2"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise GpupassError(f"cannot record into {directory}: {error.strerror}") from None
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            raise Refused(f"cannot record into {directory}: it is somebody else's", another)
        os.fchmod(fd, 0o700)
        if os.listdir(fd):  # noqa: PTH208 - of a descriptor
            raise Usage(f"cannot record into {directory}: it is not empty", another)
    except BaseException:
        os.close(fd)
        raise
    return fd


class Store:
    """A directory that becomes the root of a recorded machine."""

    def __init__(self, source: Reader, directory: Path) -> None:
        """Made, or empty and ours, and from now on nobody else's to enter; Usage, Refused, GpupassError."""
        self.files = 0
        self.size = 0
        self._source = source
        self._name = directory
        self._fd = _private(directory)
        self._directory = Path(f"/proc/self/fd/{self._fd}")  # whatever its name leads to later on

    def close(self) -> None:
        os.close(self._fd)

    def file(self, path: str, limit: int = _LARGEST) -> None:
        """The file as it is, where its real path lies; nothing when we may not read it."""
        real = path if path.startswith("/proc/") else self._source.resolve(path)  # /proc/net is /proc/PID/net
        data = self._source.read_bytes(path, limit=limit) if real is not None else None
        if real is not None and data is not None:
            self._write(real, data)

    def text(self, path: str, text: str) -> None:
        self._write(path, text.encode())

    def directory(self, path: str) -> None:
        self._present(self._below(path))

    def link(self, path: str) -> None:
        """The symbolic link as it is written, with the directory it points to; only within the root."""
        target, real = self._source.target(path), self._source.resolve(path)
        parent = self._source.resolve(path.rpartition("/")[0])
        if target is None or real is None or parent is None or target.startswith("/"):
            return
        link = self._below(f"{parent}/{path.rpartition('/')[2]}")
        aim = self._below(os.path.normpath(f"{parent}/{target}"))
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink() and not link.exists():
            link.symlink_to(target)
            self.files += 1
        if self._source.names(real):
            self._present(aim)

    def alias(self, path: str, real: str) -> None:
        """A symbolic link between two paths of the record, whatever lies between them on the machine."""
        link = self._below(path)
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink() and not link.exists():
                link.symlink_to(os.path.relpath(self._below(real), link.parent))
                self.files += 1
        except OSError as error:
            raise GpupassError(f"cannot write {self._name}{path}: {error.strerror}") from None

    def _present(self, directory: Path) -> None:
        """With a file in it, as every directory of sysfs has: git and some archives keep no empty one."""
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / "uevent").exists():
            (directory / "uevent").touch()

    def _write(self, path: str, data: bytes) -> None:
        where = self._below(path)
        try:
            where.parent.mkdir(parents=True, exist_ok=True)
            where.write_bytes(data)
        except OSError as error:
            raise GpupassError(f"cannot write {self._name}{path}: {error.strerror}") from None
        self.files += 1
        self.size += len(data)

    def _below(self, path: str) -> Path:
        """`path` is absolute and without `..`, so what it names lies in the directory."""
        return self._directory / os.path.normpath(path).lstrip("/")
