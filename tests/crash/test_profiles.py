"""kill -9 at every commit of an apply with several devices: each is as before or as asked for."""

import fcntl
import os
import threading
import time

import pytest

from gpupass import app
from gpupass.app import history
from gpupass.errors import Busy, Damaged, GpupassError
from gpupass.store import store_of
from gpupass.system.locks import hold
from gpupass.system.state import ensure_directory
from tests.crash.test_full_disk import disk
from tests.crash.test_kill_at_every_line import tear
from tests.profile_trips import apply, endings, kinds, plan, rollback
from tests.simulated import DISK, FUNCTIONS, GPU, GPU_AUDIO, LONE, NIC, Machine

__all__ = ["disk"]
VFS = ("0000:0a:10.0", "0000:0a:10.2")
CARD, PORTS = (GPU, GPU_AUDIO), (NIC, *VFS)
_USED = {*CARD, LONE, NIC, DISK}
SMALL = tuple(
    f for f in FUNCTIONS if f.address in _USED | {used.parent for used in FUNCTIONS if used.address in _USED}
)
GIVEN = f"""
gpus:
  - {{name: card, select: {{address: '{GPU}'}}, use: passthrough}}
  - {{name: nic, select: {{address: '{NIC}'}}, use: sriov, vfs: 2, vf: {{driver: vfio-pci}}}}
  - {{name: other, select: {{address: '{LONE}'}}, use: passthrough}}
attachments:
  - {{domain: vm1, device: card}}
  - {{domain: vm2, device: nic/vf1}}
"""
TAKEN = f"""
gpus:
  - {{name: card, select: {{address: '{GPU}'}}, use: host}}
  - {{name: nic, select: {{address: '{NIC}'}}, use: sriov, vfs: 1}}
"""
SWAPPED = GIVEN.replace("vm1", "vm3").replace("vm2", "vm1").replace("vm3", "vm2")
TRIPS = {
    "from the host to guests": (None, GIVEN),
    "from guests to the host": (GIVEN, TAKEN),
    "from one guest to another": (GIVEN, SWAPPED),
}


def apply_it(text):
    return lambda machine: apply(machine, text, allow_disruption=True)


def parts(machine):
    """What is so of each set of devices that changes together."""
    state = machine.snapshot()
    return {
        name: (
            {address: state["drivers"].get(address) for address in addresses},
            {address: state["overrides"].get(address) for address in addresses},
            state["vfs"].get(addresses[0]),
            {guest: sorted(set(live) & set(addresses)) for guest, live in state["live"].items()},
            {key: value for key, value in state["records"].items() if key.split()[1] in addresses},
        )
        for name, addresses in {"card": CARD, "nic": PORTS, "other": (LONE,)}.items()
    }


@pytest.fixture
def prepared(hidden, new_state):
    def make(text):
        machine = Machine(new_state(), SMALL)
        machine.register_driver("igbvf")
        if text is not None:
            apply(machine, text)
        machine.log.clear()
        return machine

    return make


def settled(machine):
    assert machine.open_journals() == []
    with hold(machine.state, (*CARD, *PORTS, LONE), wait=0.0):
        pass


@pytest.mark.parametrize("name", TRIPS)
def test_each_device_is_as_before_or_as_asked_for(name, prepared, new_state, killed_at_every_line):
    before, wanted = TRIPS[name]
    machine = prepared(before)
    old = parts(machine)
    left = killed_at_every_line(machine, apply_it(wanted))
    new = parts(machine)
    assert len(left) > 20
    for number, (point, killed) in enumerate(left.items()):
        if number % 2:
            tear(killed)
        reports = app.recover(killed)
        found = parts(killed)
        for device in old:
            assert found[device] in (old[device], new[device]), f"killed at {point}: {device}"
        assert len(reports) <= 1
        for report in reports:
            assert report.ending in ("done", "rolled back")
            device = next(name for name in old if f"{name}:" in report.title)
            assert found[device] == (new if report.ending == "done" else old)[device], f"killed at {point}"
        settled(killed)
        if number % 3 == 0 and kinds(plan(killed, wanted)):
            apply_it(wanted)(killed)
            assert parts(killed) == new, f"killed at {point}, recovered, applied again"


@pytest.mark.parametrize("name", TRIPS)
def test_the_same_apply_again_settles_what_was_left(name, prepared, killed_at_every_line):
    before, wanted = TRIPS[name]
    machine = prepared(before)
    left = killed_at_every_line(machine, apply_it(wanted))
    new = parts(machine)
    for point, killed in list(left.items())[::3]:
        apply_it(wanted)(killed)
        assert parts(killed) == new, f"killed at {point}"
        settled(killed)


