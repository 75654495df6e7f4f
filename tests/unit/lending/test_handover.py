"""The one trip of every slot, where no single golden plan shows it; and what a new kind of recipient costs."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from gpupass import app
from gpupass.cli.inspect import reader_at
from gpupass.devices.mediated import Made
from gpupass.lending import handover
from gpupass.lending.claims import claim
from gpupass.lending.lender import Loan, whole
from gpupass.lending.plug import AttachDevice
from gpupass.methods import slots_of
from gpupass.model.domain import Domain, DomainState, Port
from gpupass.model.host import Host
from gpupass.model.mark import Claim, Quarantine
from gpupass.model.mdev import Mdev, MdevBus, Mediated
from gpupass.model.slot import Slot, SlotKind
from gpupass.observe import observe
from gpupass.plan import Draft
from gpupass.planner.draft import imagine, plan_of
from gpupass.steps.bind import BindDriver
from gpupass.steps.remember import Remember
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


def plan(host, draft):
    """In its order."""
    return plan_of("", draft, host)


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
    steps = plan(host, handover.attach(host, vm1, whole(device), "uri")).steps
    order = [kind for kind in kinds(steps) if kind != "LoadModule"]
    last = {kind: max(i for i, k in enumerate(order) if k == kind) for kind in set(order)}
    first = {kind: order.index(kind) for kind in set(order)}
    assert last["BindDriver"] < first["ResetDevice"] <= last["ResetDevice"] < first["AttachDevice"]
    given = [step for step in steps if isinstance(step, AttachDevice)]
    assert [(step.address, step.exposed) for step in given] == [(GPU_AUDIO, False), (GPU, True)]
    assert [[(mark.carrier, mark.domain) for mark in step.marks] for step in given] == [
        [(GPU_AUDIO, "vm1")],
        [(GPU, "vm1")],
    ], "remembered before it is done"
    assert {mark.carrier for mark in imagine(host, steps).marks if isinstance(mark, Claim)} == {
        GPU,
        GPU_AUDIO,
    }


def test_nothing_is_reset_under_a_host_driver(machine):
    """A claim that outlived a reboot, and the host's own driver at work on the device again."""
    app.attach(machine, "vm1", GPU)
    machine.reboot()
    host, device, *_ = looked(machine, GPU)
    steps = plan(host, handover.clean(host, whole(device))).steps
    assert [s for s in steps if isinstance(s, ResetDevice | BindDriver)] == []
    assert {carrier for step in steps for _, carrier, _ in step.forgets} == {GPU, GPU_AUDIO}
    assert not any(isinstance(mark, Claim) for mark in imagine(host, steps).marks)


def test_what_a_guest_had_before_a_reboot_is_bound_first_and_reset_then(machine):
    app.attach(machine, "vm1", GPU)
    machine.reboot()
    host, device, _, vm2 = looked(machine, GPU)
    order = kinds(plan(host, handover.attach(host, vm2, whole(device), "uri")).steps)
    assert order.index("BindDriver") < order.index("ResetDevice") < order.index("AttachDevice")


def test_a_guest_that_is_still_going_is_waited_for_and_a_stranger_is_not(machine):
    app.bind(machine, LONE)
    machine.process("qemu-system-x86", f"/dev/vfio/{looked(machine, LONE)[1].group}")
    host, device, vm1, _ = looked(machine, LONE)
    assert handover.attach(host, vm1, whole(device), "uri").refused
    left = Claim(carrier=LONE, domain="vm1", uuid="u")
    host = host.marked((left,), ())
    made = plan(host, handover.attach(host, vm1, whole(device), "uri"))
    assert not made.refusals and kinds(made.steps)[0] == "AwaitRelease"


def test_what_the_domain_already_has_is_not_reset(machine):
    app.bind(machine, GPU)
    machine.libvirt.plug("vm1", GPU_AUDIO)
    host, device, vm1, _ = looked(machine, GPU)
    steps = plan(host, handover.attach(host, vm1, whole(device), "uri")).steps
    assert [step.addresses for step in steps if isinstance(step, ResetDevice)] == [(GPU,)]


def test_a_variant_driver_is_left_alone_by_attach(machine):
    machine.register_driver("nvgrace_gpu_vfio_pci")
    app.bind(machine, LONE, driver="nvgrace_gpu_vfio_pci")
    host, device, vm1, _ = looked(machine, LONE)
    assert device.on_vfio
    assert "BindDriver" not in kinds(handover.attach(host, vm1, whole(device), "uri").steps)


@pytest.mark.parametrize(
    "function", [f for f in FUNCTIONS if f.class_code >> 8 != 0x0604], ids=lambda f: f.address
)
def test_no_plan_touches_anything_outside_the_group(function, machine):
    host, device, vm1, vm2 = looked(machine, function.address)
    group = {f.address for f in FUNCTIONS if f.group == function.group}
    for draft in (
        handover.attach(host, vm1, whole(device), "uri"),
        handover.move(host, vm2, whole(device), "uri"),
        handover.detach(host, vm1, whole(device), "uri"),
        handover.unbind(host, device),
        handover.clean(host, whole(device)),
    ):
        ordered = plan(host, draft)
        assert set(ordered.devices) <= group
        for step in ordered.steps:
            assert {*step.carriers, *step.resets, *step.rebinds} <= group
            assert {mark.carrier for mark in step.marks} | {at for _, at, _ in step.forgets} <= group


