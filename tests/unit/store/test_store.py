"""The store: who may write it, what it looks like when it is not itself, and that two writers do not mix."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from gpupass.engine import journal
from gpupass.errors import Busy, Damaged, GpupassError, Refused
from gpupass.methods.mig.ownership import Made
from gpupass.model.mark import Origin
from gpupass.plan import Plan
from gpupass.steps.module import LoadModule
from gpupass.store import Store, database, marks
from tests.simulated import GPU, LONE

ROOT = Path(__file__).parents[3]
MARK = Origin(carrier=GPU, driver="nouveau")
PLAN = Plan(title="a plan", steps=(LoadModule(module="vfio-pci"),), devices=(GPU, LONE))


def begin(store):
    return journal.begin(store, PLAN, boot_id="b", time="2026-01-01T00:00:00+00:00", user="root")


@pytest.fixture
def state(new_state):
    return new_state()


@pytest.fixture
def store(state):
    with closing(Store(state)) as store:
        yield store


@pytest.fixture
def written(store, state):
    """One with an open operation and a mark, that lies there as after kill -9."""
    marks.set_mark(store, MARK)
    operation = begin(store)
    journal.intent(store, operation, 0, None)
    copy = state.with_name(f"{state.name}-killed")
    shutil.copytree(state, copy)
    return copy


def reads(state):
    with closing(Store(state)) as store:
        return marks.read_marks(store), len(journal.open_operations(store))


def test_who_only_reads_makes_nothing(store, state):
    assert marks.read_marks(store) == () and journal.open_operations(store) == ()
    store.require_sound()
    assert not state.exists()


def test_only_root_gets_in(store, state):
    old = os.umask(0)
    try:
        marks.set_mark(store, MARK)
    finally:
        os.umask(old)
    assert state.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in state.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("spoil", "why", "hint"),
    [
        (lambda state: state.chmod(0o750), "others than its owner have access", "chmod 700"),
        (lambda state: (state / "head").chmod(0o604), "others than its owner have access", "chmod 600"),
        (lambda state: (state / "store.db").chmod(0o620), "others than its owner have access", "chmod 600"),
        (lambda state: linked(state), "is a symbolic link", "ls -ld"),
        (lambda state: linked(state / "store.db"), "no ordinary file", "ls -ld"),
        (lambda state: linked(state / "head"), "no ordinary file", "ls -ld"),
    ],
)
def test_what_others_could_have_written_is_refused(spoil, why, hint, written):
    spoil(written)
    for ask in (marks.read_marks, Store.require_sound, Store.require_readable, begin):
        with closing(Store(written)) as store, pytest.raises(Refused, match=why) as refused:
            ask(store)
        assert refused.value.exit_code == 4 and hint in refused.value.hint


def linked(path):
    """Moved away, and a link in its place."""
    path.rename(path.with_name(f"{path.name}-elsewhere"))
    path.symlink_to(f"{path.name}-elsewhere")


def test_what_belongs_to_another_user_is_refused(written, monkeypatch):
    real = os.fstat

    def another(fd):
        about = list(real(fd))
        about[4] = 4711
        return os.stat_result(about)

    monkeypatch.setattr(os, "fstat", another)
    with pytest.raises(Refused, match="belongs to user 4711"):
        reads(written)


def test_an_ordinary_user_is_told_to_use_sudo(written, monkeypatch):
    def closed(path, *arguments, **more):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", closed)
    for ask in (marks.read_marks, journal.open_operations, Store.require_readable):
        with closing(Store(written)) as store, pytest.raises(Refused, match="Permission denied") as refused:
            ask(store)
        assert "sudo" in refused.value.hint


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda state: (state / "head").unlink(), "head is gone"),
        (lambda state: (state / "head").write_bytes(b""), "head"),
        (lambda state: (state / "store.db").unlink(), "it is gone, and head is still there"),
        (lambda state: (state / "store.db").write_bytes(b""), "store.db"),
        (lambda state: (state / "store.db").write_bytes(b"SQLite format 3"), "store.db"),
        (lambda state: (state / "store.db-wal").unlink(), "store.db"),
        (lambda state: os.truncate(state / "store.db-wal", 8000), "store.db"),
        (lambda state: sql(state, "DELETE FROM chain"), "commits"),
        (lambda state: sql(state, "UPDATE chain SET crc = crc + 1"), "a row of chain"),
        (lambda state: sql(state, "DELETE FROM operations"), "other open operations than head"),
        (lambda state: sql(state, "UPDATE operations SET ended = 2"), "other open operations"),
        (lambda state: sql(state, "UPDATE marks SET part = 'x'"), "a row of marks"),
        (lambda state: sql(state, "PRAGMA user_version = 0"), "version 0"),
        (lambda state: sql(state, "PRAGMA user_version = 3"), "version 3"),
        (lambda state: sql(state, "DROP TABLE marks"), "no such table"),
    ],
)
def test_damage_is_never_nothing_to_do(harm, why, written):
    """An older copy, a lost file, a lost tail, a row too few, a value that is not what was written."""
    assert reads(written) == ((MARK,), 1)
    harm(written)
    with pytest.raises(Damaged, match=why) as damaged:
        reads(written)
    assert damaged.value.exit_code == 5 and damaged.value.hint == "gpupass recover --forget"
    with closing(Store(written)) as store, pytest.raises(Damaged):
        store.require_sound()
    with closing(Store(written)) as store, pytest.raises(Damaged):
        begin(store)
        marks.read_marks(store)


def sql(state, text):
    with closing(sqlite3.connect(state / "store.db")) as connection:
        connection.execute(text)
        connection.commit()


def test_an_older_copy_of_the_database_is_damage(store, state, written):
    operation = journal.open_operations(store)[0]
    journal.done(store, operation, 0)
    for name in ("store.db", "store.db-wal"):
        shutil.copy(written / name, written / f"{name}.old")
    shutil.copy(state / "head", written / "head")
    with pytest.raises(Damaged, match="its last 1 commits"):
        reads(written)


def test_an_event_too_few_is_damage(written):
    sql(written, "DELETE FROM events WHERE number = 1")
    with pytest.raises(Damaged):
        reads(written)


def test_a_head_that_is_behind_is_brought_up(store, state):
    """Killed between the commit and the head."""
    begin(store)
    behind = (state / "head").read_bytes()
    marks.set_mark(store, MARK)
    (state / "head").write_bytes(behind)
    assert reads(state) == ((MARK,), 1)
    with closing(Store(state)) as another:
        marks.forget(another, MARK.key)
    assert reads(state) == ((), 1)


def test_the_last_commit_is_lost_before_the_head_has_heard_of_it(store, state):
    """Nobody has acted on it yet: as killed before it."""
    begin(store)
    before, size = (state / "head").read_bytes(), (state / "store.db-wal").stat().st_size
    marks.set_mark(store, MARK)
    copy = state.with_name(f"{state.name}-killed")
    shutil.copytree(state, copy)
    os.truncate(copy / "store.db-wal", size + 1000)
    with pytest.raises(Damaged, match="its last 1 commits"):
        reads(copy)
    (copy / "head").write_bytes(before)
    assert reads(copy) == ((), 1)


def test_of_two_slots_one_may_be_torn(store, state):
    for _ in range(3):
        marks.set_mark(store, MARK)
        data = (state / "head").read_bytes()
        for slot in (0, 512):
            (state / "head").write_bytes(data[:slot] + b"\0" * 512 + data[slot + 512 :])
            assert reads(state) == ((MARK,), 0)
        (state / "head").write_bytes(data)


def test_a_store_that_another_has_replaced_is_not_written_to(store, state, written):
    marks.set_mark(store, MARK)
    for name in ("store.db", "store.db-wal", "head"):
        shutil.copy(written / name, state / f"{name}.new")
        (state / f"{name}.new").rename(state / name)
    marks.forget(store, MARK.key)
    assert reads(state) == ((), 1)


def test_threads_and_processes_take_turns(store, state):
    code = (
        "import sys; from pathlib import Path\n"
        "from gpupass.store import Store, marks\n"
        "from gpupass.methods.sriov.marks import Made\n"
        "store = Store(Path(sys.argv[1]))\n"
        "for n in range(25):\n"
        "    marks.set_mark(store, Made(carrier=f'0000:{sys.argv[2]}:{n:02x}.0', vfs=n))\n"
    )
    argv = [sys.executable, "-c", code, str(state)]
    others = [subprocess.Popen([*argv, bus], cwd=ROOT) for bus in ("01", "02")]
    with ThreadPoolExecutor(4) as pool:
        made = (Made(carrier=f"0000:03:{n:02x}.0") for n in range(25))
        list(pool.map(lambda mark: marks.set_mark(store, mark), made))
    assert [other.wait(60) for other in others] == [0, 0]
    assert len(marks.read_marks(store)) == 75
    store.require_sound()


def test_another_that_does_not_end_is_said(store, written, monkeypatch):
    monkeypatch.setattr(database, "WAIT", 0.05)
    with (
        closing(Store(written)) as at_work,
        closing(Store(written)) as waiting,
        at_work.writing(),
        pytest.raises(Busy, match="another gpupass has been writing"),
    ):
        begin(waiting)


def test_a_newer_version_is_told_to_whom_is_older(store, state, monkeypatch):
    """And what an older one has written is read, and made new when something is written."""
    marks.set_mark(store, MARK)
    known = len(database.MIGRATIONS)
    more = ("CREATE TABLE queue (number INTEGER PRIMARY KEY, crc INTEGER NOT NULL) STRICT;",)
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, *more))
        assert reads(state) == ((MARK,), 0)
        with closing(Store(state)) as newer:
            begin(newer)
        assert reads(state) == ((MARK,), 1)
    with pytest.raises(Refused, match=f"it is of version {known + 1}, this gpupass knows {known}"):
        reads(state)


def test_two_owners_of_an_atom_are_impossible(store):
    with store.writing() as commit:
        commit.put("owned", "function 0000:01:00.0", "vm1")
        commit.put("held", "0000:01:00.0", "function 0000:01:00.0", "vm1")
        commit.put("fences", "0000:01:00.0", 1)
    with pytest.raises(GpupassError, match="FOREIGN KEY"), store.writing() as commit:
        commit.put("held", "0000:01:00.1", "function 0000:01:00.0", "vm2")
    store.require_sound()


def test_a_full_disk_is_told(state):
    """A real one for the process: no file may grow any more."""
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from gpupass.errors import Damaged, GpupassError\n"
        "from gpupass.store import Store, marks\n"
        "from gpupass.methods.sriov.marks import Made\n"
        "store = Store(Path(sys.argv[1]))\n"
        "mark = Made(carrier='0000:01:00.0', vfs=4)\n"
        "marks.set_mark(store, mark)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "size = (store.state / 'store.db-wal').stat().st_size\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))\n"
        "for _ in range(2):\n"
        "    try: marks.forget(store, mark.key)\n"
        "    except GpupassError as error: print(error.exit_code, error.message)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "assert marks.read_marks(store) == (mark,)\n"
        "marks.forget(store, mark.key); store.require_sound(); print(marks.read_marks(store))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(state)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    first, second, last = done.stdout.splitlines()
    assert first == second and first.startswith(f"1 cannot write {state}/store.db: ") and last == "()"
