"""The order of steps, from what they say. That it is the same for any shuffle tests/shuffled.py holds."""

import pytest

from gpupass.methods.partition.steps import SetComputePartition, SetMemoryPartition
from gpupass.planner.order import Circle, in_order
from gpupass.step import Kind
from gpupass.steps.bind import BindDriver
from gpupass.steps.reset import ResetDevice
from gpupass.steps.vfs import SetVfs

GPU, VF = "0000:01:00.0", "0000:01:10.0"


def test_what_is_taken_goes_before_what_is_made_of_the_same():
    none, some = (SetVfs(address=GPU, count=count, autoprobe=False) for count in (0, 2))
    bind = BindDriver(address=VF, driver="vfio-pci", override="vfio-pci", of=GPU)
    reset = ResetDevice(addresses=(VF,), method="function", of=GPU)
    assert in_order((none,), (reset, some, bind)) == (none, some, bind, reset)


def test_steps_that_wait_for_each_other_are_named():
    class Odd(SetVfs, frozen=True, kw_only=True):
        @property
        def needs(self):
            return frozenset({(Kind.DRIVER, VF)})

    bind = BindDriver(address=VF, driver="x", override=None, of=GPU)
    with pytest.raises(Circle, match="bind 0000:01:10\\.0 to x"):
        in_order((), (Odd(address=GPU, count=2, autoprobe=False), bind))


def test_the_memory_mode_of_a_gpu_comes_before_its_compute_mode():
    """The driver is loaded anew for it, and then the compute mode is that of before (amdgpu)."""
    compute = SetComputePartition(address=GPU, mode="CPX")
    memory = SetMemoryPartition(addresses=(GPU,), mode="NPS4")
    assert in_order((), (compute, memory)) == (memory, compute)
