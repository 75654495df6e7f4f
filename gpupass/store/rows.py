"""The only way to the rows: each carries a CRC, a commit is a link of the chain."""

import sqlite3
from pathlib import Path
from typing import Any
from zlib import crc32

from gpupass.errors import Damaged

_LINKS = 64  # of the chain that are kept at least; the head is at most one behind

COLUMNS = {
    "chain": ("seq", "hash"),
    "operations": ("id", "began", "ended", "events", "devices"),  # `ended`: the commit, NULL while it is open
    "events": ("operation", "number", "body"),
    "marks": ("tag", "carrier", "part", "body"),
    "applies": ("id", "body"),
    "owned": ("atom", "owner"),
    "held": ("slot", "atom", "owner"),
    "fences": ("carrier", "fence"),
}
_INSERT = {
    table: f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}, crc) VALUES ({'?, ' * len(columns)}?)"
    for table, columns in COLUMNS.items()
}


def _spelled(table: str, row: tuple[Any, ...]) -> bytes:
    """No value has a NUL in it."""
    return "\0".join(map(str, (table, *row))).encode()


class Rows:
    """Reads; a row that is not what was written is Damaged."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def rows(self, table: str, where: str = "", values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """Their columns as in COLUMNS; `where` is what follows the table's name in SQL."""
        select = f"SELECT {', '.join(COLUMNS[table])}, crc FROM {table} {where}"
        found = []
        for *row, crc in self._connection.execute(select, values):
            if crc != crc32(_spelled(table, tuple(row))):
                raise Damaged(self._path, f"a row of {table} is not what was written")
            found.append(tuple(row))
        return found


class Commit(Rows):
    """Writes; all of it, or nothing. `lists` says that the open operations are others now."""

    def __init__(self, connection: sqlite3.Connection, path: Path, over: tuple[str, ...] = ()) -> None:
        from hashlib import sha256

        super().__init__(connection, path)
        last = self.rows("chain", "ORDER BY seq DESC LIMIT 1") or [(0, "")]
        (self.last, before), *_ = last
        self.seq = self.last + 1
        self.lists = False
        self.over = over
        self._digest = sha256(before.encode())

    def put(self, table: str, *row: Any) -> None:
        data = _spelled(table, row)
        self._connection.execute(_INSERT[table], (*row, crc32(data)))
        self._digest.update(data)

    def add(self, table: str, *row: Any) -> None:
        """What is there already is never replaced."""
        data = _spelled(table, row)
        self._connection.execute(_INSERT[table].replace(" OR REPLACE", ""), (*row, crc32(data)))
        self._digest.update(data)

    def drop(self, table: str, **key: Any) -> None:
        where = " AND ".join(f"{name} = ?" for name in key)
        self._connection.execute(f"DELETE FROM {table} WHERE {where}", tuple(key.values()))
        self._digest.update(_spelled(f"no {table}", tuple(key.values())))

    def link(self) -> str:
        """The hash of the chain with this commit in it."""
        found = self._digest.hexdigest()
        self.put("chain", self.seq, found)
        if self.seq % _LINKS == 0:
            self._connection.execute("DELETE FROM chain WHERE seq <= ?", (self.seq - _LINKS,))
        return found