@pytest.mark.parametrize(
    "name, kind, way",
    [("mig-server", SlotKind.MIG, "use: vgpu"), ("amd-mi300x", SlotKind.PARTITION, "virtual functions")],
)
def test_slices_without_a_function_are_refused_with_the_way_that_works(name, kind, way):
    host = observe(reader_at(HOSTS / name))
    slots = [slot for device in host.devices for slot in slots_of(host, device) if slot.kind is kind]
    assert slots
    for verb in (handover.attach, handover.detach, handover.move):
        draft = verb(host, DOMAIN, slots[0], "qemu:///system")
        assert draft.steps == () and draft.refused
        (finding,) = draft.findings
        assert finding.message.startswith(f"{slots[0].name} has no PCI function") and way in finding.remedy


def screens(*marks, ours=True):
    """A parent with one mediated device that gpupass made, and its last guest has gone."""
    detail = Mediated(mdevs=(Mdev(uuid=UUID, type="mbochs-small", group=7),))
    parent = MdevBus(address="mbochs", detail=detail)
    made = Made(carrier="mbochs", part=UUID, name="mbochs-small-0", type="mbochs-small")
    claimed = Claim(carrier="mbochs", part=UUID, domain="gone", uuid="g")
    return Host(devices=(), mdev_buses=(parent,), marks=(*([made] if ours else []), claimed, *marks))


def test_a_mediated_device_of_a_guest_that_is_gone_is_made_anew():
    host = screens()
    made_anew = ["AwaitRelease", "SetMdev", "SetMdev", "EndClaim"]
    for draft in (handover.clean(host, SCREEN), handover.detach(host, DOMAIN, SCREEN, "uri")):
        steps = plan(host, draft).steps
        assert kinds(steps) == made_anew and [step.present for step in steps[1:3]] == [False, True]
        assert imagine(host, steps).marks == host.marks[:1], "still known as gpupass's, and nobody's"
    steps = plan(host, handover.attach(host, DOMAIN, SCREEN, "uri")).steps
    assert kinds(steps)[:4] == made_anew and kinds(steps)[4:] == ["AttachDevice"]
    (now,) = (mark for mark in imagine(host, steps).marks if isinstance(mark, Claim))
    assert now.domain == "vm1"


def test_a_mediated_device_that_others_made_is_not_made_anew():
    host = screens(ours=False)
    assert kinds(plan(host, handover.clean(host, SCREEN)).steps) == ["AwaitRelease", "EndClaim"]


def test_nothing_is_made_anew_on_what_is_quarantined():
    host = screens(Quarantine(carrier="mbochs", why="it hung"))
    assert handover.clean(host, SCREEN).steps == ()
    for draft in (
        handover.detach(host, DOMAIN, SCREEN, "uri"),
        handover.attach(host, DOMAIN, SCREEN, "uri"),
    ):
        assert [finding.message for finding in plan(host, draft).refusals] == [
            "mbochs is in quarantine: it hung"
        ]


class Service(Domain, frozen=True, kw_only=True):
    """Another kind of recipient."""


def to_service():
    """All that a lender says, for slots that are only looked at."""
    loan = Loan(address="0000:01:00.0")
    return SimpleNamespace(
        devices=lambda host, slot: (slot.device,),
        loans=lambda host, slot: (loan,),
        ready=lambda host, slot, missing, claimed: Draft(),
        obstacles=lambda host, slot, domain, leaving: (),
        clean=lambda host, slot, loans: Draft(takes=(_told("clean"),)),
        holder=lambda host, loans: None,
        held=lambda domain, loans: (),
        give=lambda host, domain, loans, connect: tuple(
            _told(f"give to {domain.name}", claim(host, domain, one)) for one in loans
        ),
        take=lambda domain, loans, connect: (_told(f"take from {domain.name}"),),
        keeps=lambda domain, loans: (),
    )


def _told(why, *marks):
    return Remember(address="0000:01:00.0", marks=marks, why=why)


def test_a_new_kind_of_recipient_is_one_module_and_one_line(monkeypatch):
    """A service may have what no domain can; the trip is the same."""
    web, batch = (Service(name=name, uuid=name, state=DomainState.RUNNING) for name in ("web", "batch"))
    slice_ = Slot(kind=SlotKind.MIG, device="0000:01:00.0", of="0000:01:00.0", part="3g.20gb@4")
    lender = to_service()
    monkeypatch.setitem(handover.LENDERS, Service, {SlotKind.MIG: lender})
    host = Host(devices=())
    (given,) = handover.attach(host, web, slice_, "").steps
    assert (given.why, [mark.domain for mark in given.marks]) == ("give to web", ["web"])
    monkeypatch.setattr(lender, "holder", lambda host, loans: web)
    lent = host.after((given,))
    moved = handover.move(lent, batch, slice_, "")
    assert [step.why for step in moved.takes] == ["take from web", "clean", "clean again"]
    assert [(step.why, step.marks[0].domain) for step in moved.makes] == [("give to batch", "batch")]
    assert handover.holder(host, slice_) == web
    assert handover.attach(host, DOMAIN, slice_, "").refused
