"""Every file that any kind of step writes × how a write can go wrong: told, taken back or left alone, never a traceback."""

import errno

import pytest

from gpupass import app
from gpupass.system.guarded import Hung
from tests.crash.test_parts import given, shares, split
from tests.machines_in_parts import gim_machine, hive_machine, intel_machine, vgpu_machine
from tests.profile_trips import apply, endings, kinds, plan
from tests.simulated import GPU, NIC, Machine
from tests.unit.app.test_vgpu_trips import rule

pytestmark = pytest.mark.usefixtures("nvml")
ALLOWED = {"allow_disruption": True, "allow_reset": True}
LENT = f"gpus: [{{name: a, select: {{address: '{GPU}'}}, use: passthrough}}]\nattachments: [{{domain: vm1, device: a}}]"
TRIPS = {
    "to a guest": (Machine, LENT),
    "functions": (
        Machine,
        f"gpus: [{{name: a, select: {{address: '{NIC}'}}, use: sriov, vfs: 2, vf: {{driver: vfio-pci}}}}]",
    ),
    "xe": (lambda state: intel_machine(state, "sysfs"), shares(3, 2048, 20)),
    "i915": (lambda state: intel_machine(state, "prelim_iov"), shares(2, 2048, 20)),
    "a hive": (hive_machine, split("QPX", "NPS4")),
    "gim": (gim_machine, given(8)),
    "vGPUs": (
        lambda state: vgpu_machine(state, "vendor"),
        rule("vgpu, types: {A100-5C: 2}, params: {disable_vnc: 1}"),
    ),
    "vGPUs on mediated devices": (
        lambda state: vgpu_machine(state, "mdev"),
        rule("vgpu, types: {A100-5C: 2}, params: {disable_vnc: 1}"),
    ),
}


def hang(machine, write, path, value, seconds):
    raise Hung(4242, "some_kernel_function")


def busy(machine, write, path, value, seconds):
    raise OSError(errno.EBUSY, "Device or resource busy", path)


def broken(machine, write, path, value, seconds):
    raise OSError(errno.EIO, "Input/output error", path)


def nothing(machine, write, path, value, seconds):
    """The kernel says yes and does not do it."""


FAULTS = {"hang": hang, "EBUSY": busy, "EIO": broken, "nothing": nothing}


def struck(machine, monkeypatch, file, fault):
    """The first write of that file goes wrong; how many of each file there were."""
    real, seen = machine._write, {}

    def write(path, value, seconds=10.0):
        name = path.rpartition("/")[2]
        seen[name] = seen.get(name, 0) + 1
        if (name, seen[name]) == (file, 1):
            return fault(machine, real, path, value, seconds)
        return real(path, value, seconds)

    monkeypatch.setattr(machine, "_write", write)
    return seen


def left(machine):
    """amdgpu passes over a wish for the memory mode that it has: what was asked of it stays, and is told."""
    found = machine.snapshot()
    return found | {"parts": {key: part for key, part in found["parts"].items() if key != "asked"}}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", TRIPS)
def test_a_write_that_goes_wrong(name, fault, hidden, new_state, monkeypatch):
    make, wanted = TRIPS[name]
    machine = make(new_state())
    files = struck(machine, monkeypatch, "", hang)
    assert endings(apply(machine, wanted, **ALLOWED)) == ["done"] and files
    for file in files:
        machine = make(new_state())
        old = left(machine)
        struck(machine, monkeypatch, file, FAULTS[fault])
        (ending,) = endings(apply(machine, wanted, **ALLOWED))
        assert machine.open_journals() == [], file
        match fault, ending:
            case "hang", _:
                assert ending == "needs a person" and app.quarantined(machine), file
            case _, "failed":
                assert left(machine) == old, file
            case "nothing", "done":
                assert kinds(plan(machine, wanted)) == [], f"{file}: done, and it is not so"
            case _, "done":
                assert kinds(plan(machine, wanted)) == [], f"{file}: done although it was refused"
            case "nothing", "needs a person":
                assert machine.log, file  # what the kernel only seems to do looks like somebody else's change
            case _:  # a reset that fails leaves a device that nobody may have
                assert ending == "needs a person" and app.quarantined(machine), f"{file}: {ending}"
