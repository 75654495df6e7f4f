"""Whole files of the host, replaced atomically, and only where root alone decides what their path means."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gpupass.errors import GpupassError, Refused
from gpupass.model.boot import HostFile

_LARGEST = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def read_file(root: str, path: str) -> HostFile | None:
    found = None
    with _told("read", path), _directory(root, path) as (directory, name):
        _require_ordinary(directory, name, path)
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        with os.fdopen(fd, "rb") as file:
            mode = stat.S_IMODE(os.fstat(fd).st_mode)
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise _untrusted(path, path, f"has more than {_LARGEST >> 20} MiB")
        found = HostFile(path=path, text=data.decode(errors="surrogateescape"), mode=mode)
    return found


def write_file(root: str, file: HostFile) -> None:
    """Temporary file, fsync, rename, fsync of the directory: after a crash the old one or the new one."""
    with _told("write", file.path), _directory(root, file.path, make=True) as (directory, name):
        _require_ordinary(directory, name, file.path)
        temporary = _temporary(name)
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600, dir_fd=directory)
        try:
            with os.fdopen(fd, "wb") as new:
                new.write(file.text.encode(errors="surrogateescape"))
                new.flush()
                os.fchmod(fd, file.mode)
                os.fsync(fd)
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
        os.fsync(directory)


def remove_file(root: str, path: str) -> None:
    """The file, and what a crash while writing it may have left; neither need be there."""
    with _told("remove", path), _directory(root, path) as (directory, name):
        _require_ordinary(directory, name, path)
        for old in (name, _temporary(name)):
            with suppress(FileNotFoundError):
                os.unlink(old, dir_fd=directory)
        os.fsync(directory)


def remove_directory(root: str, path: str) -> None:
    with _told("remove", path), _directory(root, path) as (directory, name):
        try:
            os.rmdir(name, dir_fd=directory)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                raise
        os.fsync(directory)


def _temporary(name: str) -> str:
    """Whoever reads the directory passes it over: hidden, and with no ending that means anything."""
    return f".{name}.gpupass-new"


@contextmanager
def _told(verb: str, path: str) -> Iterator[None]:
    """What is not there is neither read nor removed, and that is no failure."""
    try:
        yield
    except FileNotFoundError:
        if verb == "write":
            raise GpupassError(f"cannot write {path}: its directory has vanished") from None
    except PermissionError as error:
        raise Refused(f"cannot {verb} {path}: {error.strerror}", "run it with sudo") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _untrusted(path, path, "is a symbolic link") from None
        raise GpupassError(f"cannot {verb} {path}: {error.strerror}") from None


@contextmanager
def _directory(root: str, path: str, make: bool = False) -> Iterator[tuple[int, str]]:
    """The file's directory, opened part by part from the root, and its name there."""
    *parts, name = path.strip("/").split("/")
    here = ""
    fd = os.open(root or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            here = f"{here}/{part}"
            below = _enter(fd, part, path, here, make)
            os.close(fd)
            fd = below
        yield fd, name
    finally:
        os.close(fd)


def _enter(above: int, part: str, path: str, here: str, make: bool) -> int:
    made = False
    if make:
        with suppress(FileExistsError):
            os.mkdir(part, 0o755, dir_fd=above)
            made = True
    try:
        fd = os.open(part, _DIRECTORY, dir_fd=above)
    except NotADirectoryError:
        raise _untrusted(path, here, "is a symbolic link or no directory") from None
    if made:
        os.fchmod(fd, 0o755)  # whatever the umask is: the host's own programs read there
        os.fsync(above)
    about = os.fstat(fd)
    if about.st_uid not in (0, os.getuid()) or about.st_mode & 0o022:
        os.close(fd)
        raise _untrusted(path, here, "can be changed by others than root")
    return fd


def _require_ordinary(directory: int, name: str, path: str) -> None:
    with suppress(FileNotFoundError):
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            raise _untrusted(path, path, "is a symbolic link")
        if not stat.S_ISREG(mode):
            raise _untrusted(path, path, "is no ordinary file")


def _untrusted(path: str, what: str, why: str) -> Refused:
    return Refused(f"cannot trust {path}: {what if what != path else 'it'} {why}", f"ls -ld {what}")
