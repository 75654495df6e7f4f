"""What an attachment sets of the device: reset method, power, BAR sizes; and as it was when it is back."""

import errno

import pytest

from gpupass import app
from gpupass.errors import GpupassError, NeedsPerson, Refused
from gpupass.model.domain import DomainState
from gpupass.profiles.options import read_options
from tests.simulated import BUS_GPU, GPU, LONE

GIB = 1 << 30


def attach(machine, device=GPU, **typed):
    disruption = typed.pop("disruption", False)
    options = read_options({name.replace("_", "-"): value for name, value in typed.items()})
    return app.attach(machine, "vm1", device, options=options, disruption=disruption)


def attribute(machine, name, device=GPU):
    return machine.read(f"/sys/bus/pci/devices/{device}/{name}")


def bar(machine):
    start, end, _ = (int(word, 16) for word in attribute(machine, "resource").splitlines()[1].split())
    return end - start + 1


SET = {
    "reset-method": ({"reset_method": "bus"}, lambda m: attribute(m, "reset_method"), "flr bus", "bus"),
    "awake": ({"disable_idle_d3": "on"}, lambda m: m.settings(GPU)[1], False, True),
    "BAR": ({"bar": ("1=16G",)}, bar, 256 << 20, 16 * GIB),
}


@pytest.mark.parametrize("name", SET)
def test_set_kept_over_a_move_and_put_back(name, machine):
    typed, look, before, wanted = SET[name]
    attach(machine, **typed)
    assert look(machine) == wanted and machine.driver(GPU) == "vfio-pci"
    assert attach(machine, **typed).ending == "nothing to do"
    app.move(machine, GPU, "vm2")
    assert look(machine) == wanted
    app.detach(machine, "vm2", GPU)
    assert look(machine) == before and machine.driver(GPU) == "vfio-pci"
    assert not [name for name in machine.records() if name.startswith("setting")]


@pytest.mark.parametrize("name", SET)
def test_put_back_after_a_guest_that_is_gone(name, machine):
    typed, look, before, _ = SET[name]
    old = machine.snapshot()
    attach(machine, **typed)
    machine.libvirt.stop("vm1")
    app.recover(machine)
    assert look(machine) == before
    app.unbind(machine, GPU)
    now = machine.snapshot()
    assert (now["settings"], now["drivers"], now["records"]) == (old["settings"], old["drivers"], {})


def test_a_boot_has_put_it_back(machine):
    """Then nothing of the other boot is written, and the next attachment remembers what is now."""
    attach(machine, reset_method="bus")
    machine.reboot()
    machine.put(f"{machine.tree.path(GPU)}/reset_method", "flr bus\n")
    machine.libvirt.guests["vm1"].state = DomainState.RUNNING
    app.attach(machine, "vm1", GPU)
    assert attribute(machine, "reset_method") == "flr bus"
    assert not [name for name in machine.records() if name.startswith("setting")]


@pytest.mark.parametrize("name", SET)
def test_the_next_attachment_has_its_own(name, machine):
    """Also of a device whose guest was destroyed, before anybody has cleaned it."""
    typed, look, before, _ = SET[name]
    attach(machine, **typed)
    machine.libvirt.stop("vm1")
    app.attach(machine, "vm2", GPU)
    assert look(machine) == before


def test_what_is_said_beforehand_is_what_comes_about(machine):
    options = read_options({"reset-method": "bus", "bar": ("1=1G",), "rom": "none"})
    said = app.attach(machine, "vm1", GPU, options=options, dry_run=True).difference
    assert app.attach(machine, "vm1", GPU, options=options).difference == said
    after = said.after[GPU]
    assert (after["reset-method"], after["bars"]["1"], after["options"]) == ("bus", GIB, {"vm1": "rom none"})


def test_reset_as_chosen(machine):
    """It is chosen before the first reset, and put back after the last one."""
    attach(machine, reset_method="bus")
    paths = [path.rpartition("/")[2] for path, _ in machine.log if path.endswith(("/reset", "/reset_method"))]
    assert paths == ["reset_method", "reset", "reset"]
    machine.log.clear()
    app.detach(machine, "vm1", GPU)
    paths = [path.rpartition("/")[2] for path, _ in machine.log if path.endswith(("/reset", "/reset_method"))]
    assert paths == ["reset", "reset", "reset_method"]


def test_what_no_guest_notices_is_set_at_once(machine):
    app.attach(machine, "vm1", GPU)
    attach(machine, reset_method="bus", disable_idle_d3="on")
    assert machine.libvirt.guests["vm1"].asks == 0
    attach(machine, reset_method="default")
    assert attribute(machine, "reset_method") == "flr bus"


def test_a_bar_takes_it_from_the_guest_for_a_while(machine):
    app.attach(machine, "vm1", GPU)
    with pytest.raises(Refused, match="disrupts domain vm1"):
        attach(machine, bar=("1=1G",))
    attach(machine, bar=("1=1G",), disruption=True)
    assert bar(machine) == GIB and GPU in machine.libvirt.guests["vm1"].live


REFUSED = {
    "a method that it has not": (GPU, {"reset_method": "pm"}, "no reset pm for .*: it offers flr, bus"),
    "none at all": (BUS_GPU, {"reset_method": "flr"}, "it offers none"),
    "without the module": (GPU, {"reset_method": "device_specific"}, "no reset device_specific"),
    "a size that it has not": (GPU, {"bar": ("1=3G",)}, "BAR 1 of .* can be 256M, 512M, 1G"),
    "no such BAR": (LONE, {"bar": ("0=1G",)}, "BAR 0 of .* is not resizable"),
    "a BAR larger than the guest's window": (GPU, {"bar": ("1=16G",)}, "needs 16 GiB of prefetchable"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(machine, name):
    device, typed, why = REFUSED[name]
    machine.libvirt.guests["vm1"].window = (64 << 20, 8 * GIB)
    with pytest.raises(Refused, match=why):
        attach(machine, device, **typed)
    assert machine.log == []


def test_with_vendor_reset_there_is_another_method(machine):
    machine.put("/sys/module/vendor_reset/refcnt", "0\n")
    attach(machine, reset_method="device_specific")
    assert attribute(machine, "reset_method") == "device_specific"


@pytest.mark.parametrize("name", SET)
@pytest.mark.parametrize("fault", ["attach", "write"])
def test_all_of_it_is_taken_back(name, fault, machine):
    before = machine.snapshot()
    if fault == "attach":
        machine.libvirt.faults["attach"] = [GpupassError("no")]
    else:
        for file in ("reset_method", "control", "resource1_resize"):
            machine.faults[file, GPU] = errno.ENOSPC
    with pytest.raises(GpupassError):
        attach(machine, **SET[name][0])
    assert machine.snapshot() == before


def test_what_somebody_else_has_chosen_since_stays(machine):
    def choose():
        machine.put(f"{machine.tree.path(GPU)}/reset_method", "flr\n")
        raise GpupassError("no")

    machine.libvirt.faults["attach"] = [choose]
    with pytest.raises(NeedsPerson, match="reset_method"):
        attach(machine, reset_method="bus")
