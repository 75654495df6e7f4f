"""gpupass's own directories: root-only, and on the disk when they are said to be."""

import os
from pathlib import Path

from gpupass.errors import GpupassError
from gpupass.system.trusted import require_trusted_directory


def ensure_directory(path: Path) -> Path:
    """The directory, root-only as those it makes above it; GpupassError when it cannot be made."""
    try:
        missing = [path, *(above for above in path.parents if not above.exists())]
        for directory in reversed(missing):
            directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise GpupassError(
            f"cannot keep state in {path}: {error.strerror}", "run it as root: sudo gpupass …"
        ) from None
    require_trusted_directory(path)
    return path


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
