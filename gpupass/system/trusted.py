"""Files that order root about: opened once, and only where nobody else decides what their path means.

Root's are, and for one command those of whoever gives it with sudo. But he is not root: what he may not read
himself is neither quoted to him nor his to give.
"""

import errno
import os
import pwd
import stat
from pathlib import Path

from gpupass.errors import Refused
from gpupass.system.guarded import Hung, guarded
from gpupass.system.reader import read_all

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_SECONDS = 5.0


def read_trusted(path: str, limit: int, *, roots_alone: bool = False) -> bytes:
    """A regular file's first bytes; OSError, or Refused when we are root and others could change it.

    `roots_alone`: whoever is behind sudo is one of the others.
    """
    fd = os.open(path, _READ)
    try:
        about = os.fstat(fd)
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(0, "it is no regular file", path)
        if os.geteuid() == 0:
            _require_nobody_elses(fd, path, frozenset({0} if roots_alone else {0, _asker() or 0}))
        return read_all(fd, limit)
    finally:
        os.close(fd)


def require_roots(fd: int, path: str) -> None:
    """Refused when others than root, whoever is behind sudo among them, could change the open file."""
    _require_nobody_elses(fd, path, frozenset({0}))


def require_trusted_directory(path: Path) -> None:
    """Refused when we are root and others could change what is in it."""
    if os.geteuid() == 0:
        loose = changeable_by_others(str(path), sticky=True)
        if loose is not None:
            raise Refused(f"cannot trust {path}: others than root can change {loose}", f"ls -ld {loose}")


def changeable_by_others(
    path: str, sticky: bool = False, owners: frozenset[int] = frozenset({0})
) -> str | None:
    """The first of the path, of what it links to and of all directories above that others can change.

    `sticky`: a directory in which everybody has his own files, as /tmp, is no objection.
    """
    for end in dict.fromkeys((path, os.path.realpath(path))):
        for part in (Path(end), *Path(end).parents):
            about = part.lstat()
            if not _is_theirs(about, sticky and stat.S_ISDIR(about.st_mode), owners):
                return str(part)
    return None


def readable_by_asker(path: str) -> bool:
    """Could whoever is behind sudo read it himself? Tried as him, in a child."""
    asker = _asker()
    if asker is None:
        return True
    try:
        user = pwd.getpwuid(asker)
        groups = os.getgrouplist(user.pw_name, user.pw_gid)
    except KeyError:
        return False

    def read() -> bytes:
        os.setgroups(groups)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        os.close(os.open(path, _READ))
        return b""

    try:
        guarded(read, _SECONDS)
    except (OSError, Hung):
        return False
    return True


def _asker() -> int | None:
    """Whoever is behind sudo, which says so itself; None: we are not root, or root itself asks."""
    number = os.environ.get("SUDO_UID", "")
    behind = int(number) if os.geteuid() == 0 and number.isdecimal() else 0
    return behind or None


def _require_nobody_elses(fd: int, path: str, owners: frozenset[int]) -> None:
    """The file by its descriptor; the ways to it by name: nobody else can change where they lead."""
    about = os.fstat(fd)
    if not _is_theirs(about, False, owners):
        whose = "others can change it" if about.st_uid in owners else "it is not root's"
        raise Refused(f"cannot take orders from {path}: {whose}", f"chown root {path} && chmod go-w {path}")
    for way in dict.fromkeys((os.path.abspath(path), os.readlink(f"/proc/self/fd/{fd}"))):  # noqa: PTH100, PTH115
        loose = changeable_by_others(str(Path(way).parent), sticky=True, owners=owners)
        if loose is not None:
            raise Refused(f"cannot take orders from {path}: others can change {loose}", f"ls -ld {loose}")


def _is_theirs(about: os.stat_result, sticky: bool, owners: frozenset[int]) -> bool:
    """A link's own mode says nothing."""
    open_to_all = about.st_mode & 0o022 and not stat.S_ISLNK(about.st_mode)
    return about.st_uid in owners and not (open_to_all and not (sticky and about.st_mode & stat.S_ISVTX))
