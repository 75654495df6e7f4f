"""MIG rules → plans: the mode, what is kept, whose it is, and what a rule of another use leaves."""

import pytest
from msgspec.structs import replace

from gpupass.methods import mig_plan
from gpupass.model.host import Detail, Device, Host, Nvidia, Sriov, Vgpu
from gpupass.model.mig import LayoutEntry, MigGpu, MigState
from gpupass.model.profile import HostRule, MigRule, PassthroughRule, Select
from gpupass.model.record import Record, RecordKind
from gpupass.model.user import User, UserKind
from gpupass.plan import imagine
from gpupass.planner.cuts import uncut_plans
from gpupass.planner.export import export
from gpupass.planner.ownership import adopt_plan
from gpupass.steps.mig import SetComputeInstance, SetGpuInstance
from gpupass.steps.mig_mode import SetMigMode
from gpupass.steps.record import WriteRecord
from tests.mig_boards import board, cut

GPU = "0000:07:00.0"
SELECT = Select(address=GPU)


def device(gpu, on=True, pending=None, resets=True, users=()):
    state = MigState(on=on, pending=on if pending is None else pending, resets=resets, gpu=gpu)
    nvidia = Nvidia(uuid="GPU-1", cut=state)
    return Device(
        address=GPU,
        vendor=0x10DE,
        device=0x20B0,
        class_code=0x030200,
        driver="nvidia",
        detail=Detail(nvidia=nvidia),
        users=users,
    )


def host(one, *records):
    return Host(devices=(one,), boot_id="now", records=records)


def made(*names, mode=False, boot="now"):
    return Record(kind=RecordKind.MIG, address=GPU, instances=names, mode=mode, boot_id=boot)


def rule(layout, **more):
    entries = layout if isinstance(layout, str) else tuple(LayoutEntry(profile=name) for name in layout)
    return MigRule(name="a", select=SELECT, layout=entries, **more)


def words(plan):
    """Each step in a word or two."""
    found = []
    for step in plan.steps:
        match step:
            case WriteRecord():
                found.append(f"remember {','.join(step.record.instances)}" if step.record else "forget")
            case SetMigMode():
                found.append("on" if step.on else "off")
            case SetGpuInstance():
                found.append(f"{'+' if step.present else '-'}{step.profile}@{step.placement.start}")
            case SetComputeInstance():
                found.append(f"{'+' if step.present else '-'}{step.placement.size}c")
            case _:
                found.append(type(step).__name__ + ("(back)" if getattr(step, "back", False) else ""))
    return found


def planned(one, wish, *records):
    return mig_plan.cut(host(one, *records), one, wish)


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        ({"on": True}, []),
        ({"on": False, "resets": False}, ["on"]),
        ({"on": False}, ["ResetGpu(back)", "on", "ResetGpu"]),
        ({"on": False, "pending": True}, ["ResetGpu(back)", "on", "ResetGpu"]),
        ({"on": True, "pending": False}, ["on"]),
    ],
)
def test_the_mode(state, steps):
    plan = planned(device(board("A100-40"), **state), rule("empty"))
    assert [word for word in words(plan) if not word.startswith("remember")] == steps
    assert [word for word in words(plan) if word.startswith("remember")] == ["remember "] * (not state["on"])


def test_destroyed_then_made_and_remembered_on_the_way():
    one = device(cut("A100-40", ("1g.5gb", 0), ("1g.5gb", 1), ("3g.20gb", 4)))
    plan = planned(one, rule(["3g.20gb", "2g.10gb"]), made("1g.5gb@0", "1g.5gb@1", "3g.20gb@4"))
    assert words(plan) == [
        "remember 1g.5gb@0,1g.5gb@1,2g.10gb@0,3g.20gb@4",
        *("-1c", "-1g.5gb@0", "-1c", "-1g.5gb@1"),
        *("+2g.10gb@0", "+2c"),
        "remember 2g.10gb@0,3g.20gb@4",
    ]


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


def with_vgpu(card, vgpu, users=()):
    """The host with one VF of the card."""
    sriov = Sriov(total=16, enabled=1, autoprobe=True, vfs=(VF,))
    vf = replace(card, address=VF, physfn=GPU, detail=Detail(vgpu=vgpu), users=users)
    return Host(devices=(replace(card, detail=replace(card.facts, sriov=sriov)), vf), boot_id="now")


@pytest.mark.parametrize(
    ("vgpu", "users", "told"),
    [
        (Vgpu(current=694, instance=7), (), [(VF, "1g.5gb@0")]),
        (Vgpu(current=694, instance=7), (User(kind=UserKind.DOMAIN_CONFIG, name="web"),), [(VF, "1g.5gb@0")]),
        (Vgpu(current=694, instance=7), (User(kind=UserKind.DOMAIN, name="web"),), []),
        (Vgpu(current=694, instance=12), (), []),
        (Vgpu(current=694), (), []),
        (Vgpu(instance=7), (), []),
        (None, (), []),
    ],
)
def test_a_vgpu_whose_guest_does_not_run_is_told_of(vgpu, users, told):
    """On what goes only; and nobody has to allow it."""
    there = with_vgpu(device(cut("A100-40", ("1g.5gb", 0), ("1g.5gb", 5))), vgpu, users)
    keep = MigRule(name="a", select=SELECT, layout=(LayoutEntry(profile="1g.5gb", start=5),), take_over=True)
    plan = mig_plan.cut(there, there.devices[0], keep)
    assert [(loss.victim, loss.loses.partition(" of ")[0]) for loss in plan.disruptions] == told
    assert not any(loss.at_work for loss in plan.disruptions) and plan.refusals == ()


