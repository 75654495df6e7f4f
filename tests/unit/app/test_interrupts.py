"""Ctrl-C while a step waits: the way there ends at once, the way back takes the time that it needs."""

import signal

import pytest

from gpupass import app
from gpupass.errors import Interrupted
from gpupass.system import interrupts
from tests.machines_in_parts import vgpu_machine
from tests.profile_trips import apply
from tests.simulated import GPU, GPU_AUDIO, NVIDIA
from tests.unit.app.test_vgpu_trips import ALLOWED, rule


def press():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture
def impatient(monkeypatch):
    """Somebody who presses it as soon as a machine waits."""

    def watches(machine):
        sleep = machine.sleep

        def seen(seconds):
            if not interrupts.asked():
                press()
            sleep(seconds)

        monkeypatch.setattr(machine, "sleep", seen)

    return watches


def test_nobody_waits_for_processes_that_may_go_by_themselves(machine, impatient):
    service = machine.systemd.add("nvidia-dcgm.service", "nv-hostengine", {NVIDIA: "/dev/nvidia0"})
    service.lasts = 15.0
    impatient(machine)
    began = machine.clock
    with pytest.raises(Interrupted):
        app.bind(machine, NVIDIA, stop=("dcgm",))
    assert machine.clock < began + 1 and (machine.driver(NVIDIA), service.active) == ("nvidia", True)


def test_nobody_waits_for_who_has_a_vgpu_open(nvml, new_state, impatient, monkeypatch):
    """It is removed when its function is closed; somebody has opened it since the look."""
    machine = vgpu_machine(new_state(), "vendor")
    apply(machine, rule("vgpu, types: {A100-5C: 1}"), **ALLOWED)
    monkeypatch.setattr(machine.vgpu, "in_use", lambda vf: True)
    impatient(machine)
    began = machine.clock
    with pytest.raises(Interrupted):
        apply(machine, rule("vgpu, types: {}"), **ALLOWED)
    assert machine.clock < began + 1 and len(machine.vgpu.vgpus) == 1


def test_the_way_back_waits_for_the_guest(machine):
    """It has the first function already, and takes its time to let go of it."""
    machine.libvirt.guests["vm1"].lets_go = 5.0
    machine.libvirt.faults["attach"] = [press]
    with pytest.raises(Interrupted):
        app.attach(machine, "vm1", GPU, GPU_AUDIO)
    assert machine.libvirt.guests["vm1"].asks == 1 and machine.libvirt.guests["vm1"].live == {}
    assert machine.driver(GPU) == "nouveau"
