"""The state directory: nobody but root, or who runs this, may read or write there, or say where it is."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from gpupass.errors import GpupassError, Refused

DATABASE, HEAD = "store.db", "head"
FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", HEAD)


def open_directory(state: Path) -> int | None:
    """A descriptor of it; None when it is not there; Refused when it is not ours alone."""
    try:
        fd = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise Refused(
            f"cannot trust {state}: it is a symbolic link or no directory", f"ls -ld {state}"
        ) from None
    except PermissionError as error:
        raise Refused(f"cannot read {state}: {error.strerror}", "run it with sudo") from None
    except OSError as error:
        raise GpupassError(f"cannot read {state}: {error.strerror}") from None
    try:
        _require_private(os.fstat(fd), state, "700")
        for name in FILES:
            with suppress(FileNotFoundError):
                about = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if not stat.S_ISREG(about.st_mode):
                    raise Refused(
                        f"cannot trust {state / name}: it is no ordinary file", f"ls -ld {state / name}"
                    )
                _require_private(about, state / name, "600")
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_there(state: Path) -> bool:
    """It could be, where nobody lets us look."""
    try:
        state.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _require_private(about: os.stat_result, path: Path, mode: str) -> None:
    if about.st_uid not in (0, os.getuid()):
        raise Refused(f"cannot trust {path}: it belongs to user {about.st_uid}", f"chown root: {path}")
    if about.st_mode & 0o077:
        raise Refused(f"cannot trust {path}: others than its owner have access to it", f"chmod {mode} {path}")
