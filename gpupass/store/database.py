"""The database: its tables, how it is opened, brought to this version, checked, and written as a whole."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpupass.errors import Busy, Damaged, GpupassError, Refused
from gpupass.store import held
from gpupass.store.rows import Commit

WAIT = 10.0  # seconds for another gpupass to write what it has to
_IN_A_URI = str.maketrans({"%": "%25", "?": "%3f", "#": "%23"})  # what SQLite takes for something else there

# one script, or one filling of rows, a version; PRAGMA user_version says how many of them a database has had
MIGRATIONS: tuple[str | Callable[[Commit], None], ...] = (
    """
    CREATE TABLE chain (seq INTEGER PRIMARY KEY, hash TEXT NOT NULL, crc INTEGER NOT NULL) STRICT;
    CREATE TABLE operations (id TEXT PRIMARY KEY, began INTEGER NOT NULL, ended INTEGER,
      events INTEGER NOT NULL, devices TEXT NOT NULL, crc INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE events (operation TEXT, number INTEGER, body TEXT NOT NULL, crc INTEGER NOT NULL,
      PRIMARY KEY (operation, number)) STRICT, WITHOUT ROWID;
    CREATE TABLE marks (tag TEXT, carrier TEXT, part TEXT, body TEXT NOT NULL, crc INTEGER NOT NULL,
      PRIMARY KEY (tag, carrier, part)) STRICT, WITHOUT ROWID;
    CREATE TABLE applies (id TEXT PRIMARY KEY, body TEXT NOT NULL, crc INTEGER NOT NULL)
      STRICT, WITHOUT ROWID;
    CREATE TABLE owned (atom TEXT PRIMARY KEY, owner TEXT NOT NULL, crc INTEGER NOT NULL,
      UNIQUE (atom, owner)) STRICT, WITHOUT ROWID;
    CREATE TABLE held (slot TEXT, atom TEXT, owner TEXT NOT NULL, crc INTEGER NOT NULL,
      PRIMARY KEY (slot, atom), FOREIGN KEY (atom, owner) REFERENCES owned (atom, owner))
      STRICT, WITHOUT ROWID;
    CREATE TABLE fences (carrier TEXT PRIMARY KEY, fence INTEGER NOT NULL, crc INTEGER NOT NULL)
      STRICT, WITHOUT ROWID;
    """,
    held.fill,  # who holds what, from the claims
)
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_commits: dict[int, int] = {}  # so far, by process: a fork starts anew


def connect(path: Path, write: bool) -> sqlite3.Connection:
    mode = "rw" if write else "ro"
    connection = _connection(f"file:{str(path).translate(_IN_A_URI)}?mode={mode}")
    if write:
        _settings(connection)
    return connection


def in_memory(path: Path, of: sqlite3.Connection | None = None) -> sqlite3.Connection:
    """An empty one, or a copy, of this version."""
    connection = _connection(":memory:")
    if of is not None:
        of.backup(connection)
    migrate(connection, path)
    return connection


def build(path: Path, fill: Callable[[Commit], object]) -> str:
    """A new database with one commit in it, whole and on the disk; returns the commit's link of the chain."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    connection = connect(path, write=True)
    try:
        migrate(connection, path)
        begin(connection)
        first = Commit(connection, path)
        fill(first)
        link = first.link()
        commit(connection)
    finally:
        connection.close()  # the last one: its WAL goes into the file
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    return link


def _connection(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri, uri=True, timeout=WAIT, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _settings(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 250")  # pages: a WAL that is used again has its blocks
    connection.execute("PRAGMA foreign_keys = ON")


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """To this version, each all or nothing. Damaged when it is to be filled from what cannot be believed."""
    for number, step in enumerate(MIGRATIONS[version(connection) :], start=version(connection) + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {step if isinstance(step, str) else ''}")
        try:
            if not isinstance(step, str):
                step(Commit(connection, path))
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            roll_back(connection)
            raise


def require_version(connection: sqlite3.Connection, path: Path, told: int) -> None:
    """`told` by the head: what a migration leaves behind when it is killed is older, never newer."""
    found, known = version(connection), len(MIGRATIONS)
    if known < min(found, told):
        raise Refused(
            f"cannot read {path}: it is of version {found}, this gpupass knows {known}",
            "pip install --upgrade gpupass",
        )
    if not 0 < told <= found <= known:
        raise Damaged(path, f"it is of version {found}, its head of version {told}")


def require_whole(connection: sqlite3.Connection, path: Path) -> None:
    """Every page is where it belongs: a row that has vanished has no CRC that would not fit.

    integrity_check takes no longer here than quick_check, which leaves out indexes: there is hardly one
    (0.3 ms for 50 operations, 9 ms for a full history).
    """
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise Damaged(path, str(found).replace("\n", " "))


def begin(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")


def commit(connection: sqlite3.Connection) -> None:
    number = _commits[os.getpid()] = _commits.get(os.getpid(), 0) + 1
    at_commit(f"{number}-")
    connection.execute("COMMIT")
    at_commit(str(number))


def roll_back(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):  # a failing COMMIT may have ended it
        connection.execute("ROLLBACK")


def at_commit(point: str) -> None:
    """Nothing. Tests let it die here: 3- is just before its third commit, 3 between that and the head."""


@contextmanager
def told(path: Path, verb: str) -> Iterator[None]:
    """SQLite's errors and the disk's as ours. What cannot be read is damaged."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _BUSY:
            raise busy(path) from None
        if code in _DAMAGE or verb == "read":
            raise Damaged(path, str(error)) from None
        raise GpupassError(f"cannot {verb} {path}: {error}") from None
    except OSError as error:
        raise GpupassError(f"cannot {verb} {path}: {error.strerror or error}") from None


def busy(path: Path) -> Busy:
    return Busy(f"cannot write {path}: another gpupass has been writing for {WAIT:.0f} s", "try again")
