"""A damaged store is set aside, and a new one believed: nothing is in it but what a person has to look at."""

import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path

from gpupass.errors import Refused
from gpupass.model.mark import Mark
from gpupass.store import database, first_version, head, marks
from gpupass.store.head import Head, List, Slot
from gpupass.store.place import DATABASE, FILES, HEAD, open_directory
from gpupass.store.store import NEW, Store
from gpupass.system.locks import whole
from gpupass.system.state import ensure_directory, sync_directory


def start_anew(store: Store, known: Iterable[Mark]) -> Path:
    """Where the damaged one is now. Killed at any point it is damaged still, or the new one is believed.

    The WAL goes before the database that it is of (SQLite would replay it on the next one), the head last.
    """
    store.close()
    directory = open_directory(store.state)
    if directory is None:
        raise Refused(f"cannot set {store.state} aside: it is gone", "gpupass recover")
    try:
        with whole(directory, shared=False, wait=database.WAIT):
            aside = ensure_directory(_free(store.state))
            link = database.build(store.state / NEW, lambda commit: marks.put(commit, *known))
            for name in FILES:
                with suppress(FileNotFoundError):
                    (aside / name).hardlink_to(store.state / name)
            sync_directory(aside)
            for name in FILES:
                if name not in (DATABASE, HEAD):
                    (store.state / name).unlink(missing_ok=True)
            os.rename(NEW, DATABASE, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)
            head.rewrite(
                directory, Head(slot=Slot(schema=len(database.MIGRATIONS), seq=1, hash=link), list=List(at=1))
            )
            first_version.put_away(store.state)
    except BlockingIOError:
        raise database.busy(store.path) from None
    finally:
        os.close(directory)
    return aside


def _free(state: Path) -> Path:
    names = (state / f"damaged-{number}" for number in count(1))
    return next(path for path in names if not path.exists())