def test_a_vgpu_whose_guest_does_not_run_is_told_of_on_the_way_back():
    vgpu = Vgpu(current=694, instance=7)
    there = with_vgpu(device(cut("A100-40", ("1g.5gb", 0), ("1g.5gb", 5))), vgpu)
    plan = mig_plan.uncut(there, there.devices[0], replace(HOST, take_over=True))
    assert [loss.victim for loss in plan.disruptions] == [VF]


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
                device(board("A30")), detail=Detail(nvidia=Nvidia(uuid="GPU-1", cut_unseen="it is lost"))
            ),
            (),
            f"cannot see MIG of {GPU}: it is lost",
        ),
        (device(None), (), f"cannot see MIG of {GPU}: it was not asked for"),
    ],
)
def test_why_not(one, unseen, message):
    plan = mig_plan.cut(replace(host(one), unseen=unseen), one, rule("balanced"))
    assert [finding.message for finding in plan.refusals] == [message] and plan.steps == ()


def test_a_gpu_on_its_way_from_a_guest_is_cut_after_the_next_look():
    one = replace(device(board("A30")), detail=Detail())
    plan = mig_plan.cut(host(one), one, rule("balanced"))
    assert (plan.steps, plan.findings) == ((), ())
    assert plan.waits == (f"GPU instances of {GPU}: made when the nvidia driver has it and tells of them",)


def test_a_driver_that_tells_profiles_in_mig_mode_only():
    assert words(planned(device(MigGpu(profiles=()), on=False, resets=False), rule("balanced"))) == [
        "remember ",
        "on",
    ]
    refused = planned(device(MigGpu(profiles=())), rule("balanced")).refusals
    assert refused[0].message == f"cannot see MIG of {GPU}: its driver tells no profiles"


def uncut(one, wish, *records):
    plans = uncut_plans(host(one, *records), one, wish)
    return next(plan for plan in plans if plan.title == f"uncut {GPU}")


HOST = HostRule(name="a", select=SELECT)
LENT = PassthroughRule(name="a", select=SELECT)


def test_the_way_back():
    one = device(cut("A100-40", ("1g.5gb", 0), ("3g.20gb", 4)), resets=False)
    assert words(uncut(one, HOST, made("1g.5gb@0", "3g.20gb@4", mode=True))) == [
        *("-1c", "-1g.5gb@0", "-3c", "-3g.20gb@4"),
        *("off", "forget"),
    ]
    ours = uncut(one, HOST, made("1g.5gb@0"))
    assert words(ours) == ["-1c", "-1g.5gb@0", "forget"]
    assert ours.foreign == (f"{GPU} has 3g.20gb@4, which gpupass did not make",)
    assert words(uncut(one, HOST, made("1g.5gb@0", mode=True)))[-1] == "remember ", (
        "the mode is still its own"
    )
    assert uncut(one, HOST).steps == () and "off" in words(uncut(one, replace(HOST, take_over=True)))


def test_lending_the_whole_gpu():
    one = device(cut("A100-40", ("3g.20gb", 4, 9)), resets=False)
    assert "which gpupass did not make" in uncut(one, LENT).refusals[0].message
    plan = uncut(one, LENT, made("3g.20gb@4", mode=True))
    assert words(plan) == ["-3c", "-3g.20gb@4", "off", "forget"]
    assert plan.disruptions[0].victim == "python (pid 9)"


def test_what_cannot_be_seen_is_not_said_to_be_gone():
    one = replace(device(board("A30")), detail=Detail(nvidia=Nvidia(uuid="GPU-1", cut_unseen="it is lost")))
    assert uncut(one, HOST, made("1g.6gb@0")).refusals[0].message == f"cannot see MIG of {GPU}: it is lost"
    assert uncut(one, HOST).refusals == ()


def test_adopted():
    one = device(cut("A100-40", ("1g.5gb", 0), ("3g.20gb", 4)))
    (step,) = adopt_plan(host(one, made("1g.5gb@0", mode=True)), one).steps
    assert (step.record.instances, step.record.mode) == (("1g.5gb@0", "3g.20gb@4"), True)
    assert adopt_plan(host(one, step.record), one).steps == ()


@pytest.mark.parametrize("name", ["balanced", "all-1g", "all-2g", "empty"])
@pytest.mark.parametrize("state", [{"on": True}, {"on": False}, {"on": False, "resets": False}], ids=str)
def test_the_imagined_gpu_is_as_wanted_and_exports_as_it_is(name, state):
    one = device(board("H100-80"), **state)
    wish = rule(name)
    after = imagine(host(one), planned(one, wish).steps)
    assert mig_plan.cut(after, after.devices[0], wish).steps == ()
    (exported,) = export(after, after.devices).gpus
    assert mig_plan.cut(after, after.devices[0], exported).steps == ()
    back = imagine(after, uncut_plans(after, after.devices[0], HOST)[-1].steps)
    assert back.records == () and back.devices[0].facts.nvidia.cut == one.facts.nvidia.cut
