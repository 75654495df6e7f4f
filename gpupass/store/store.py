"""A Store: one state directory's database, opened when it is first asked for; one writer at a time."""

import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec.structs import replace

from gpupass.errors import Damaged, GpupassError
from gpupass.model.wire import from_json
from gpupass.store import head
from gpupass.store.head import Head, HeadDamaged, List, Slot
from gpupass.store.place import DATABASE, HEAD, open_directory
from gpupass.system import System
from gpupass.system.locks import whole
from gpupass.system.state import ensure_directory

if TYPE_CHECKING:
    import sqlite3

    from gpupass.store.rows import Commit

NEW = "store.new"


def store_of(system: System) -> "Store":
    """The one of this machine, closed with it."""
    return system.keep(Store, lambda: Store(system.state))


class Reader(Protocol):
    """What both a database and nothing at all can be asked."""

    def rows(self, table: str, where: str = "", values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]: ...


class Nothing:
    """No gpupass has remembered anything here."""

    def rows(self, table: str, where: str = "", values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        return []


class Store:
    """Threads may share it. A process that forks must not have one open (SQLite)."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.path = state / DATABASE
        self._mine = threading.Lock()
        self._directory: int | None = None
        self._connection: sqlite3.Connection | None = None
        self._opened_file: int | None = None
        self._writes = False

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """One moment of it. Refused where we may not look, Damaged where it cannot be believed."""
        directory = self._opened_directory()
        if directory is None or self._file(directory) is None:
            yield self._without_database(directory)
            return
        from gpupass.store import database
        from gpupass.store.rows import Rows

        with self._turn(directory, shared=True), database.told(self.path, "read"):
            connection = self._opened(directory, write=False)
            connection.execute("BEGIN")
            try:
                yield Rows(connection, self.path)
            finally:
                database.roll_back(connection)

    @contextmanager
    def writing(self) -> "Iterator[Commit]":
        """A commit. When it returns, the database and then the head have it."""
        from gpupass.store import database
        from gpupass.store.rows import Commit

        directory = self._opened_directory() or self._made_directory()
        with self._turn(directory), database.told(self.path, "write"):
            connection = self._opened(directory, write=True)
            now = self._slot(directory)
            if now is None:
                raise Damaged(self.path, f"{HEAD} is gone")
            database.begin(connection)
            try:
                commit = Commit(connection, self.path, now.over)
                if now.seq > commit.last:
                    raise self._lost(now.seq - commit.last)
                yield commit
                link = commit.link()
                database.commit(connection)
            except BaseException:
                database.roll_back(connection)
                raise
            made = Slot(schema=len(database.MIGRATIONS), seq=commit.seq, hash=link, over=commit.over)
            if commit.lists:
                head.rewrite(directory, self._whole(commit, made))
            else:
                head.advance(directory, made)

    def say_over(self, operation: str) -> None:
        """It is all undone, and the disk too full for the database to say so: the head does."""
        from gpupass.store import database

        directory = self._opened_directory()
        if directory is not None:
            with self._turn(directory), database.told(self.path, "write"):
                now = self._slot(directory)
                if now is not None:
                    head.say_over(directory, replace(now, over=(*now.over, operation)))

    def over(self) -> tuple[str, ...]:
        """Operations that are rolled back though the database has them open."""
        directory = self._opened_directory()
        now = self._slot(directory) if directory is not None else None
        return now.over if now is not None else ()

    def require_readable(self) -> None:
        """Refused or Damaged where one would otherwise be told that there is nothing."""
        with self.reading():
            pass

    def require_sound(self) -> None:
        """Before anything is changed: all of it is there and whole. Where there is none, none is made."""
        directory = self._opened_directory()
        if directory is None or self._file(directory) is None:
            self._without_database(directory)
            return
        from gpupass.store import database
        from gpupass.store.rows import COLUMNS, Rows

        with self._turn(directory, shared=True), database.told(self.path, "read"):
            self._close_database()
            rows = Rows(self._opened(directory, write=False), self.path)
            for table in COLUMNS.keys() - {"events"}:  # those of what is over matter to nobody else
                rows.rows(table)

    def last_known(self) -> dict[str, tuple[str, ...]]:
        """The open operations and their devices, by the head alone, also of a store that is damaged."""
        from gpupass.store import database
        from gpupass.store.rows import Rows

        with suppress(GpupassError):
            directory = self._opened_directory()
            found = self._head(directory) if directory is not None else None
            return found.list.open if found is not None else {}
        with (
            suppress(GpupassError),
            database.told(self.path, "read"),
            closing(database.connect(self.path, write=False)) as connection,
        ):
            return self._devices(Rows(connection, self.path))
        return {}

    def close(self) -> None:
        self._close_database()
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None

    __del__ = close

    def _close_database(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._writes = None, False

    def _opened_directory(self) -> int | None:
        """Checked when it is opened, and kept."""
        if self._directory is None:
            self._directory = open_directory(self.state)
        return self._directory

    def _made_directory(self) -> int:
        ensure_directory(self.state)
        directory = self._opened_directory()
        if directory is None:
            raise GpupassError(f"cannot write {self.path}: its directory has vanished")
        return directory

    @contextmanager
    def _turn(self, directory: int, shared: bool = False) -> Iterator[None]:
        """Between threads by a lock, between processes by one on the directory: commit and head are one."""
        from gpupass.store.database import WAIT, busy

        if not self._mine.acquire(timeout=WAIT):
            raise busy(self.path)
        try:
            with whole(directory, shared, WAIT):
                yield
        except BlockingIOError:
            raise busy(self.path) from None
        finally:
            self._mine.release()

    def _file(self, directory: int) -> int | None:
        """The database's inode number: `recover --forget` puts another one in its place."""
        try:
            return os.stat(DATABASE, dir_fd=directory, follow_symlinks=False).st_ino
        except FileNotFoundError:
            return None

    def _without_database(self, directory: int | None) -> Reader:
        """What the first version keeps in files; or nothing."""
        if directory is not None and self._head(directory) is not None:
            raise Damaged(self.path, f"it is gone, and {HEAD} is still there")
        from gpupass.store import first_version

        if not first_version.is_there(self.state):
            return Nothing()
        from gpupass.store import database
        from gpupass.store.rows import Commit

        found = Commit(database.in_memory(self.path), self.path)
        first_version.take_over(found, self.state)
        return found

    def _opened(self, directory: int, write: bool) -> "sqlite3.Connection":
        """Checked when it is opened: a wrong database must not be written to, nor its WAL be thrown away."""
        from gpupass.store import database
        from gpupass.store.rows import Rows

        if self._connection is None or self._file(directory) != self._opened_file:
            self._close_database()
            if write and self._file(directory) is None:
                self._make(directory)
            self._opened_file = self._file(directory)
            self._connection = self._checked(directory)
        if write and not self._writes:
            self._close_database()
            connection = self._connection = database.connect(self.path, write=True)
            database.migrate(connection, self.path)
            if self._slot(directory) is None:
                head.rewrite(directory, self._first_head(Rows(connection, self.path)))
            from gpupass.store import first_version

            first_version.put_away(self.state)
            self._writes = True
        return self._connection

    def _make(self, directory: int) -> None:
        """Under another name first; once renamed it is believed, and the first version's files no more."""
        from gpupass.store import database, first_version

        self._without_database(directory)
        database.build(self.state / NEW, lambda commit: first_version.take_over(commit, self.state))
        os.rename(NEW, DATABASE, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)

    def _checked(self, directory: int) -> "sqlite3.Connection":
        """To be read, in this version's form."""
        from gpupass.store import database

        connection = database.connect(self.path, write=False)
        try:
            if 0 < database.version(connection) < len(database.MIGRATIONS):
                on_disk, connection = connection, database.in_memory(self.path, connection)
                on_disk.close()
            self._agree(connection, directory)
            database.require_whole(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _agree(self, connection: "sqlite3.Connection", directory: int) -> None:
        """The head and the database, which may be ahead of it, tell of the same past."""
        from gpupass.store import database
        from gpupass.store.rows import Rows

        rows = Rows(connection, self.path)
        told = self._head(directory)
        known = database.version(connection)
        database.require_version(connection, self.path, known if told is None else told.slot.schema)
        links = dict(rows.rows("chain"))
        last = max(links, default=0)
        if told is None:
            if last != 1:  # 1: it was made, and nothing has been done with it
                raise Damaged(self.path, f"{HEAD} is gone")
            return
        if told.slot.seq > last:
            raise self._lost(told.slot.seq - last)
        if links.get(told.slot.seq) != told.slot.hash:
            raise Damaged(self.path, f"it is not the one that {HEAD} tells of")
        found = rows.rows(
            "operations", "WHERE began <= ?1 AND (ended IS NULL OR ended > ?1)", (told.list.at,)
        )
        if {row[0] for row in found} != told.list.open.keys():
            raise Damaged(self.path, f"it has other open operations than {HEAD}")

    def _head(self, directory: int) -> Head | None:
        try:
            return head.read(directory)
        except (HeadDamaged, OSError) as error:
            raise Damaged(self.state / HEAD, str(error)) from None

    def _slot(self, directory: int) -> Slot | None:
        try:
            return head.read_slot(directory)
        except (HeadDamaged, OSError) as error:
            raise Damaged(self.state / HEAD, str(error)) from None

    def _first_head(self, rows: Reader) -> Head:
        """Of a database with which nothing has been done yet."""
        from gpupass.store import database

        ((seq, link),) = rows.rows("chain")
        return self._whole(rows, Slot(schema=len(database.MIGRATIONS), seq=seq, hash=link))

    def _whole(self, rows: Reader, slot: Slot) -> Head:
        return Head(slot=slot, list=List(at=slot.seq, open=self._devices(rows)))

    def _devices(self, rows: Reader) -> dict[str, tuple[str, ...]]:
        found = rows.rows("operations", "WHERE ended IS NULL")
        return {row[0]: from_json(row[-1], tuple[str, ...]) for row in found}

    def _lost(self, commits: int) -> Damaged:
        return Damaged(self.path, f"its last {commits} commits, which {HEAD} knows of, are gone")
