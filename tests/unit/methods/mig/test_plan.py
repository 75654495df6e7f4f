"""MIG rules → plans: the mode, what is kept, whose it is, and what a rule of another use leaves."""

import pytest
from msgspec.structs import replace

from gpupass.methods.host.rule import HostRule
from gpupass.methods.mig import MIG
from gpupass.methods.mig.mode import SetMigMode
from gpupass.methods.mig.ownership import Made
from gpupass.methods.mig.rule import MigRule
from gpupass.methods.mig.steps import SetComputeInstance, SetGpuInstance
from gpupass.methods.passthrough.rule import PassthroughRule
from gpupass.methods.vgpu.steps import SetVgpuType
from gpupass.model.host import Detail, Device, Host, Nvidia, Sriov, Vgpu
from gpupass.model.mig import ComputeInstance, LayoutEntry, MigGpu, MigState, Placement
from gpupass.model.profile import Select
from gpupass.model.user import User, UserKind
from gpupass.planner.draft import imagine, plan_of, with_what_stands_on_it
from gpupass.planner.export import export
from gpupass.planner.ownership import adopt_plan
from gpupass.steps.remember import Remember
from tests.mig_boards import board, cut, instance, python

GPU = "0000:07:00.0"
SELECT = Select(address=GPU)


def device(gpu, on=True, pending=None, resets=True, users=()):
    state = MigState(on=on, pending=on if pending is None else pending, resets=resets, gpu=gpu)
    nvidia = Nvidia(uuid="GPU-1", mig=state)
    return Device(
        address=GPU,
        vendor=0x10DE,
        device=0x20B0,
        class_code=0x030200,
        driver="nvidia",
        detail=Detail(nvidia=nvidia),
        users=users,
    )


def host(one, marks=()):
    return Host(devices=(one,), boot_id="now", marks=marks)


def made(*names, mode=False, boot="now"):
    parts = (*names, *([""] if mode else []))
    return tuple(Made(carrier=GPU, part=part, boot_id=boot) for part in parts)


def rule(layout, **more):
    entries = layout if isinstance(layout, str) else tuple(LayoutEntry(profile=name) for name in layout)
    return MigRule(name="a", select=SELECT, layout=entries, **more)


def words(plan):
    """Each step in a word or two."""
    found = []
    for step in plan.steps:
        match step:
            case Remember():
                found += [f"remember {mark.part}" for mark in step.marks]
                found += [f"forget {part}" for _, _, part in step.forgets]
            case SetMigMode():
                how = " with a reset" if step.reset else " again" if step.calls_off else ""
                found.append(("on" if step.on else "off") + how)
            case SetGpuInstance():
                found.append(f"{'+' if step.present else '-'}{step.profile}@{step.placement.start}")
            case SetComputeInstance():
                found.append(f"{'+' if step.present else '-'}{step.placement.size}c")
            case _:
                found.append(type(step).__name__)
    return found


def known(there, steps=()):
    """Parts that are remembered after the steps."""
    return {mark.part for mark in imagine(there, steps).marks}


def drafted(there, *wish):
    """With what must go before it."""
    its = {GPU: wish}
    return plan_of("", with_what_stands_on_it(there, MIG.cut(there, its), its), there)


def planned(one, wish, marks=()):
    return drafted(host(one, marks), wish)


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        ({"on": True}, []),
        ({"on": False, "resets": False}, ["on"]),
        ({"on": False}, ["on with a reset"]),
        ({"on": False, "pending": True}, ["on with a reset"]),
        ({"on": True, "pending": False}, ["on again"]),
    ],
)
def test_the_mode(state, steps):
    """It is gpupass's where it was off."""
    one = device(board("A100-40"), **state)
    plan = planned(one, rule("empty"))
    assert words(plan) == steps
    assert known(host(one), plan.steps) == (set() if state["on"] else {""})


