"""A guest that does not let go is destroyed where somebody says so: what is told before, and what is left."""

import pytest
from click.testing import CliRunner

from gpupass import app
from gpupass.cli import hotplug, inspect
from gpupass.errors import GpupassError, NeedsPerson, Pending, Usage
from gpupass.model.domain import DomainState
from gpupass.system import interrupts
from gpupass.system.libvirt import LibvirtFailure
from tests.simulated import GPU, GPU_AUDIO, LONE
from tests.simulated_libvirt import REFUSES


@pytest.fixture
def stubborn(machine):
    app.attach(machine, "vm1", LONE)
    guest = machine.libvirt.guests["vm1"]
    guest.lets_go = REFUSES
    machine.log.clear()
    machine.resets.clear()
    return guest


def destroyed(machine):
    return [what for what, _ in machine.log if what.startswith("destroy")]


def test_one_that_lets_go_lives_on(machine, stubborn):
    stubborn.lets_go = 1.0
    app.detach(machine, "vm1", LONE, force=True)
    assert (destroyed(machine), stubborn.active) == ([], True)
    assert machine.resets == [LONE]


def test_one_that_does_not_is_destroyed_and_the_device_clean(machine, stubborn):
    start = machine.clock
    app.detach(machine, "vm1", LONE, timeout=5, force=True)
    assert destroyed(machine) == ["destroy vm1"]
    assert 5 <= machine.clock - start < 10
    assert machine.resets == [LONE]
    assert [record.split()[0] for record in machine.records()] == ["origin"]
    assert machine.open_journals() == []


def test_to_another_guest(machine, stubborn):
    app.move(machine, LONE, "vm2", timeout=5, force=True)
    assert destroyed(machine) == ["destroy vm1"]
    assert machine.libvirt.holders(LONE) == ["vm2"]
    assert machine.resets == [LONE]


def test_what_can_never_let_go_is_not_waited_for(machine):
    app.attach(machine, "vm1", LONE)
    guest = machine.libvirt.guests["vm1"]
    guest.hotplug_off = {plugged.bus for plugged in guest.live.values()}
    start = machine.clock
    app.detach(machine, "vm1", LONE, timeout=600, force=True)
    assert machine.clock - start < 10
    assert destroyed(machine) == ["destroy vm1"]


def test_a_paused_guest(machine, stubborn):
    stubborn.state = DomainState.PAUSED
    app.detach(machine, "vm1", LONE, timeout=1, force=True)
    assert destroyed(machine) == ["destroy vm1"]


def test_all_of_a_group_once(machine):
    app.attach(machine, "vm1", GPU, GPU_AUDIO)
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    app.detach(machine, "vm1", GPU, timeout=1, force=True)
    assert destroyed(machine) == ["destroy vm1"]
    assert set(machine.resets) >= {GPU, GPU_AUDIO}


def test_what_libvirt_manages_goes_home_with_it(machine):
    machine.libvirt.plug("vm1", LONE, managed=True)
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    app.detach(machine, "vm1", LONE, timeout=1, force=True)
    assert (destroyed(machine), machine.driver(LONE)) == (["destroy vm1"], "bochs-drm")


@pytest.mark.parametrize("fault", [LibvirtFailure("Failed to terminate process 4242", 38), "lies"])
def test_one_that_nothing_ends_is_pending(machine, stubborn, fault):
    machine.libvirt.faults["destroy"] = [fault]
    with pytest.raises(Pending, match="vm1 cannot be destroyed"):
        app.detach(machine, "vm1", LONE, timeout=1, force=True)
    app.recover(machine)
    assert (stubborn.active, machine.resets) == (False, [LONE])


def test_a_failure_afterwards_does_not_say_that_all_is_back(machine, stubborn):
    machine.libvirt.faults["attach"] = [LibvirtFailure("QEMU says no", 1)]
    with pytest.raises(NeedsPerson, match="vm1 has been destroyed") as told:
        app.move(machine, LONE, "vm2", timeout=1, force=True)
    assert told.value.hint == "virsh start vm1"


def test_ctrl_c_destroys_nobody(machine, stubborn, monkeypatch):
    def pressed():
        return machine.clock > start + 2

    start = machine.clock
    monkeypatch.setattr(interrupts, "asked", pressed)
    with pytest.raises(GpupassError) as told:
        app.detach(machine, "vm1", LONE, timeout=30, force=True)
    assert (destroyed(machine), stubborn.active) == ([], True)
    assert "call that off: gpupass detach vm1" in told.value.hint
    monkeypatch.setattr(interrupts, "asked", lambda: False)
    with pytest.raises(Pending):
        app.detach(machine, "vm1", LONE, timeout=1)
    with pytest.raises(Pending):
        app.detach(machine, "vm1", LONE, timeout=1)
    assert destroyed(machine) == []


@pytest.fixture
def typed(machine, monkeypatch):
    monkeypatch.setattr(inspect, "System", lambda: machine)

    def run(verb, *words):
        return CliRunner().invoke(verb, words, standalone_mode=False, catch_exceptions=True)

    return run


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (hotplug.detach, ("vm1", LONE, "--force")),
        (hotplug.move, (LONE, "--to", "vm2", "--force")),
        (hotplug.move, (LONE, "--to", "vm2", "--force", "--wait", "--yes")),
    ],
)
def test_only_with_yes_and_not_for_ever(machine, stubborn, typed, verb, words):
    result = typed(verb, *words)
    assert isinstance(result.exception, Usage)
    assert (stubborn.active, stubborn.asks) == (True, 0)


def test_it_says_before_what_is_lost(stubborn, typed):
    result = typed(hotplug.detach, "vm1", LONE, "--force", "--dry-run")
    assert f"destroy vm1, if it has not let go of {LONE}" in result.output
    assert "it loses its memory" in result.output
    result = typed(hotplug.detach, "vm1", LONE, "--force")
    assert "vm1 is destroyed unless it lets go in time" in result.exception.message


def test_with_yes_it_is_done(machine, stubborn, typed):
    result = typed(hotplug.detach, "vm1", LONE, "--force", "--yes", "--timeout", "1")
    assert result.exception is None
    assert not stubborn.active
