"""One file of a device, written, read back and put back; and a module loaded anew."""

import pytest
from msgspec import convert, to_builtins

from gpupass.errors import GpupassError, NeedsPerson, NotClean
from gpupass.methods.sriov.steps import ReloadModule
from gpupass.steps.attribute import SetAttribute
from tests.machines_in_parts import gim_machine, intel_machine
from tests.simulated_amd import GIMS
from tests.simulated_intel import CARD

DIRECTORY = f"/sys/bus/pci/devices/{CARD}/sriov_admin/vf1/profile"
QUANTUM = SetAttribute(address=CARD, path=f"{DIRECTORY}/exec_quantum_ms", value="20")
QUOTA = SetAttribute(address=CARD, path=f"{DIRECTORY}/vram_quota", value=str(2 << 30))


@pytest.fixture
def machine(hidden, new_state):
    return intel_machine(new_state(), "sysfs")


def do(step, machine):
    before = step.current(machine)
    assert convert(to_builtins(before), step.Before) == before
    step.do(machine, 0.0)
    return before


def test_there_and_back_and_twice(machine):
    before = do(QUANTUM, machine)
    assert (before, machine.read(QUANTUM.path)) == ("0", "20")
    machine.log.clear()
    QUANTUM.do(machine, 0.0)
    assert machine.log == []
    for _ in range(2):
        QUANTUM.undo(before, machine)
        assert machine.read(QUANTUM.path) == "0"


def test_somebody_else_has_changed_it_meanwhile(machine):
    before = do(QUANTUM, machine)
    machine.put(QUANTUM.path, "33\n")
    with pytest.raises(NeedsPerson, match="it is 33 now"):
        QUANTUM.undo(before, machine)
    assert machine.read(QUANTUM.path) == "33"


def test_memory_of_a_function_that_is_there_is_the_kernels_refusal(machine):
    machine.sriov.set_number(CARD, "1")
    with pytest.raises(GpupassError, match=r"sriov_admin/vf1/profile/vram_quota .* Device or resource busy"):
        do(QUOTA, machine)


def test_a_write_that_does_not_return(machine):
    machine.faults["exec_quantum_ms", CARD] = "hang"
    with pytest.raises(NotClean, match="does not return from exec_quantum_ms"):
        do(QUANTUM, machine)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20\n", "20"),
        ("low [normal] high\n", "normal"),
        ("memory_partition_mode: NPS4\nnuma_count: 4\n", "NPS4"),
        ("\n", None),
    ],
)
def test_how_drivers_spell_a_value(text, value, machine):
    machine.put(QUANTUM.path, text)
    assert QUANTUM.current(machine) == value


# a module


@pytest.fixture
def gim(hidden, new_state):
    return gim_machine(new_state())


RELOAD = ReloadModule(module="gim", options="vf_num=8,1", back="vf_num=1,1", addresses=GIMS)


def test_other_options_and_the_old_ones_again(gim):
    before = do(RELOAD, gim)
    assert gim.sriov.number(GIMS[0]) == 8
    gim.log.clear()
    RELOAD.do(gim, 0.0)
    assert gim.log == []
    for _ in range(2):
        RELOAD.undo(before, gim)
        assert [gim.sriov.number(gpu) for gpu in GIMS] == [1, 1]


def test_a_module_that_is_out_comes_back(gim):
    before = RELOAD.current(gim)
    gim.gim.modprobe("-r", "--", "gim")
    RELOAD.undo(before, gim)
    assert gim.driver(GIMS[0]) == "gim"


def test_somebody_else_has_loaded_it_meanwhile(gim):
    before = do(RELOAD, gim)
    gim.gim.modprobe("-r", "--", "gim")
    gim.gim.modprobe("--", "gim", "vf_num=4,4")
    with pytest.raises(NeedsPerson, match="somebody else has loaded it with vf_num=4,4"):
        RELOAD.undo(before, gim)


def test_never_under_an_open_function(gim):
    (vf,) = gim.sriov.vfs(GIMS[1])
    gim.process("qemu", f"/dev/vfio/{gim.functions[vf].group}")
    with pytest.raises(GpupassError, match=f"{vf} is in use"):
        do(RELOAD, gim)
    assert gim.driver(GIMS[0]) == "gim"