def test_destroyed_then_made_and_remembered_on_the_way():
    one = device(cut("A100-40", ("1g.5gb", 0), ("1g.5gb", 1), ("3g.20gb", 4)))
    there = host(one, made("1g.5gb@0", "1g.5gb@1", "3g.20gb@4"))
    plan = drafted(there, rule(["3g.20gb", "2g.10gb"]))
    found = words(plan)
    assert sorted(found) == sorted(["-1c", "-1c", "-1g.5gb@0", "-1g.5gb@1", "+2g.10gb@0", "+2c"])
    assert found[-2:] == ["+2g.10gb@0", "+2c"]
    ends = [(type(step).__name__, getattr(step, "start", step.placement.start)) for step in plan.steps[:4]]
    for start in (0, 1):
        assert ends.index(("SetComputeInstance", start)) < ends.index(("SetGpuInstance", start))
    for done in range(len(plan.steps) + 1):
        after = imagine(there, plan.steps[:done])
        names = {one.name for one in after.devices[0].facts.nvidia.mig.gpu.instances}
        assert {mark.part for mark in after.marks} == names, found[:done]


def test_others_are_spared_where_ours_can_go_instead():
    one = device(cut("A100-40", ("3g.20gb", 0), ("3g.20gb", 4)))
    for theirs, ours in ((0, 4), (4, 0)):
        plan = planned(one, rule(["3g.20gb"]), made(f"3g.20gb@{ours}"))
        assert f"-3g.20gb@{ours}" in words(plan) and f"-3g.20gb@{theirs}" not in words(plan)
        assert plan.refusals == ()


def test_records_of_another_boot_count_for_nothing():
    one = device(cut("A100-40", ("3g.20gb", 0)))
    plan = planned(one, rule(["7g.40gb"]), made("3g.20gb@0", boot="before"))
    (refusal,) = plan.refusals
    assert "which gpupass did not make" in refusal.message and "take-over: true" in refusal.remedy
    assert planned(one, rule(["7g.40gb"], take_over=True)).refusals == ()


def test_users_are_named():
    plan = planned(device(cut("A100-40", ("1g.5gb", 0, 7))), rule(["7g.40gb"], take_over=True))
    (lost,) = plan.disruptions
    assert (lost.victim, lost.loses) == ("python (pid 7)", f"1g.5gb at slice 0 of {GPU}")
    assert [finding.message for finding in plan.findings if not finding.fatal] == [
        "7g.40gb needs slices 0-7; slice 0 is used by 1g.5gb (python, pid 7)"
    ]


VF = "0000:07:00.4"
KEEP = MigRule(name="a", select=SELECT, layout=(LayoutEntry(profile="1g.5gb", start=5),), take_over=True)
GOES = ["-1c", "-1g.5gb@0"]


def with_vgpu(card, vgpu, users=()):
    """The host with one VF of the card."""
    sriov = Sriov(total=16, enabled=1, autoprobe=True, vfs=(VF,))
    vf = replace(card, address=VF, physfn=GPU, detail=Detail(vgpu=vgpu), users=users)
    return Host(devices=(replace(card, detail=replace(card.facts, sriov=sriov)), vf), boot_id="now")


RUNS = (User(kind=UserKind.DOMAIN, name="web"),)
STOPPED = (User(kind=UserKind.DOMAIN_CONFIG, name="web"),)


def on_instances(vgpu, users=()):
    """With that vGPU, and an instance that stays beside one that goes."""
    return with_vgpu(device(cut("A100-40", ("1g.5gb", 0), ("1g.5gb", 5))), vgpu, users)


def at(plan, kind):
    return [number for number, step in enumerate(plan.steps) if isinstance(step, kind)]


