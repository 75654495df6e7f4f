"""The journal's disk is full from line N on: told honestly, and put right by recover once there is room."""

import errno
import os

import pytest

from gpupass import app
from gpupass.errors import GpupassError
from tests.crash.test_kill_at_every_line import SCENARIOS, SMALL, settled
from tests.crash.test_vgpu import BACKED, SLICED
from tests.machines_in_parts import vgpu_machine
from tests.profile_trips import apply, endings
from tests.simulated import Machine


@pytest.fixture
def disk(monkeypatch):
    """`room` lines fit; then nothing does, or `partly` the beginning of a line."""

    class Disk:
        room = 10**6
        partly = False

    real = os.pwrite

    def pwrite(fd, data, offset):
        if not data.startswith(b"{"):
            return real(fd, data, offset)
        Disk.room -= 1
        if Disk.room >= 0:
            return real(fd, data, offset)
        if Disk.partly:
            return real(fd, data[: len(data) // 2], offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", pwrite)
    return Disk


@pytest.mark.parametrize("partly", [False, True], ids=["nothing fits", "half a line fits"])
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
            assert machine.snapshot() == new, f"room for {room} lines: said done"
        elif failed.exit_code == 1:
            assert machine.snapshot() == old, f"room for {room} lines: said rolled back"
        else:
            assert failed.exit_code == 5 and "gpupass recover" in failed.hint
        app.recover(machine)
        told = {0: (new,), 1: (old,), 5: (old, new)}[failed.exit_code if failed else 0]
        assert machine.snapshot() in told, f"room for {room} lines, recover"
        settled(machine, touchable)
        if complete:
            assert room > 8
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
            assert machine.snapshot() == old and len(machine.log) == touched, f"room for {room} lines"
        assert machine.open_journals() == []
    assert complete
