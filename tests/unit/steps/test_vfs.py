"""Virtual functions made and removed: through 0, never under somebody's feet, and back as they were."""

import errno
from functools import partial

import pytest

from gpupass.errors import GpupassError, NeedsPerson, NotClean
from gpupass.steps.bind import BindDriver
from gpupass.steps.vfs import SetVfs
from tests.simulated import NIC, PF, VF0, VF1

NIC_VFS = [f"0000:0a:1{slot}.{function}" for slot in (0, 1) for function in "0246"]


def set_vfs(pf, count, autoprobe=False):
    return SetVfs(address=pf, count=count, autoprobe=autoprobe)


def do(machine, step):
    step.do(machine, 0.0)


def test_none_before(machine):
    do(machine, set_vfs(NIC, 3))
    assert machine.sriov.vfs(NIC) == NIC_VFS[:3]
    assert machine.snapshot()["vfs"][NIC] == (3, False)
    assert [machine.driver(vf) for vf in NIC_VFS[:3]] == [None] * 3


def test_autoprobe_gives_them_their_driver(machine):
    do(machine, set_vfs(NIC, 2, autoprobe=True))
    assert [machine.driver(vf) for vf in NIC_VFS[:2]] == ["igbvf"] * 2


def test_another_number_goes_through_none(machine):
    do(machine, set_vfs(PF, 3))
    assert [value for path, value in machine.log if path.endswith("numvfs")] == ["0", "3"]


def test_twice_is_once(machine):
    do(machine, set_vfs(NIC, 3))
    machine.log.clear()
    do(machine, set_vfs(NIC, 3))
    assert machine.log == []


def no_room(machine, pf):
    machine.faults["sriov_numvfs", pf] = partial(machine.sriov.no_room, pf)


def no_room_for_more(machine, pf):
    """The write of 0 is still let through."""
    machine.faults["after sriov_numvfs", pf] = partial(no_room, machine, pf)


def fails(machine, pf):
    machine.faults["sriov_numvfs", pf] = errno.ENOSPC


def fewer(machine, pf):
    machine.sriov.fewer[pf] = 2


def driverless(machine, pf):
    machine.set_driver(pf, None)


@pytest.mark.parametrize(
    ("pf", "count", "trouble", "why"),
    [
        (NIC, 8, None, "cannot write 8 to sriov_numvfs of 0000:0a:00.0: Numerical result out of range"),
        (NIC, 4, no_room, "Cannot allocate memory; kernel: igb 0000:0a:00.0: not enough MMIO"),
        (NIC, 4, fails, "errno 28"),
        (NIC, 4, fewer, "cannot make 4 virtual functions of 0000:0a:00.0: the kernel made 2"),
        (NIC, 4, driverless, "No such file or directory; kernel: pci 0000:0a:00.0: no driver bound"),
        (PF, 4, no_room_for_more, "not enough MMIO"),
    ],
)
def test_the_kernel_refuses_and_all_is_put_back(pf, count, trouble, why, machine):
    if trouble is not None:
        trouble(machine, pf)
    before = machine.snapshot()
    step = set_vfs(pf, count)
    journalled = step.current(machine)
    with pytest.raises(GpupassError) as told:
        do(machine, step)
    assert why in told.value.message and told.value.exit_code == 1
    step.undo(journalled, machine)
    assert machine.snapshot() == before


def test_one_that_somebody_has_open_is_not_removed(machine):
    machine.register_driver("vfio-pci")
    do(machine, BindDriver(address=VF0, driver="vfio-pci", override="vfio-pci"))
    machine.libvirt.plug("vm1", VF0)
    with pytest.raises(GpupassError, match=f"cannot remove the virtual functions of {PF}: {VF0} is in use"):
        do(machine, set_vfs(PF, 0))
    assert machine.sriov.number(PF) == 2


def test_a_removal_that_never_returns_quarantines_the_pf(machine):
    machine.faults["sriov_numvfs", PF] = "hang"
    with pytest.raises(NotClean, match="does not return from sriov_numvfs"):
        do(machine, set_vfs(PF, 0))


def test_undo_gives_the_old_ones_their_drivers_back(machine):
    machine.register_driver("vfio-pci")
    do(machine, BindDriver(address=VF1, driver="vfio-pci", override="vfio-pci"))
    before = machine.snapshot()
    step = set_vfs(PF, 5)
    journalled = step.current(machine)
    do(machine, step)
    step.undo(journalled, machine)
    assert machine.snapshot() == before
    step.undo(journalled, machine)
    assert machine.snapshot() == before


def test_undo_stops_where_somebody_else_has_made_others(machine):
    step = set_vfs(NIC, 2)
    journalled = step.current(machine)
    do(machine, set_vfs(NIC, 5))
    with pytest.raises(NeedsPerson, match="somebody else has made 5 meanwhile"):
        step.undo(journalled, machine)