@pytest.mark.parametrize(
    ("vgpu", "users", "vgpus"),
    [
        (Vgpu(current=694, instance=7), (), 1),
        (Vgpu(current=694, instance=7), STOPPED, 1),
        (Vgpu(current=694, instance=12), (), 1),
        (Vgpu(current=694), (), 1),
        (Vgpu(instance=7), (), 0),
        (None, (), 0),
    ],
)
def test_a_vgpu_whose_guest_does_not_run_is_told_of(vgpu, users, vgpus):
    """It goes before any instance, where the rule may take it; and nobody has to allow it."""
    plan = drafted(on_instances(vgpu, users), KEEP)
    assert [(loss.victim, loss.loses) for loss in plan.disruptions] == [(VF, "its vGPU 694")] * vgpus
    assert not any(loss.at_work for loss in plan.disruptions) and plan.refusals == ()
    assert len(at(plan, SetVgpuType)) == vgpus and [w for w in words(plan) if w[0] == "-"] == GOES
    assert max(at(plan, SetVgpuType), default=-1) < min(at(plan, SetGpuInstance)), words(plan)


@pytest.mark.parametrize(
    ("vgpu", "users", "named"),
    [
        (Vgpu(current=694, instance=7), (), "694"),
        (Vgpu(current=694, instance=7), STOPPED, "694"),
        (Vgpu(current=694, instance=7), RUNS, "694, domain web"),
        (Vgpu(current=694, instance=12), RUNS, None),
        (Vgpu(current=694), (), None),
        (Vgpu(instance=7), (), None),
    ],
)
def test_an_instance_of_ours_stays_under_a_strangers_vgpu(vgpu, users, named):
    there = replace(on_instances(vgpu, users), marks=made("1g.5gb@0", "1g.5gb@5"))
    plan = drafted(there, replace(KEEP, take_over=False))
    message = f"{GPU}: a GPU instance cannot go beside vGPUs that stay: {VF} ({named})"
    assert [finding.message for finding in plan.refusals] == ([message] if named else [])
    assert words(plan) == GOES and plan.disruptions == ()


def test_no_instance_is_taken_from_a_guest_that_runs():
    there = on_instances(Vgpu(current=694, instance=7), RUNS)
    assert [one.message for one in drafted(there, KEEP).refusals] == [f"{VF} (694) is in use by domain web"]


def test_a_vgpu_whose_guest_does_not_run_is_told_of_on_the_way_back():
    plan = drafted(on_instances(Vgpu(current=694, instance=7)), replace(HOST, take_over=True))
    assert [loss.loses for loss in plan.disruptions if loss.victim == VF] == ["its vGPU 694"]
    assert not any(loss.at_work for loss in plan.disruptions) and plan.refusals == ()
    assert len(at(plan, SetVgpuType)) == 1 and len(at(plan, SetGpuInstance)) == 2
    assert at(plan, SetVgpuType)[0] < min(at(plan, SetGpuInstance)), words(plan)


def test_whoever_holds_the_gpu_is_told_of():
    users = (
        User(kind=UserKind.PROCESS, name="nv-hostengine", pid=5),
        User(kind=UserKind.DOMAIN_CONFIG, name="vm1"),
    )
    plan = planned(device(board("A100-40"), on=False, users=users), rule("empty"))
    assert plan.findings[0].message == (
        f"{GPU} can be reset only when it is let go by nv-hostengine (pid 5); until then it is pending"
    )
    daemon = (User(kind=UserKind.PROCESS, name="nvidia-persiste", pid=6),)
    assert planned(device(board("A100-40"), on=False, users=daemon), rule("empty")).findings == ()


@pytest.mark.parametrize(
    ("one", "unseen", "message"),
    [
        (
            replace(device(board("A30")), vendor=0x1002, detail=Detail()),
            (),
            f"{GPU} is no NVIDIA GPU, and only those have MIG",
        ),
        (
            replace(device(board("A30")), driver="nouveau", detail=Detail()),
            (),
            f"{GPU} has driver nouveau; only the nvidia driver can cut it",
        ),
        (
            replace(device(board("A30")), detail=Detail()),
            ("NVML: cannot ask the NVIDIA driver",),
            f"cannot see MIG of {GPU}: NVML: cannot ask the NVIDIA driver",
        ),
        (
            replace(device(board("A30")), detail=Detail(nvidia=Nvidia(uuid="GPU-1"))),
            (),
            f"{GPU} (10de:20b0) has no MIG",
        ),
        (
            replace(
                device(board("A30")), detail=Detail(nvidia=Nvidia(uuid="GPU-1", mig_unseen="it is lost"))
            ),
            (),
            f"cannot see MIG of {GPU}: it is lost",
        ),
        (device(None), (), f"cannot see MIG of {GPU}: it was not asked for"),
    ],
)
def test_why_not(one, unseen, message):
    plan = drafted(replace(host(one), unseen=unseen), rule("balanced"))
    assert [finding.message for finding in plan.refusals] == [message] and plan.steps == ()


