"""kill -9 at every commit of a change to GPUs in parts: recovered, each is as before or as asked for."""

import pytest

from gpupass import app
from tests.crash.test_kill_at_every_line import tear
from tests.machines_in_parts import gim_machine, hive_machine, intel_machine
from tests.profile_trips import apply, kinds, plan
from tests.simulated_amd import GIMS, HIVE
from tests.simulated_intel import CARD

ALLOWED = {"allow_disruption": True}


def shares(vfs, memory, quantum):
    return (
        f"gpus: [{{name: a, select: {{address: '{CARD}'}}, use: sriov, vfs: {vfs}, "
        f"vf: {{driver: vfio-pci, memory: {memory}, execution-quantum: {quantum}}}, pf: {{execution-quantum: 9}}}}]"
    )


def split(compute, memory):
    return f"gpus: [{{name: a, select: {{address: '{HIVE[0]}'}}, use: partition, compute: {compute}, memory: {memory}}}]"


def left_to(use):
    return f"gpus: [{{name: a, select: {{address: '{HIVE[0]}'}}, use: {use}}}]"


def given(vfs):
    return f"gpus: [{{name: a, select: {{address: '{GIMS[0]}'}}, use: sriov, vfs: {vfs}, vf: {{driver: vfio-pci}}}}]"


TRIPS = {
    "xe": (lambda state: intel_machine(state, "sysfs"), shares(3, 2048, 20), shares(4, 4096, 30)),
    "xe from none": (lambda state: intel_machine(state, "debugfs"), None, shares(2, 4096, 30)),
    "i915": (lambda state: intel_machine(state, "prelim_iov"), shares(2, 2048, 20), shares(2, 4096, 30)),
    "a hive": (hive_machine, split("DPX", "NPS1"), split("QPX", "NPS4")),
    "a hive for the first time": (hive_machine, None, split("QPX", "NPS4")),
    "a hive back to the host": (hive_machine, split("QPX", "NPS4"), left_to("host")),
    "a split GPU to a guest": (hive_machine, split("CPX", "NPS1"), left_to("passthrough")),
    "gim": (gim_machine, given(1), given(8)),
}


@pytest.mark.parametrize("name", TRIPS)
def test_as_before_or_as_asked_for(name, hidden, new_state, killed_at_every_line):
    make, before, wanted = TRIPS[name]
    machine = make(new_state())
    if before is not None:
        apply(machine, before, **ALLOWED)
    old = machine.snapshot()
    left = killed_at_every_line(machine, lambda machine: apply(machine, wanted, **ALLOWED))
    new = machine.snapshot()
    assert len(left) > 5 and old != new
    for number, (point, killed) in enumerate(left.items()):
        if number % 2:
            tear(killed)
        for report in app.recover(killed):
            assert report.ending in ("done", "rolled back"), f"killed at {point}: {report.note}"
        assert killed.snapshot() in (old, new), f"killed at {point}"
        assert killed.open_journals() == []
        apply(killed, wanted, **ALLOWED)
        assert kinds(plan(killed, wanted)) == [], f"killed at {point}, recovered, applied again"


def test_killed_amid_a_hive(hidden, new_state, monkeypatch):
    """One step, and many writes: amdgpu has let go of some of the GPUs, or taken back some."""
    machine = hive_machine(new_state())
    apply(machine, split("DPX", "NPS1"), **ALLOWED)
    old, wanted = machine.snapshot(), split("QPX", "NPS4")
    left, write = [], type(machine)._write

    def remember(self, path, value, seconds):
        if self is machine:
            left.append(machine.clone(new_state()))
        write(self, path, value, seconds)

    monkeypatch.setattr(type(machine), "_write", remember)
    apply(machine, wanted, **ALLOWED)
    new = machine.snapshot()
    assert len(left) > 2 * len(HIVE)
    for number, killed in enumerate(left):
        (report,) = app.recover(killed)
        assert report.ending == "rolled back", f"killed at write {number}: {report.note}"
        found = killed.snapshot()
        found["parts"].pop("asked", None)  # amdgpu does not forget a wish
        assert found == old, f"killed at write {number}"
        apply(killed, wanted, **ALLOWED)
        assert killed.snapshot()["parts"] == new["parts"]
