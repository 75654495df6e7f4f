"""Which images and snapshots are kept: those in use, and the one that was used last before them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from gpupass.lab.instance import Instance

KEPT = 2


def used(folder: Path) -> None:
    """Note that this image, or these snapshots, are the ones used last."""
    os.utime(folder)


def unkept(folders: Iterable[Path], in_use: Iterable[str]) -> tuple[Path, ...]:
    """All but the KEPT used last and those named as in use; oldest first."""
    by_use = sorted(folders, key=lambda folder: folder.stat().st_mtime_ns)
    held = set(in_use)
    return tuple(folder for folder in by_use[:-KEPT] if folder.name not in held)


def images(cache: Path) -> tuple[str, ...]:
    """Remove images nobody needs, and say which; their snapshots lie inside them and go with them."""
    shutil.rmtree(cache / "snapshots", ignore_errors=True)  # where they lay in the first version
    disks = (path.parent.name for path in (cache / "instances").glob("*/disk.qcow2"))
    records = (Instance(name).record() for name in disks)
    built = (path for path in (cache / "images").glob("*") if not path.name.startswith("building-"))
    gone = unkept(built, (record.image for record in records if record is not None))
    for folder in gone:
        shutil.rmtree(folder)
    return tuple(folder.name for folder in gone)


def snapshots(root: Path, topology: str) -> None:
    """Remove snapshots of this topology as it was, or under another QEMU, a while ago."""
    for folder in unkept(root.glob(f"{topology}-{16 * '?'}"), ()):
        shutil.rmtree(folder)
