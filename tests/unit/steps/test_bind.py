"""driver_override, unbind and drivers_probe: which writes, in which order, and what their results mean."""

import errno

import pytest

from gpupass.errors import GpupassError, KernelRefused, NeedsPerson, NotClean
from gpupass.steps.bind import BindDriver, Binding
from tests.simulated import GPU, LONE, NVIDIA, STUBBORN

TO_VFIO = BindDriver(address=LONE, driver="vfio-pci", override="vfio-pci")


@pytest.fixture
def machine(machine):
    machine.register_driver("vfio-pci")
    return machine


def written(machine):
    return [(path.rpartition("/")[2], value.strip()) for path, value in machine.log]


def test_the_writes_in_order(machine):
    before = TO_VFIO.current(machine)
    assert before == Binding(driver="bochs-drm", override=None)
    TO_VFIO.do(machine, 0)
    assert written(machine) == [("driver_override", "vfio-pci"), ("unbind", LONE), ("drivers_probe", LONE)]
    machine.log.clear()
    TO_VFIO.do(machine, 0)
    assert written(machine) == [], "done twice, written once"
    TO_VFIO.undo(before, machine)
    assert written(machine) == [("driver_override", ""), ("unbind", LONE), ("drivers_probe", LONE)]
    assert TO_VFIO.current(machine) == before
    machine.log.clear()
    TO_VFIO.undo(before, machine)
    assert written(machine) == []


def test_to_no_driver_and_back(machine):
    step = BindDriver(address=GPU, driver=None, override="vfio-pci")
    before = step.current(machine)
    step.do(machine, 0)
    assert step.current(machine) == Binding(driver=None, override="vfio-pci")
    step.undo(before, machine)
    assert step.current(machine) == before


def test_a_device_without_a_driver_needs_no_unbind(machine):
    BindDriver(address=STUBBORN, driver="vfio-pci", override="vfio-pci").do(machine, 0)
    assert written(machine) == [("driver_override", "vfio-pci"), ("drivers_probe", STUBBORN)]


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (("driver_override", errno.EINVAL), KernelRefused, "cannot override the driver of"),
        (("unbind", errno.EBUSY), KernelRefused, "cannot unbind"),
        (("drivers_probe", errno.ENODEV), KernelRefused, "cannot probe"),
        (("driver_override", "hang"), NotClean, "does not return from driver_override"),
        (("unbind", "hang"), NotClean, "does not return from unbind"),
        (("after unbind", "hang"), NotClean, "does not return from unbind"),
        (("drivers_probe", "hang"), NotClean, "does not return from drivers_probe"),
        (("after drivers_probe", "hang"), NotClean, "does not return from drivers_probe"),
    ],
)
def test_what_the_kernel_may_say(fault, error, words, machine):
    name, what = fault
    machine.faults[name, LONE] = what
    with pytest.raises(GpupassError, match=words) as failed:
        TO_VFIO.do(machine, 0)
    assert type(failed.value) is error and failed.value.hint


@pytest.mark.parametrize("name", ["after unbind", "after drivers_probe"])
def test_an_error_of_a_write_that_worked_is_no_failure(name, machine):
    """The unbind of a device that is no longer bound says ENODEV; a probe may complain and yet bind."""
    machine.faults[name, LONE] = errno.ENODEV
    TO_VFIO.do(machine, 0)
    assert machine.driver(LONE) == "vfio-pci"


def test_a_driver_that_does_not_take_it(machine):
    with pytest.raises(GpupassError, match="the kernel left it with no driver"):
        BindDriver(address=LONE, driver="absent", override="absent").do(machine, 0)


def test_undo_stops_where_somebody_else_was(machine):
    before = TO_VFIO.current(machine)
    machine.set_driver(LONE, "nouveau")
    with pytest.raises(NeedsPerson, match="somebody else has bound it to nouveau"):
        TO_VFIO.undo(before, machine)
    assert machine.driver(LONE) == "nouveau"


@pytest.mark.parametrize("busy", [True, False])
def test_nvidias_unbind_lock(busy, machine):
    machine.put(f"/proc/driver/nvidia/gpus/{NVIDIA}/unbindLock", "0\n")
    if busy:
        machine.faults["unbindLock", NVIDIA] = lambda: machine.process("python3", "/dev/nvidia0")
    step = BindDriver(address=NVIDIA, driver="vfio-pci", override="vfio-pci")
    if not busy:
        step.do(machine, 0)
        assert machine.driver(NVIDIA) == "vfio-pci"
        return
    with pytest.raises(GpupassError, match="unbindLock was not granted"):
        step.do(machine, 0)
    assert machine.driver(NVIDIA) == "nvidia"


@pytest.mark.parametrize(
    ("driver", "holds", "words"),
    [
        ("vfio-pci", "/dev/vfio/{group}", "qemu-system-x86 .process 4001. has /dev/vfio/{group} open"),
        ("bochs-drm", "/dev/dri/card0", "qemu-system-x86 .process 4001. has /dev/dri/card0 open"),
    ],
)
def test_what_somebody_has_opened_since_is_not_unbound(driver, holds, words, machine):
    """Neither on the way there nor back: VFIO would have the guest of another unplug it, and others would hang."""
    group = machine.functions[LONE].group
    machine.node_of(LONE, "drm", "card0")
    before = TO_VFIO.current(machine)
    other = BindDriver(address=LONE, driver=None, override=None)
    if driver == "vfio-pci":
        TO_VFIO.do(machine, 0)
    bound = TO_VFIO.current(machine)
    pid = machine.process("qemu-system-x86", holds.format(group=group))
    ways = [lambda: other.do(machine, 0)]
    ways += [lambda: TO_VFIO.undo(before, machine)] if driver == "vfio-pci" else []
    for way in ways:
        with pytest.raises(GpupassError, match=words.format(group=group)):
            way()
        assert TO_VFIO.current(machine) == bound
    machine.at(1.0, machine.files.remove, f"/proc/{pid}")  # it closes while we look
    other.do(machine, 0)
    assert machine.driver(LONE) is None
