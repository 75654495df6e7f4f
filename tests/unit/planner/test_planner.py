"""Rules of the planner that no single golden plan shows."""

import pytest

from gpupass import app, planner
from gpupass.lending.plug import AttachDevice
from gpupass.observe import observe
from gpupass.steps.bind import BindDriver
from gpupass.steps.record import WriteRecord
from gpupass.steps.reset import ResetDevice
from tests.simulated import BUS_GPU, FUNCTIONS, GPU, GPU_AUDIO, LONE


def looked(machine, device):
    host = observe(machine)
    return host, host.device(device), host.domain("vm1"), host.domain("vm2")


def kinds(steps):
    return [type(step).__name__ for step in steps]


@pytest.mark.parametrize("device", [GPU, LONE, BUS_GPU])
def test_every_plan_is_empty_once_it_has_been_carried_out(device, machine):
    for verb in (
        lambda: app.bind(machine, device),
        lambda: app.attach(machine, "vm1", device),
        lambda: app.move(machine, device, "vm2"),
        lambda: app.detach(machine, "vm2", device),
        lambda: app.unbind(machine, device),
    ):
        assert verb().ending == "done"
        assert verb().ending == "nothing to do"


def test_a_device_is_bound_reset_and_claimed_before_a_guest_sees_it(machine):
    host, device, vm1, _ = looked(machine, GPU)
    steps = planner.attach_plan(host, vm1, device, "uri").steps
    order = [kind for kind in kinds(steps) if kind != "LoadModule"]
    last = {kind: max(i for i, k in enumerate(order) if k == kind) for kind in set(order)}
    first = {kind: order.index(kind) for kind in set(order)}
    assert last["BindDriver"] < first["ResetDevice"] < first["AttachDevice"]
    claims = [i for i, s in enumerate(steps) if isinstance(s, WriteRecord) and s.kind == "claim"]
    assert max(claims) < kinds(steps).index("AttachDevice")
    assert [step.exposed for step in steps if isinstance(step, AttachDevice)] == [False, True]


def test_nothing_is_reset_under_a_host_driver(machine):
    """A claim that outlived a reboot, and the host's own driver at work on the device again."""
    app.attach(machine, "vm1", GPU)
    machine.reboot()
    host, device, *_ = looked(machine, GPU)
    steps = planner.clean_plan(host, device).steps
    assert [s for s in steps if isinstance(s, ResetDevice | BindDriver)] == []
    assert {s.address for s in steps if isinstance(s, WriteRecord)} == {GPU, GPU_AUDIO}


def test_what_the_domain_already_has_is_not_reset(machine):
    app.bind(machine, GPU)
    machine.libvirt.plug("vm1", GPU_AUDIO)
    host, device, vm1, _ = looked(machine, GPU)
    resets = [s for s in planner.attach_plan(host, vm1, device, "uri").steps if isinstance(s, ResetDevice)]
    assert [reset.addresses for reset in resets] == [(GPU,)]


def test_a_variant_driver_is_left_alone_by_attach(machine):
    machine.register_driver("nvgrace_gpu_vfio_pci")
    app.bind(machine, LONE, driver="nvgrace_gpu_vfio_pci")
    host, device, vm1, _ = looked(machine, LONE)
    assert device.on_vfio
    assert "BindDriver" not in kinds(planner.attach_plan(host, vm1, device, "uri").steps)


@pytest.mark.parametrize(
    "function", [f for f in FUNCTIONS if f.class_code >> 8 != 0x0604], ids=lambda f: f.address
)
def test_no_plan_touches_anything_outside_the_group(function, machine):
    host, device, vm1, vm2 = looked(machine, function.address)
    group = {f.address for f in FUNCTIONS if f.group == function.group}
    for plan in (
        planner.attach_plan(host, vm1, device, "uri"),
        planner.move_plan(host, vm2, device, "uri"),
        planner.detach_plan(host, vm1, device, "uri"),
        planner.unbind_plan(host, device),
        planner.clean_plan(host, device),
    ):
        assert set(plan.devices) <= group
        for step in plan.steps:
            addresses = getattr(step, "addresses", None) or (getattr(step, "address", function.address),)
            assert set(addresses) <= group
