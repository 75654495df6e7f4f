"""The store's disk is full from commit N on: told honestly, and put right by recover once there is room."""

import errno
import os
import sqlite3

import pytest

from gpupass import app
from gpupass.errors import GpupassError
from gpupass.store import database, head
from tests.crash.test_kill_at_every_line import SCENARIOS, SMALL, settled
from tests.crash.test_vgpu import BACKED, SLICED
from tests.machines_in_parts import vgpu_machine
from tests.profile_trips import apply, endings
from tests.simulated import Machine


@pytest.fixture
def disk(monkeypatch):
    """`room` commits fit; then none does, or with `partly` only what needs no new file beside them."""

    class Disk:
        room = 10**6
        partly = False

    real, rewrite = database.commit, head.rewrite

    def commit(connection):
        Disk.room -= 1
        if Disk.room < 0 and not Disk.partly:
            raise full()
        real(connection)

    def rewritten(directory, now):
        if Disk.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rewrite(directory, now)

    monkeypatch.setattr(database, "commit", commit)
    monkeypatch.setattr(head, "rewrite", rewritten)
    return Disk


def full():
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


@pytest.mark.parametrize("partly", [False, True], ids=["nothing fits", "no new file fits"])
@pytest.mark.parametrize("name", ["bind a card", "unbind", "attach from the host", "detach", "move"])
def test_the_disk_is_full_from_a_line_on(name, partly, hidden, new_state, disk):
    before, verb, touchable = SCENARIOS[name]
    original = Machine(new_state(), SMALL)
    for step in before:
        step(original)
    original.log.clear()
    old = original.snapshot()
    wanted = original.clone(new_state())
    verb(wanted)
    new = wanted.snapshot()
    disk.partly = partly
    for room in range(100):
        machine = original.clone(new_state())
        disk.room = room
        try:
            verb(machine)
            failed = None
        except GpupassError as error:
            failed = error
        complete = disk.room >= 0
        disk.room = 10**6
        if failed is None:
            assert machine.snapshot() == new, f"room for {room} commits: said done"
        elif failed.exit_code == 1:
            assert machine.snapshot() == old, f"room for {room} commits: said rolled back"
        else:
            assert failed.exit_code == 5 and "gpupass recover" in f"{failed.hint}", f"{room} {failed}"
        app.recover(machine)
        told = {0: (new,), 1: (old,), 5: (old, new)}[failed.exit_code if failed else 0]
        assert machine.snapshot() in told, f"room for {room} commits, recover"
        settled(machine, touchable)
        if complete:
            assert room > 5
            return
    raise AssertionError("the journal never fitted")


def test_what_was_taken_back_is_not_taken_back_again(nvml, new_state, disk):
    """A function that goes and comes in one operation: undoing all of it twice would take it once more."""
    original = vgpu_machine(new_state(), "vendor")
    apply(original, SLICED)
    original.log.clear()
    old, complete = original.snapshot(), False
    for room in range(2, 100):
        machine = original.clone(new_state())
        disk.room = room
        ended = endings(apply(machine, BACKED, allow_reset=True))
        complete = disk.room >= 0
        disk.room = 10**6
        if complete:
            break
        touched = len(machine.log)
        app.recover(machine)
        if ended == ["failed"]:
            assert machine.snapshot() == old and len(machine.log) == touched, f"room for {room} commits"
        assert machine.open_journals() == []
    assert complete
