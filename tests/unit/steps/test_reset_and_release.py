"""Between two owners: nobody has the group open, the reset worked, and the device answers."""

import errno

import pytest

from gpupass.errors import NotClean, Pending
from gpupass.steps.release import AwaitRelease
from gpupass.steps.reset import ResetDevice
from tests.simulated import BUS_AUDIO, BUS_GPU, GPU, GPU_AUDIO, LONE

CARD = ResetDevice(addresses=(GPU, GPU_AUDIO), method="function")
SLOT = ResetDevice(addresses=(BUS_GPU, BUS_AUDIO), method="bus")


@pytest.fixture
def machine(machine):
    """Whatever is reset here is on VFIO."""
    for address in (*CARD.addresses, *SLOT.addresses, LONE):
        machine.set_driver(address, "vfio-pci")
    return machine


def test_function_resets(machine):
    CARD.do(machine, 0)
    assert machine.resets == [GPU, GPU_AUDIO]
    CARD.undo(CARD.current(machine), machine)


def test_slot_reset(machine):
    SLOT.do(machine, 0)
    assert machine.resets == [BUS_GPU, BUS_AUDIO]


@pytest.mark.parametrize(
    ("step", "before", "words"),
    [
        (CARD, lambda m: m.break_config(GPU_AUDIO), "does not answer before the reset"),
        (
            CARD,
            lambda m: m.put(f"{m.tree.path(GPU)}/config", b"\x00" * 14 + b"\x7f" + b"\x00" * 49),
            "before",
        ),
        (CARD, lambda m: m.put(f"{m.tree.path(GPU)}/config", b""), "does not answer before"),
        (
            CARD,
            lambda m: m.faults.__setitem__(("after reset", GPU), lambda: m.break_config(GPU)),
            "does not answer after the reset",
        ),
        (CARD, lambda m: m.faults.__setitem__(("reset", GPU_AUDIO), errno.EIO), "its reset failed"),
        (CARD, lambda m: m.faults.__setitem__(("reset", GPU), "hang"), "does not return from reset"),
        (
            SLOT,
            lambda m: m.faults.__setitem__(("hot_reset", BUS_GPU), errno.EBUSY),
            "the reset of its slot failed",
        ),
        (ResetDevice(addresses=(LONE,), method="none"), lambda m: None, "knows no way to reset it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_not_clean(step, before, words, machine):
    before(machine)
    with pytest.raises(NotClean, match=words) as unclean:
        step.do(machine, 0)
    assert set(unclean.value.addresses) <= set(step.addresses) and unclean.value.exit_code == 5


@pytest.mark.parametrize("step", [CARD, SLOT], ids=["function", "slot"])
def test_never_under_a_driver_of_the_host_s(step, machine):
    """Somebody has bound one of them since the plan was made."""
    machine.set_driver(step.addresses[1], "snd_hda_intel")
    with pytest.raises(NotClean, match=f"{step.addresses[1]} on: somebody has bound it to snd_hda_intel"):
        step.do(machine, 0)
    assert machine.resets == []


WAIT = AwaitRelease(addresses=(LONE,), group=13)


def test_released_when_the_last_file_is_closed(machine):
    pid = machine.process("qemu", "/dev/vfio/13")
    machine.process("other", "/dev/vfio/99")
    machine.at(5, machine.lets_go, pid)
    WAIT.do(machine, machine.monotonic() + 30)
    assert 5 <= machine.clock - 1000 < 6


@pytest.mark.parametrize(("closes", "wait", "released"), [(1.5, 0, True), (60, 0, False), (60, 30, False)])
def test_even_at_the_deadline_qemu_has_a_moment_to_close(closes, wait, released, machine):
    pid = machine.process("qemu", "/dev/vfio/13")
    machine.at(closes, machine.lets_go, pid)
    if released:
        WAIT.do(machine, machine.monotonic() + wait)
        return
    with pytest.raises(Pending, match=f"qemu .process {pid}. still has /dev/vfio/13 open"):
        WAIT.do(machine, machine.monotonic() + wait)
    assert machine.clock - 1000 == pytest.approx(max(wait, 2), abs=0.2)