def test_what_nvml_tells_of_is_nvidia_s_whatever_vendor_the_card_says():
    """As in the lab, where a card of QEMU's stands under the stand-in of the driver."""
    plan = planned(replace(device(board("A30")), vendor=0x8086), rule("balanced"))
    assert plan.refusals == () and plan.steps != ()


def test_a_gpu_on_its_way_from_a_guest_is_cut_after_the_next_look():
    one = replace(device(board("A30")), detail=Detail())
    plan = planned(one, rule("balanced"))
    assert (plan.steps, plan.findings) == ((), ())
    assert plan.waits == (f"GPU instances of {GPU}: made when the nvidia driver has it and tells of them",)


def test_a_driver_that_tells_profiles_in_mig_mode_only():
    one = device(MigGpu(profiles=()), on=False, resets=False)
    plan = planned(one, rule("balanced"))
    assert words(plan) == ["on"] and known(host(one), plan.steps) == {""}
    assert plan.waits == (f"GPU instances of {GPU}: made when its MIG mode is on, which tells its profiles",)
    refused = planned(device(MigGpu(profiles=())), rule("balanced")).refusals
    assert refused[0].message == f"cannot see MIG of {GPU}: its driver tells no profiles"


HOST = HostRule(name="a", select=SELECT)
LENT = PassthroughRule(name="a", select=SELECT)
BOTH_GO = ["-1c", "-3c", "-1g.5gb@0", "-3g.20gb@4"]


def test_the_way_back():
    one = device(cut("A100-40", ("1g.5gb", 0), ("3g.20gb", 4)), resets=False)
    marks = made("1g.5gb@0", "3g.20gb@4", mode=True)
    all_ours = planned(one, HOST, marks)
    assert sorted(words(all_ours)[:-1]) == sorted(BOTH_GO) and words(all_ours)[-1] == "off"
    assert known(host(one, marks), all_ours.steps) == set()
    ours = planned(one, HOST, made("1g.5gb@0"))
    assert words(ours) == ["-1c", "-1g.5gb@0"] and known(host(one, made("1g.5gb@0")), ours.steps) == set()
    assert ours.foreign == (f"{GPU} has 3g.20gb@4, which gpupass did not make",)
    marks = made("1g.5gb@0", mode=True)
    plan = planned(one, HOST, marks)
    assert words(plan) == ["-1c", "-1g.5gb@0"]
    assert known(host(one, marks), plan.steps) == {""}, "the mode is still its own"
    assert planned(one, HOST).steps == () and "off" in words(planned(one, replace(HOST, take_over=True)))


def test_lending_the_whole_gpu():
    one = device(cut("A100-40", ("3g.20gb", 4, 9)), resets=False)
    assert "which gpupass did not make" in planned(one, LENT).refusals[0].message
    marks = made("3g.20gb@4", mode=True)
    plan = planned(one, LENT, marks)
    assert words(plan) == ["-3c", "-3g.20gb@4", "off"] and known(host(one, marks), plan.steps) == set()
    assert plan.disruptions[0].victim == "python (pid 9)"