@pytest.mark.parametrize("name", ["from the host to guests", "from guests to the host"])
def test_rolled_back_after_a_crash(name, prepared, killed_at_every_line):
    """The entry of the apply is written before the first device is touched."""
    before, wanted = TRIPS[name]
    machine = prepared(before)
    old = parts(machine)
    for point, killed in list(killed_at_every_line(machine, apply_it(wanted)).items())[1::4]:
        app.recover(killed)
        assert history.last_apply(killed).end == "interrupted"
        rollback(killed)
        assert same_hardware(parts(killed), old), f"killed at {point}"


def same_hardware(found, old):
    return all(found[device][:4] == old[device][:4] for device in old)


@pytest.mark.parametrize("name", ["from the host to guests", "from guests to the host"])
def test_killed_and_rebooted(name, prepared, killed_at_every_line):
    before, wanted = TRIPS[name]
    for point, killed in list(killed_at_every_line(prepared(before), apply_it(wanted)).items())[::3]:
        killed.reboot()
        for guest in killed.libvirt.guests.values():
            guest.state = type(guest.state).RUNNING
        killed.log.clear()
        app.recover(killed)
        assert killed.log == [] and killed.open_journals() == [], f"killed at {point}"
        apply_it(wanted)(killed)
        assert kinds(plan(killed, wanted)) == [], f"killed at {point}, rebooted, applied"


@pytest.mark.parametrize("partly", [False, True], ids=["nothing fits", "half a line fits"])
@pytest.mark.parametrize("name", ["from the host to guests", "from guests to the host"])
def test_the_disk_is_full_from_a_line_on(name, partly, prepared, new_state, disk):
    before, wanted = TRIPS[name]
    original = prepared(before)
    old = parts(original)
    reached = original.clone(new_state())
    apply_it(wanted)(reached)
    new = parts(reached)
    disk.partly = partly
    for room in range(0, 120, 5):
        machine = original.clone(new_state())
        disk.room = room
        try:
            reports = apply_it(wanted)(machine).reports
        except GpupassError:
            reports = ()
        complete = disk.room >= 0
        disk.room = 10**6
        for report in reports:
            device = next(name for name in old if f"{name}:" in report.title)
            if report.ending != "needs a person":  # then recover it is
                told = {"done": new, "failed": old}[report.ending]
                assert parts(machine)[device] == told[device], f"room for {room} lines"
        app.recover(machine)
        found = parts(machine)
        assert all(found[device] in (old[device], new[device]) for device in old), f"room for {room} lines"
        settled(machine)
        if complete:
            assert room > 20 and found == new
            return
    raise AssertionError("the journal never fitted")


def test_an_apply_that_is_not_what_was_written_is_damage(prepared):
    machine = prepared(GIVEN)
    store = store_of(machine)
    with store.writing() as commit:
        commit._connection.execute("UPDATE applies SET body = replace(body, 'passthrough', 'host')")
    with pytest.raises(Damaged, match="a row of applies"):
        history.history(machine)
    with pytest.raises(Damaged, match="a row of applies"):
        apply_it(TAKEN)(machine)


def test_two_applies_do_not_interleave(prepared):
    """The second one waits for the locks of the first, looks again, and finds nothing to do."""
    machine = prepared(None)
    inside, at_most, order = 0, 0, []
    real = machine._write

    def slowly(path, value, seconds):
        nonlocal inside, at_most
        inside += 1
        at_most = max(at_most, inside)
        order.append(threading.get_ident())
        time.sleep(0.002)
        real(path, value, seconds)
        inside -= 1

    machine._write = slowly
    results = []
    threads = [threading.Thread(target=lambda: results.append(apply(machine, GIVEN))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(len(endings(applied)) for applied in results) == [0, 3]
    assert at_most == 1 and len(set(order)) == 1
    assert kinds(plan(machine, GIVEN)) == []


def test_an_apply_is_refused_while_another_gpupass_keeps_a_device(prepared, monkeypatch):
    machine = prepared(None)
    monkeypatch.setattr("gpupass.app.trip.hold", lambda state, devices, wait: hold(state, devices, wait=0.1))
    ensure_directory(machine.state / "locks")
    lock = os.open(machine.state / "locks" / NIC, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(Busy):
        apply(machine, GIVEN)
    os.close(lock)
    assert machine.log == []
    assert apply(machine, GIVEN).done
