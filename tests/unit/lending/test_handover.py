"""The one trip of every slot, where no single golden plan shows it; and what a new kind of recipient costs."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from gpupass import app
from gpupass.cli.inspect import system_at
from gpupass.lending import handover
from gpupass.lending.lender import Loan
from gpupass.lending.plug import AttachDevice
from gpupass.methods.passthrough import slot
from gpupass.model.domain import Domain, DomainState, Port
from gpupass.model.host import Detail, Device, Host, Mdev
from gpupass.model.record import Record, RecordKind
from gpupass.model.slot import Slot, SlotKind
from gpupass.observe import observe
from gpupass.plan import Plan
from gpupass.planner.slots import slots_of
from gpupass.steps.bind import BindDriver
from gpupass.steps.record import WriteRecord
from gpupass.steps.reset import ResetDevice
from tests.simulated import BUS_GPU, FUNCTIONS, GPU, GPU_AUDIO, LONE

HOSTS = Path(__file__).parents[2] / "hosts"
DOMAIN = Domain(
    name="vm1", uuid="u", state=DomainState.RUNNING, ports=(Port(index=1, hotplug=True, occupied=False),)
)
UUID = "c8b0e2d5-8f1c-4f0e-9d64-0a1b2c3d4e5f"
SCREEN = Slot(kind=SlotKind.MDEV, device="mbochs", of="mbochs", part="mbochs-small-0", mdev=UUID)


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
    steps = handover.attach(host, vm1, slot(device), "uri").steps
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
    steps = handover.clean(host, slot(device)).steps
    assert [s for s in steps if isinstance(s, ResetDevice | BindDriver)] == []
    assert {s.address for s in steps if isinstance(s, WriteRecord)} == {GPU, GPU_AUDIO}


def test_what_a_guest_had_before_a_reboot_is_bound_first_and_reset_then(machine):
    app.attach(machine, "vm1", GPU)
    machine.reboot()
    host, device, _, vm2 = looked(machine, GPU)
    order = kinds(handover.attach(host, vm2, slot(device), "uri").steps)
    assert order.index("BindDriver") < order.index("ResetDevice") < order.index("AttachDevice")


def test_a_guest_that_is_still_going_is_waited_for_and_a_stranger_is_not(machine):
    app.bind(machine, LONE)
    machine.process("qemu-system-x86", f"/dev/vfio/{looked(machine, LONE)[1].group}")
    host, device, vm1, _ = looked(machine, LONE)
    assert handover.attach(host, vm1, slot(device), "uri").refusals
    left = Record(kind=RecordKind.CLAIM, address=LONE)
    plan = handover.attach(replace(host, records=(*host.records, left)), vm1, slot(device), "uri")
    assert not plan.refusals and kinds(plan.steps)[0] == "AwaitRelease"


def test_what_the_domain_already_has_is_not_reset(machine):
    app.bind(machine, GPU)
    machine.libvirt.plug("vm1", GPU_AUDIO)
    host, device, vm1, _ = looked(machine, GPU)
    resets = [s for s in handover.attach(host, vm1, slot(device), "uri").steps if isinstance(s, ResetDevice)]
    assert [reset.addresses for reset in resets] == [(GPU,)]
    alone = host.altered(GPU, lambda one: replace(one, parent=None))
    stubborn = alone.altered(
        GPU_AUDIO, lambda one: replace(one, detail=replace(one.detail, reset_methods=()))
    )
    assert not handover.attach(stubborn, vm1, slot(stubborn.device(GPU)), "uri").refusals


def test_a_variant_driver_is_left_alone_by_attach(machine):
    machine.register_driver("nvgrace_gpu_vfio_pci")
    app.bind(machine, LONE, driver="nvgrace_gpu_vfio_pci")
    host, device, vm1, _ = looked(machine, LONE)
    assert device.on_vfio
    assert "BindDriver" not in kinds(handover.attach(host, vm1, slot(device), "uri").steps)


@pytest.mark.parametrize(
    "function", [f for f in FUNCTIONS if f.class_code >> 8 != 0x0604], ids=lambda f: f.address
)
def test_no_plan_touches_anything_outside_the_group(function, machine):
    host, device, vm1, vm2 = looked(machine, function.address)
    group = {f.address for f in FUNCTIONS if f.group == function.group}
    for plan in (
        handover.attach(host, vm1, slot(device), "uri"),
        handover.move(host, vm2, slot(device), "uri"),
        handover.detach(host, vm1, slot(device), "uri"),
        handover.unbind(host, device),
        handover.clean(host, slot(device)),
    ):
        assert set(plan.devices) <= group
        for step in plan.steps:
            addresses = getattr(step, "addresses", None) or (getattr(step, "address", function.address),)
            assert set(addresses) <= group


@pytest.mark.parametrize(
    "name, kind, way",
    [("mig-server", SlotKind.MIG, "use: vgpu"), ("amd-mi300x", SlotKind.PARTITION, "virtual functions")],
)
def test_slices_without_a_function_are_refused_with_the_way_that_works(name, kind, way):
    host = observe(system_at(HOSTS / name))
    slots = [slot for device in host.devices for slot in slots_of(host, device) if slot.kind is kind]
    assert slots
    for verb, words in (
        (handover.attach, f"attach {slots[0].name} to vm1"),
        (handover.detach, f"detach {slots[0].name} from vm1"),
        (handover.move, f"move {slots[0].name} to vm1"),
    ):
        plan = verb(host, DOMAIN, slots[0], "qemu:///system")
        assert (plan.title, plan.steps) == (words, ())
        assert "no PCI function" in plan.refusals[0].message and way in plan.refusals[0].remedy


def screens(*records):
    """A parent with one mediated device that gpupass made, and its last guest has gone."""
    detail = Detail(mdevs=(Mdev(uuid=UUID, type="mbochs-small", group=7),), express=False)
    parent = Device(address="mbochs", vendor=0, device=0, class_code=0, detail=detail)
    kinds = (RecordKind.MDEV, RecordKind.CLAIM)
    left = tuple(Record(kind=kind, address="mbochs", mdev=UUID) for kind in kinds)
    return Host(devices=(parent,), records=(*left, *records))


def test_a_mediated_device_of_a_guest_that_is_gone_is_made_anew():
    host = screens()
    made_anew = ["AwaitRelease", "SetMdev", "SetMdev", "WriteRecord"]
    assert kinds(handover.clean(host, SCREEN).steps) == made_anew
    assert kinds(handover.detach(host, DOMAIN, SCREEN, "uri").steps) == made_anew
    assert kinds(handover.attach(host, DOMAIN, SCREEN, "uri").steps)[:4] == made_anew


def test_nothing_is_made_anew_on_what_is_quarantined():
    host = screens(Record(kind=RecordKind.QUARANTINE, address="mbochs", why="it hung"))
    assert handover.clean(host, SCREEN).steps == ()
    for plan in (
        handover.detach(host, DOMAIN, SCREEN, "uri"),
        handover.attach(host, DOMAIN, SCREEN, "uri"),
    ):
        assert [finding.message for finding in plan.refusals] == ["mbochs is in quarantine: it hung"]


class Service(Domain, frozen=True, kw_only=True):
    """Another kind of recipient."""


def to_service():
    """All that a lender says, for slots that are only looked at."""
    loan = Loan(address="0000:01:00.0")
    return SimpleNamespace(
        devices=lambda host, slot: (slot.device,),
        loans=lambda host, slot: (loan,),
        ready=lambda host, slot, missing, claimed: Plan(title=""),
        obstacles=lambda host, slot, domain, leaving: (),
        clean=lambda host, slot, loans: ("clean",),
        holder=lambda host, loans: None,
        held=lambda domain, loans: (),
        give=lambda domain, loans, connect: (f"give to {domain.name}",),
        take=lambda domain, loans, connect: (f"take from {domain.name}",),
        keeps=lambda domain, loans: (),
    )


def test_a_new_kind_of_recipient_is_one_module_and_one_line(monkeypatch):
    """A service may have what no domain can; the trip is the same."""
    web, batch = (Service(name=name, uuid=name, state=DomainState.RUNNING) for name in ("web", "batch"))
    slice_ = Slot(kind=SlotKind.MIG, device="0000:01:00.0", of="0000:01:00.0", part="3g.20gb@4")
    lender = to_service()
    monkeypatch.setitem(handover.LENDERS, Service, {SlotKind.MIG: lender})
    host = Host(devices=())
    claim, *given = handover.attach(host, web, slice_, "").steps
    assert (claim.record.domain, given) == ("web", ["give to web"])
    monkeypatch.setattr(lender, "holder", lambda host, loans: web)
    taken, clean, claim, *given = handover.move(host, batch, slice_, "").steps
    assert (taken, clean, claim.record.domain, given) == (
        "take from web",
        "clean",
        "batch",
        ["give to batch"],
    )
    assert handover.holder(host, slice_) == web
    assert handover.attach(host, DOMAIN, slice_, "").refusals