def test_instances_for_vgpus_leave_compute_instances_to_their_guests():
    """Those of one that stays are nobody's loss; those of one that goes, go with it."""
    gpu = board("A100-40")
    halves = tuple(
        ComputeInstance(
            id=number, placement=Placement(start=2 * number, size=2), users=(python(11 + number),)
        )
        for number in range(2)
    )
    stays = instance(gpu, "4g.20gb", 0, *halves)
    one = device(board("A100-40", stays, instance(gpu, "3g.20gb", 4, users=(python(9),))))
    same = planned(one, rule(["4g.20gb", "3g.20gb"], bare=True))
    assert (same.steps, same.disruptions, same.findings) == ((), (), ())
    plan = planned(one, rule(["4g.20gb", "1g.5gb"], bare=True, take_over=True))
    assert words(plan) == ["-3c", "-3g.20gb@4", "+1g.5gb@6"]
    assert [loss.victim for loss in plan.disruptions] == ["python (pid 9)"]
    assert ["pid 9" in one.message for one in plan.findings] == [True]


def test_what_is_gone_without_gpupass_is_forgotten_on_the_way():
    """Of an earlier boot, or taken away by others."""
    one = device(cut("A100-40", ("1g.5gb", 0)))
    marks = (*made("1g.5gb@0"), *made("2g.10gb@2", boot="before"), *made("3g.20gb@4"))
    more = planned(one, rule(["1g.5gb", "3g.20gb"]), made("1g.5gb@0", "2g.10gb@2"))
    assert known(host(one, made("1g.5gb@0", "2g.10gb@2")), more.steps) == {"1g.5gb@0", "3g.20gb@4"}
    assert known(host(one, marks), planned(one, HOST, marks).steps) == set()
    settled = planned(one, rule(["1g.5gb"]), marks)
    assert words(settled) == [], "no change for its sake alone"


def test_what_is_made_anew_where_a_mark_outlived_it_is_known():
    one = device(board("A100-40"))
    for marks in (made("3g.20gb@4"), made("3g.20gb@4", boot="before")):
        plan = planned(one, rule(["3g.20gb"]), marks)
        (mark,) = imagine(host(one, marks), plan.steps).marks
        assert (mark.part, mark.boot_id) == ("3g.20gb@4", "now")
        assert "forget 3g.20gb@4" not in words(plan), "not even on the way"


def test_what_cannot_be_seen_is_not_said_to_be_gone():
    one = replace(device(board("A30")), detail=Detail(nvidia=Nvidia(uuid="GPU-1", mig_unseen="it is lost")))
    plan = planned(one, HOST, made("1g.6gb@0"))
    assert plan.refusals[0].message == f"cannot see MIG of {GPU}: it is lost" and plan.steps == ()
    assert planned(one, HOST).refusals == ()


def test_adopted():
    one = device(cut("A100-40", ("1g.5gb", 0), ("3g.20gb", 4)))
    there = host(one, made("1g.5gb@0", mode=True))
    steps = adopt_plan(there, one).steps
    assert [mark.part for step in steps for mark in step.marks] == ["3g.20gb@4"]
    adopted = imagine(there, steps)
    assert known(adopted) == {"1g.5gb@0", "3g.20gb@4", ""}
    assert adopt_plan(adopted, one).steps == ()


@pytest.mark.parametrize("name", ["balanced", "all-1g", "all-2g", "empty"])
@pytest.mark.parametrize("state", [{"on": True}, {"on": False}, {"on": False, "resets": False}], ids=str)
def test_the_imagined_gpu_is_as_wanted_and_exports_as_it_is(name, state):
    one = device(board("H100-80"), **state)
    wish = rule(name)
    after = imagine(host(one), planned(one, wish).steps)
    assert drafted(after, wish).steps == ()
    (exported,) = export(after, after.devices).gpus
    assert drafted(after, exported).steps == ()
    back = imagine(after, drafted(after, HOST).steps)
    assert back.marks == () and back.devices[0].facts.nvidia.mig == one.facts.nvidia.mig


def test_what_is_imagined_is_in_the_order_of_a_look():
    there = device(cut("A100-40", ("1g.5gb", 3)))
    (before, *_) = planned(device(board("A100-40")), rule(["2g.10gb"])).steps
    step = replace(before, placement=Placement(start=0, size=2))
    (after,) = imagine(host(there), (step,)).devices
    assert [found.placement.start for found in after.facts.nvidia.mig.gpu.instances] == [0, 3]
