"""State directories of the first version through the mincer: journals, records, applies that no gpupass wrote.

Taking them over, recover, history and rollback answer or refuse, and nothing outside the directory is written.
"""

import logging
import os
import random
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gpupass import app
from gpupass.app import history
from gpupass.engine import journal
from gpupass.errors import Damaged, GpupassError
from gpupass.profiles import load_profile
from gpupass.store import Store
from gpupass.store.applies import read_applies
from gpupass.store.marks import read_marks
from gpupass.store.place import FILES
from tests.fuzz.profiles import MUTATIONS
from tests.profile_trips import apply, plan
from tests.simulated import Machine

_TOKEN = re.compile(rb'"[^"]*"|[\w.-]+|[^\w\s"]')
_NASTY = (
    *(b"null", b"true", b"-1", b"0", b"7", b"99999999999999999999", b"1e999", b"NaN", b"{}", b"[]", b'""'),
    *(b'"../../../../tmp/gpupass-was-here"', b'"/etc/passwd"', b'"\\u0000"', b'"\\ud800"', b'"boot"'),
    *(b'"0000:02:00.0"', b'"0000:0a:00.0"', b'"0000:ff:1f.7"', b'"vfio-pci"', b'"done"', b'"intent"'),
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_EVENTS = {
    "os.rename": 2,
    "os.remove": 1,
    "os.rmdir": 1,
    "os.mkdir": 1,
    "os.link": 2,
    "os.symlink": 2,
    "os.truncate": 1,
}
_allowed: list[Path] = []  # while a guard is up: the only place that may be written to
_outside: list[str] = []


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if not _allowed:
        return
    if event == "open" and isinstance(arguments[0], str | bytes) and int(arguments[2] or 0) & _WRITES:
        paths = arguments[:1]
    else:
        paths = arguments[: _EVENTS.get(event, 0)]
    for path in paths:
        if isinstance(path, int) or path in FILES or path in ("head.new", "store.new"):
            continue  # an open file's, or the store's own, in its open directory
        where = os.path.realpath(os.fsdecode(path))
        if not where.startswith(f"{_allowed[0]}/") and where != str(_allowed[0]):
            _outside.append(f"{event} {where}")


@contextmanager
def _guard(directory: Path) -> Iterator[None]:
    if "hooked" not in _state:
        sys.addaudithook(_audit)
        _state.add("hooked")
    _outside.clear()
    _allowed.append(Path(os.path.realpath(directory)))
    try:
        yield
    finally:
        _allowed.clear()
    assert not _outside, _outside


_state: set[str] = set()


@dataclass
class Minced:
    """What became of them."""

    damaged: int = 0
    believed: int = 0
    trips: int = 0


def fuzz_states(
    machine: Machine, originals: list[Path], where: Path, count: int, trips: int, seed: int = 0
) -> Minced:
    """Mince a file in `count` state directories; of those still believed, recover and roll back `trips`."""
    chance = random.Random(seed)
    logger = logging.getLogger("gpupass")
    logger.disabled, minced = True, Minced()
    try:
        for number in range(count):
            original = chance.choice(originals)
            path = chance.choice(sorted(p for p in original.rglob("*.json*") if p.is_file()))
            data = path.read_bytes()
            for _ in range(chance.choice((1, 1, 2, 4))):
                data = chance.choice((_swap_tokens, _put_token, _put_token, *MUTATIONS))(chance, data)
            with _told(f"seed {seed}, number {number}: {path.parent.name}: {data!r}"):
                _survives(machine, original, path.relative_to(original), data, where, minced, trips)
    finally:
        logger.disabled = False
    return minced


@contextmanager
def _told(which: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error} by {which}") from error


def _survives(
    machine: Machine, original: Path, path: Path, data: bytes, where: Path, minced: Minced, trips: int
) -> None:
    where.mkdir(mode=0o700)
    (where / path).parent.mkdir()
    (where / path).write_bytes(data)
    with _guard(where):
        believed = _read(where)
    shutil.rmtree(where)
    minced.believed += believed
    minced.damaged += not believed
    if not believed or minced.trips == trips:
        return
    minced.trips += 1
    shutil.copytree(original, where)
    where.chmod(0o700)
    (where / path).write_bytes(data)
    twin = machine.clone(where)
    with _guard(where):
        _go(twin)
    shutil.rmtree(where)


def _read(state: Path) -> bool:
    with closing(Store(state)) as store:
        try:
            journal.open_operations(store)
            journal.ended_operations(store)
            read_applies(store)
            read_marks(store)
        except Damaged:
            return False
        return True


def _go(machine: Machine) -> None:
    for verb in (app.recover, history.history, _plan_the_way_back, app.recover):
        try:
            verb(machine)
        except GpupassError:
            continue


def _plan_the_way_back(machine: Machine) -> None:
    entry = history.last_apply(machine)
    before = load_profile("before", lambda name: entry.before, "")
    plan(machine, before)
    apply(machine, before, takes_back=entry.id, allow_disruption=True)


def _put_token(chance: random.Random, data: bytes) -> bytes:
    found = list(_TOKEN.finditer(data))
    if not found:
        return data
    match = chance.choice(found)
    return data[: match.start()] + chance.choice(_NASTY) + data[match.end() :]


def _swap_tokens(chance: random.Random, data: bytes) -> bytes:
    words = _TOKEN.findall(data)
    return _put(data, chance.choice(words), chance.choice(words)) if words else data


def _put(data: bytes, old: bytes, new: bytes) -> bytes:
    return data.replace(old, new, 1)
