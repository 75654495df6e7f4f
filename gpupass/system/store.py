"""Writes copies of a machine's files below one directory, at the same paths; never outside it."""

import os
from pathlib import Path

from gpupass.errors import GpupassError
from gpupass.system.reader import Reader

_LARGEST = 1 << 20


class Store:
    """A directory that becomes the root of a recorded machine."""

    def __init__(self, source: Reader, directory: Path) -> None:
        self.files = 0
        self.size = 0
        self._source = source
        self._directory = directory

    def is_empty(self) -> bool:
        try:
            return not any(self._directory.iterdir())
        except FileNotFoundError:
            return True
        except OSError as error:
            raise GpupassError(f"cannot record into {self._directory}: {error.strerror}") from None

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
            raise GpupassError(f"cannot write {link}: {error.strerror}") from None

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
            raise GpupassError(f"cannot write {where}: {error.strerror}") from None
        self.files += 1
        self.size += len(data)

    def _below(self, path: str) -> Path:
        """`path` is absolute and without `..`, so what it names lies in the directory."""
        return self._directory / os.path.normpath(path).lstrip("/")
