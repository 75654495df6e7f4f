"""A recorded host: a directory that somebody else may have made, read so that nothing leads out of it.

Every link is followed here, part by part and each part opened without following: Python has no openat2(2).
"""

import os
import stat
from pathlib import Path

from gpupass.errors import Usage
from gpupass.system.reader import MOST, Reader, read_all

_LINKS = 40  # as the kernel (path_resolution(7))
_OPEN_AT_ONCE = 128  # directories
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class RecordedHost(Reader):
    """The machine that was stored in `directory`; Usage when that cannot be opened."""

    recorded = True

    def __init__(self, directory: Path | str) -> None:
        self.root = str(directory).rstrip("/") or "/"
        try:
            self._top = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Usage(f"cannot read a host from {self.root}: {error.strerror}") from None
        self._open: dict[str, int] = {}  # directories by their path without links
        self._real: dict[str, str] = {"": ""}

    def __del__(self) -> None:
        for fd in (getattr(self, "_top", -1), *getattr(self, "_open", {}).values()):
            if fd >= 0:
                os.close(fd)

    def read_bytes(self, path: str, limit: int = MOST) -> bytes | None:
        try:
            directory, name = self._place(self._follow(path))
            handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                return _read(handle, limit) if stat.S_ISREG(os.fstat(handle).st_mode) else None
            finally:
                os.close(handle)
        except (OSError, ValueError):  # a name that holds what no path can
            return None

    def names(self, path: str) -> tuple[str, ...]:
        try:
            place = self._at(self._follow(path))
            fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place)
        except (OSError, ValueError):
            return ()
        try:
            return tuple(sorted(os.listdir(fd)))  # noqa: PTH208 - of a descriptor
        finally:
            os.close(fd)

    def exists(self, path: str) -> bool:
        return self.resolve(path) is not None

    def target(self, path: str) -> str | None:
        try:
            above, _, name = path.rstrip("/").rpartition("/")
            return os.readlink(name, dir_fd=self._at(self._follow(above)))
        except (OSError, ValueError):
            return None

    def resolve(self, path: str) -> str | None:
        try:
            real = self._follow(path)
            if real:
                directory, name = self._place(real)
                os.stat(name, dir_fd=directory, follow_symlinks=False)
            return real
        except (OSError, ValueError):
            return None

    def _follow(self, path: str) -> str:
        """The path without links that it means; its last part need not be there."""
        known = self._real.get(path)
        if known is not None:
            return known
        done, todo, links = "", path.split("/")[::-1], 0
        while todo:
            part = todo.pop()
            if part == "..":
                done = done.rpartition("/")[0]
            elif part not in ("", "."):
                target = _link(part, self._at(done))
                if target is None:
                    done = f"{done}/{part}"
                    continue
                links += 1
                if links > _LINKS:
                    raise OSError("too many links")
                done = "" if target.startswith("/") else done
                todo += target.split("/")[::-1]
        self._real[path] = done
        return done

    def _place(self, real: str) -> tuple[int, str]:
        above, _, name = real.rpartition("/")
        return self._at(above), name or "."

    def _at(self, real: str) -> int:
        """The directory of a path without links."""
        if not real:
            return self._top
        if real not in self._open:
            above, _, name = real.rpartition("/")
            fd = os.open(name, _DIRECTORY, dir_fd=self._at(above))
            if len(self._open) >= _OPEN_AT_ONCE:
                os.close(self._open.pop(next(iter(self._open))))
            self._open[real] = fd
        return self._open[real]


def _link(name: str, directory: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError:
        return None


def _read(handle: int, limit: int) -> bytes:
    """Of the very file that was looked at."""
    fd = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return read_all(fd, limit)
    finally:
        os.close(fd)
