"""A write that never returns, of any kind of step: its devices go into quarantine, and nobody touches them again."""

import pytest

from gpupass import app
from tests.machines_in_parts import hive_machine, others_functions, vgpu_machine
from tests.profile_trips import apply, endings
from tests.simulated_amd import HIVE
from tests.simulated_vgpu import CARD
from tests.unit.app.test_amd_partitions import split
from tests.unit.app.test_vgpu_trips import ALLOWED, rule

pytestmark = pytest.mark.usefixtures("nvml")
VGPU = rule("vgpu, types: {A100-5C: 1}, params: {disable_vnc: 1}")


def vendor(state):
    machine = vgpu_machine(state, "vendor")
    others_functions(machine)
    return machine


def mediated(state):
    machine = vgpu_machine(state, "mdev")
    others_functions(machine)
    return machine


VF = "the VF"
HANGS = {
    "compute mode": (hive_machine, split("CPX"), "current_compute_partition", HIVE[0], (HIVE[0],)),
    "memory mode": (hive_machine, split("CPX", "NPS4"), "current_memory_partition", HIVE[0], HIVE),
    "unbind of a hive": (hive_machine, split("CPX", "NPS4"), "unbind", HIVE[1], (HIVE[1],)),
    "vGPU type": (vendor, VGPU, "current_vgpu_type", VF, (VF,)),
    "vGPU parameters": (vendor, VGPU, "vgpu_params", VF, (VF,)),
    "mediated device": (mediated, VGPU, "create", VF, (VF,)),
    "its parameters": (mediated, VGPU, "vgpu_params", "any", (VF,)),
}


@pytest.mark.parametrize("name", HANGS)
def test_what_hangs_is_left_alone(name, hidden, new_state):
    make, wish, file, device, quarantined = HANGS[name]
    machine = make(new_state())
    vf = machine.sriov.address(CARD, 0) if VF in quarantined else ""
    real = machine._fault

    def hangs(what, address):
        if what == file and device in (address, VF, "any"):
            machine.faults[what, address] = "hang"
        real(what, address)

    machine._fault = hangs
    assert endings(apply(machine, wish, **ALLOWED)) == ["needs a person"]
    told = {mark.carrier: mark.why for mark in app.quarantined(machine)}
    assert told.keys() == {vf if address == VF else address for address in quarantined}
    assert all(f"does not return from {file} (process 4242" in why for why in told.values())
    assert machine.log[-1][0].rpartition("/")[2] == file, "nobody rolls back onto it"
    assert machine.open_journals() == []
    machine.log.clear()
    app.recover(machine)
    assert machine.log == []
