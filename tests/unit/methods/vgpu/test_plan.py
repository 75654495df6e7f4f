"""vGPU rules → plans on cards of both frameworks, and on GPU instances."""

import pytest
from msgspec.structs import replace

from gpupass.methods import slots_of
from gpupass.methods.host.rule import HostRule
from gpupass.methods.mig.mode import SetMigMode
from gpupass.methods.mig.ownership import Made as MigMade
from gpupass.methods.mig.steps import SetComputeInstance, SetGpuInstance
from gpupass.methods.sriov.marks import Made as SriovMade
from gpupass.methods.vgpu import VGPU
from gpupass.methods.vgpu.card import SetVgpuScheduler, SetVgpuSharing
from gpupass.methods.vgpu.check import lend_findings
from gpupass.methods.vgpu.made import Made, functions_of
from gpupass.methods.vgpu.rule import VgpuParam, VgpuRule
from gpupass.methods.vgpu.steps import SetVgpuType
from gpupass.model.host import (
    Detail,
    Device,
    Host,
    Mdev,
    MdevType,
    Nvidia,
    Sriov,
    Vgpu,
    VgpuCard,
    VgpuType,
)
from gpupass.model.mark import Claim, Origin
from gpupass.model.mig import GpuInstance, LayoutEntry, MigState, Placement
from gpupass.model.profile import Profile, Select
from gpupass.model.slot import Slot, SlotKind
from gpupass.model.types import TypeCount
from gpupass.model.user import User, UserKind
from gpupass.plan import Draft
from gpupass.planner.draft import imagine, merged, plan_of
from gpupass.planner.export import export
from gpupass.planner.ownership import adopt_plan
from gpupass.planner.profile import plan_profile
from gpupass.steps.bind import BindDriver
from gpupass.steps.mdev import SetMdev
from gpupass.steps.remember import Remember
from gpupass.steps.vfs import SetVfs
from gpupass.steps.vgpu_params import SetVgpuParams
from tests.mig_boards import board

CARD = "0000:07:00.0"
VFS = tuple(f"0000:07:00.{number}" for number in range(4, 8))
OFFERED = (VgpuType(id=468, name="A100-4C"), VgpuType(id=469, name="A100-8C"))
SELECT = Select(address=CARD)


def card(vfs=4, mixed=False, scheduler="best-effort", cut=None, types=()):
    sriov = Sriov(total=16, enabled=vfs, autoprobe=True, vfs=VFS[:vfs])
    nvidia = Nvidia(uuid="GPU-1", mig=cut, vgpu_card=VgpuCard(mixed=mixed, scheduler=scheduler))
    detail = Detail(sriov=sriov, nvidia=nvidia, mdev_types=types)
    return Device(
        address=CARD, vendor=0x10DE, device=0x20B0, class_code=0x030200, driver="nvidia", detail=detail
    )


def vf(address, current=0, offered=OFFERED, users=(), mdevs=None, params=""):
    """Of the vendor's framework, or with `mdevs` of the mediated one."""
    if mdevs is None:
        detail = Detail(vgpu=Vgpu(current=current, creatable=() if current else offered, params=params))
    else:
        free = 0 if mdevs else 1
        kinds = tuple(
            MdevType(id=f"nvidia-{kind.id}", name=f"GRID {kind.name}", available=free, device_api="vfio-pci")
            for kind in OFFERED
        )
        detail = Detail(mdev_types=kinds, mdevs=mdevs)
    return Device(
        address=address,
        vendor=0x10DE,
        device=0x20B0,
        class_code=0x030200,
        driver="nvidia",
        physfn=CARD,
        lends_itself=mdevs is None,
        users=users,
        detail=detail,
    )


def host(one=None, *vfs, marks=(), script=True):
    """With the functions that the card has."""
    one = one or card()
    devices = (one, *(vfs or (vf(address) for address in one.detail.sriov.vfs)))
    return Host(devices=devices, boot_id="now", machine_id="m1", marks=marks, sriov_manage=script)


def rule(*types, **more):
    counts = tuple(TypeCount(type=name, count=number) for name, number in types)
    return VgpuRule(name="card", select=SELECT, types=counts, **more)


def ours(address, kind="A100-4C", part="A100-4C-0", boot="now"):
    return Made(carrier=address, name=part, type=kind, boot_id=boot)


def planned(there, wish):
    """What the rule alone makes of the card."""
    return plan_profile(Profile(gpus=(wish,)), there, "").plans[0]


def slot_on(address, uuid=None):
    return Slot(kind=SlotKind.VGPU, device=address, of=CARD, mdev=uuid)


def deeds(plan):
    found = []
    for step in plan.steps:
        match step:
            case SetVgpuType():
                found.append((step.address, step.type if step.id else None))
            case SetMdev():
                found.append((step.address, step.type if step.present else None))
            case SetVfs():
                found.append(("vfs", step.count, step.script))
            case SetVgpuSharing():
                found.append(("mixed", step.mixed))
            case SetVgpuScheduler():
                found.append(("turns", step.policy))
            case SetVgpuParams():
                found.append(("params", step.address, step.params))
            case SetMigMode():
                found.append(("mig", step.on))
            case SetGpuInstance():
                found.append(("gi", step.profile, step.present))
            case SetComputeInstance():
                found.append(("ci", step.profile, step.present))
            case Remember():
                pass
            case _:
                found.append(step)
    return found


def refusals(plan):
    return [finding.message for finding in plan.refusals]


def settled(before, wish):
    """What was planned is all that was wanted."""
    plan = planned(before, wish)
    assert not plan.refusals, plan.refusals
    after = imagine(before, plan.steps)
    assert not planned(after, wish).steps
    return plan, after


def test_functions_are_made_first_by_nvidias_script_all_of_them():
    plan = planned(host(card(vfs=0)), rule(("A100-4C", 2)))
    assert deeds(plan) == [("vfs", 16, True)] and plan.waits
    plan = planned(host(card(vfs=0), script=False), rule(("A100-4C", 2)))
    assert deeds(plan) == [("vfs", 2, False)]


def test_types_go_to_functions_in_order_and_have_names():
    plan, after = settled(host(), rule(("A100-4C", 2)))
    assert deeds(plan) == [(VFS[0], "A100-4C"), (VFS[1], "A100-4C")]
    assert sorted(after.marks, key=lambda mark: mark.carrier) == [
        ours(VFS[0]),
        ours(VFS[1], part="A100-4C-1"),
    ]
    parts = {slot.part: slot.device for slot in slots_of(after, after.devices[0]) if slot.kind == "vgpu"}
    assert parts == {"A100-4C-0": VFS[0], "A100-4C-1": VFS[1]}
    assert export(after, after.devices[:1]).gpus[0].types == (TypeCount(type="A100-4C", count=2),)


def test_the_largest_first_and_several_sizes_need_the_mode():
    plan, _ = settled(host(), rule(("A100-4C", 2), ("A100-8C", 1)))
    assert deeds(plan) == [("mixed", True), (VFS[0], "A100-8C"), (VFS[1], "A100-4C"), (VFS[2], "A100-4C")]
    plan, _ = settled(host(card(mixed=True)), rule(("A100-4C", 1), ("A100-8C", 1)))
    assert ("mixed", True) not in deeds(plan)


def test_sizes_cannot_be_mixed_beside_a_vgpu_that_stays():
    wish = rule(("A100-4C", 1), ("A100-8C", 1))
    busy = (User(kind=UserKind.DOMAIN, name="vm1"),)
    used = host(None, vf(VFS[0], 468, users=busy), vf(VFS[1]), marks=(ours(VFS[0]),))
    foreign = host(None, vf(VFS[0], 468), vf(VFS[1]))
    for there in (used, foreign):
        assert "only while it has none" in refusals(planned(there, wish))[0]
    free = host(None, vf(VFS[0], 468), vf(VFS[1]), marks=(ours(VFS[0]),))
    plan, _ = settled(free, wish)
    made_anew = [(VFS[0], None), ("mixed", True), (VFS[0], "A100-8C"), (VFS[1], "A100-4C")]
    assert deeds(plan) == made_anew


def test_what_fits_stays_and_what_is_not_asked_for_goes():
    vfs = (vf(VFS[0], 468), vf(VFS[1], 468), vf(VFS[2]), vf(VFS[3]))
    marks = (ours(VFS[0]), ours(VFS[1], part="A100-4C-1"))
    claims = tuple(Claim(carrier=address, domain="gone", uuid="u") for address in VFS[:2])
    plan, after = settled(host(None, *vfs, marks=(*marks, *claims)), rule(("A100-4C", 1)))
    assert deeds(plan) == [(VFS[1], None)]
    assert {*after.marks} == {marks[0], claims[0]}, "what goes is forgotten with its claim, and nothing else"
    plan, _ = settled(host(None, *vfs, marks=marks), rule(("A100-4C", 3)))
    assert deeds(plan) == [(VFS[2], "A100-4C")]


def test_in_use_is_refused():
    user = User(kind=UserKind.DOMAIN, name="vm1")
    there = host(None, vf(VFS[0], 468, users=(user,)), vf(VFS[1]), marks=(ours(VFS[0]),))
    plan = planned(there, rule(("A100-4C", 0)))
    assert refusals(plan) == [f"{VFS[0]} (A100-4C) is in use by domain vm1"]


def test_others_vgpus_stay_and_count():
    there = host(None, vf(VFS[0], 468), vf(VFS[1]), vf(VFS[2]))
    assert not planned(there, rule(("A100-4C", 1))).steps
    plan = planned(there, rule(("A100-4C", 0)))
    assert not plan.steps and "did not make" in plan.foreign[0]
    assert deeds(planned(there, rule(("A100-4C", 0), take_over=True))) == [(VFS[0], None)]
    stale = replace(there, marks=(ours(VFS[0], boot="before"),))
    assert not planned(stale, rule(("A100-4C", 0))).steps


@pytest.mark.parametrize(
    "wish, word",
    [
        (rule(("A100-4Q", 1)), "did you mean A100-4C"),
        (rule(("A100-4C", 5)), "can have"),
        (rule(("A100-4C", 1), scheduler="fixed-share"), ""),
    ],
)
def test_bad_wishes(wish, word):
    one = (
        card()
        if word != "can have"
        else replace(
            card(), detail=replace(card().detail, sriov=Sriov(total=4, enabled=4, autoprobe=True, vfs=VFS))
        )
    )
    there = host(one)
    said = refusals(planned(there, wish))
    assert (word in said[0]) if word else not said


def test_turns_and_params():
    wish = rule(
        ("A100-4C", 1), scheduler="equal-share", params=(VgpuParam(name="frame_rate_limiter", value="0"),)
    )
    plan, _ = settled(host(), wish)
    assert deeds(plan) == [
        ("turns", "equal-share"),
        (VFS[0], "A100-4C"),
        ("params", VFS[0], "frame_rate_limiter=0"),
    ]
    silent = host(card(scheduler=None))
    assert "does not tell" in refusals(planned(silent, wish))[0]
    user = User(kind=UserKind.DOMAIN, name="vm1")
    busy = host(None, vf(VFS[0], 468, users=(user,)), vf(VFS[1]), marks=(ours(VFS[0]),))
    assert "only while no guest" in refusals(planned(busy, wish))[0]


def test_the_mediated_framework_by_what_is_there():
    there = host(None, *(vf(address, mdevs=()) for address in VFS))
    plan, after = settled(there, rule(("A100-4C", 2)))
    assert deeds(plan) == [(VFS[0], "nvidia-468"), (VFS[1], "nvidia-468")]
    parts = [slot.part for slot in slots_of(after, after.devices[0]) if slot.kind == "vgpu"]
    assert parts == ["A100-4C-0", "A100-4C-1"]
    again = planned(there, rule(("A100-4C", 2)))
    other = replace(there, machine_id="m2")
    uuids = [[step.uuid for step in one.steps if isinstance(step, SetMdev)] for one in (plan, again)]
    assert uuids[0] == uuids[1], "the same on this host for ever"
    elsewhere = planned(other, rule(("A100-4C", 2)))
    assert not {s.uuid for s in elsewhere.steps if isinstance(s, SetMdev)} & set(uuids[0])


def test_params_of_mediated_vgpus_are_seen_and_kept():
    there = host(None, *(vf(address, mdevs=()) for address in VFS))
    wish = rule(("A100-4C", 1), params=(VgpuParam(name="disable_vnc", value="1"),))
    plan, after = settled(there, wish)
    assert deeds(plan)[-1] == ("params", VFS[0], "disable_vnc=1")
    (mdev,) = after.device(VFS[0]).facts.mdevs
    again = plan_of("", VGPU.renew(after, slot_on(VFS[0], mdev.uuid)), after).steps
    assert [type(step) for step in again] == [SetVgpuParams, SetMdev, SetMdev, SetVgpuParams]
    assert again[-1].params == "disable_vnc=1" and again[-1].mdev == mdev.uuid
    assert imagine(after, again).marks == after.marks, "it stays known"


def test_what_is_made_anew_is_told_its_params_again():
    mark = ours(VFS[0])
    there = host(None, vf(VFS[0], 468, params="frame_rate_limiter=0,disable_vnc=1"), marks=(mark,))
    draft = VGPU.renew(there, slot_on(VFS[0]))
    steps = plan_of("", draft, there).steps
    assert [type(step) for step in steps] == [SetVgpuParams, SetVgpuType, SetVgpuType, SetVgpuParams]
    assert [step.id for step in steps[1:3]] == [0, 468]
    assert steps[0].params == "", "told again when the removal is undone"
    assert steps[-1].params == "frame_rate_limiter=0 disable_vnc=1"
    off = SetVgpuType(address=VFS[0], id=0, type="A100-4C", forgets=(mark.key,))
    going = plan_of("", merged(draft, Draft(takes=(off,))), there).steps
    assert [type(step) for step in going] == [SetVgpuParams, SetVgpuType]
    assert (going[1].id, going[1].forgets) == (0, off.forgets), "what goes is neither made nor told"
    strangers = replace(there, marks=())
    assert not VGPU.renew(strangers, slot_on(VFS[0])).steps


def test_a_full_card_says_so_beforehand():
    there = host(None, vf(VFS[0], 468), vf(VFS[1], offered=()), marks=(ours(VFS[0]),))
    plan = planned(there, rule(("A100-4C", 2)))
    assert refusals(plan) == [f"{CARD} has room for no more A100-4C"]
    swapped = planned(there, rule(("A100-4C", 0), ("A100-8C", 1)))
    assert "offers no vGPU type A100-8C" in refusals(swapped)[0]


def test_one_mediated_device_for_each_function():
    used = vf(VFS[0], mdevs=(Mdev(uuid="c8b0e2d5-8f1c-4f0e-9d64-0a1b2c3d4e5f", type="nvidia-468"),))
    there = host(None, used, vf(VFS[1], mdevs=()))
    assert deeds(planned(there, rule(("A100-4C", 2)))) == [(VFS[1], "nvidia-468")]


def test_another_use_takes_away_what_is_ours():
    there = host(None, vf(VFS[0], 468), vf(VFS[1], 468), marks=(ours(VFS[0]),))
    plan = planned(there, HostRule(name="card", select=SELECT))
    assert deeds(plan) == [(VFS[0], None)] and not plan.refusals
    assert imagine(there, plan.steps).marks == ()


@pytest.mark.parametrize(
    "version, refused", [((9, 6, 0), True), ((9, 7, 0), False), ((11, 3, 0), False), (None, False)]
)
def test_an_older_libvirt_takes_no_vgpu_of_the_vendors_framework(version, refused):
    there = replace(host(None, vf(VFS[0], 468)), libvirt=version)
    said = [finding.message for finding in lend_findings(there, there.devices[1])]
    told = [f"libvirt {'.'.join(map(str, version))} takes such a VF for one of the host's"] if refused else []
    assert [text[text.index("libvirt") :] for text in said] == told
    empty = replace(host(None, vf(VFS[0])), libvirt=version)
    assert any("has no vGPU type" in finding.message for finding in lend_findings(empty, empty.devices[1]))


# ── on GPU instances ───────────────────────────────────────────────────────────────────────────────────────

BACKED = (VgpuType(id=1, name="A100-1-5C"),)
LAYOUT = (LayoutEntry(profile="1g.5gb"), LayoutEntry(profile="1g.5gb"))


def mode(on, *instances):
    return MigState(on=on, pending=on, resets=False, gpu=replace(board("A100-40"), instances=instances))


def instance(start):
    return GpuInstance(id=start, profile="1g.5gb", placement=Placement(start=start, size=1))


def test_mode_and_functions_then_instances_then_types():
    wish = rule(("A100-1-5C", 2), layout=LAYOUT)
    bare = host(card(vfs=0, cut=mode(False)))
    plan = planned(bare, wish)
    made = [("gi", "1g.5gb", True)] * 2
    assert deeds(plan) == [("mig", True), ("vfs", 16, True), *made] and plan.waits and plan.continues
    ready = host(card(cut=mode(True)), *(vf(address, offered=()) for address in VFS))
    plan = planned(ready, wish)
    assert deeds(plan) == made and plan.waits, "no compute instances: the guests' own"
    cut = host(
        card(cut=mode(True, instance(0), instance(1))), *(vf(address, offered=BACKED) for address in VFS)
    )
    plan = planned(cut, wish)
    assert deeds(plan) == [(VFS[0], "A100-1-5C"), (VFS[1], "A100-1-5C")] and not plan.waits


def test_a_card_that_is_bound_anew_has_no_instances_and_one_size():
    one = GpuInstance(id=7, profile="1g.5gb", placement=Placement(start=0, size=1))
    cut = MigState(on=True, pending=True, gpu=replace(board("A100-40"), instances=(one,)))
    there = host(card(mixed=True, cut=cut))
    made = [SetVfs(address=CARD, count=4, autoprobe=True, script=script) for script in (False, True)]
    gone = [SetVfs(address=CARD, count=0, autoprobe=True, script=step.script) for step in made]
    for script in (0, 1):
        nvidia = imagine(there, (gone[script], made[script])).devices[0].facts.nvidia
        assert nvidia.mig.gpu.instances == (() if script else (one,))
        assert nvidia.vgpu_card.mixed is not bool(script)


IN_USE = (User(kind=UserKind.DOMAIN, name="vm1"),)
SMALL, LARGE = ours(VFS[0], "A100-1-5C", "A100-1-5C-0"), ours(VFS[1], "A100-3-20C", "A100-3-20C-0")


def lent(cut, *marks, large=()):
    """A 1g.5gb at 0 and a 3g.20gb at 4, a vGPU on each."""
    on = [Vgpu(current=number, instance=number) for number in (1, 2)]
    vfs = (vf(VFS[0]), vf(VFS[1], users=large), vf(VFS[2], offered=BACKED), vf(VFS[3], offered=BACKED))
    seats = (replace(one, detail=Detail(vgpu=vgpu)) for one, vgpu in zip(vfs, on, strict=False))
    return host(card(cut=cut), *seats, *vfs[2:], marks=(*CUT_BY_US, *marks))


CUT_BY_US = tuple(MigMade(carrier=CARD, part=part, boot_id="now") for part in ("1g.5gb@0", "3g.20gb@4", ""))


def halves():
    parts = (("1g.5gb", 1, Placement(start=0, size=1)), ("3g.20gb", 2, Placement(start=4, size=4)))
    return mode(True, *(GpuInstance(id=number, profile=name, placement=at) for name, number, at in parts))


def layout(*profiles):
    return tuple(LayoutEntry(profile=profile) for profile in profiles)


def test_no_instance_ends_under_a_vgpu():
    there = lent(halves(), SMALL, LARGE)
    plan = planned(there, rule(("A100-1-5C", 1), layout=layout("1g.5gb")))
    assert deeds(plan) == [(VFS[1], None), ("gi", "3g.20gb", False)] and not plan.refusals
    moved = planned(there, rule(("A100-1-5C", 1), layout=layout("4g.20gb", "1g.5gb")))
    assert deeds(moved) == [
        (VFS[0], None),
        (VFS[1], None),
        ("gi", "1g.5gb", False),
        ("gi", "3g.20gb", False),
        ("gi", "4g.20gb", True),
        ("gi", "1g.5gb", True),
    ], "a vGPU that stays is made anew on an instance that moves, and the host makes no compute instance"


def test_an_instance_under_a_guests_or_somebody_elses_vgpu_stays():
    wish = rule(("A100-1-5C", 1), layout=layout("1g.5gb"))
    used = lent(halves(), SMALL, LARGE, large=IN_USE)
    assert "is in use by domain vm1" in refusals(planned(used, wish))[0]
    foreign = lent(halves(), SMALL)
    assert "cannot go beside vGPUs that stay" in refusals(planned(foreign, wish))[0]


def test_another_use_ends_instances_before_functions_and_the_mode_after():
    functions = SriovMade(carrier=CARD, vfs=4, autoprobe=True, script=True, boot_id="now")
    there = lent(halves(), SMALL, LARGE, functions)
    plan = planned(there, HostRule(name="card", select=SELECT))
    assert deeds(plan) == [
        (VFS[0], None),
        (VFS[1], None),
        ("gi", "1g.5gb", False),
        ("gi", "3g.20gb", False),
        ("vfs", 0, True),
        ("mig", False),
    ]
    assert not plan.refusals and imagine(there, plan.steps).marks == ()


def test_a_type_without_its_instance_is_refused():
    there = host(card(cut=mode(True)))
    wish = rule(("A100-2-10C", 1), layout=LAYOUT)
    assert "needs a GPU instance of 2 slices" in refusals(planned(there, wish))[0]
    assert not VGPU.cut(there, {CARD: (wish,)}).steps


def test_what_is_removed_at_once_is_not_made_anew():
    off, on, gone = (
        SetVgpuType(address=VFS[0], id=number, type="A100-4C", why=why)
        for number, why in ((0, "its guest has used it"), (468, "made anew"), (0, "there is to be none"))
    )
    anew = Draft(takes=(off,), makes=(on,))
    assert merged(anew, Draft(takes=(gone,))).steps == (off,)
    assert merged(anew, Draft(takes=(off,))).steps == (off,), "nor where both ends are told in the same words"
    assert merged(Draft(takes=(off,)), Draft(makes=(on,))).steps == (off, on)


def test_of_two_drivers_for_one_function_the_later_counts():
    """What it had before the first one stays known."""
    before, between = Origin(carrier=CARD, driver="nvidia"), Origin(carrier=CARD, driver="nouveau")
    first, later, other = (
        BindDriver(address=address, driver=driver, override=driver, marks=marks)
        for address, driver, marks in (
            (CARD, "nouveau", (before,)),
            (CARD, "vfio-pci", (between,)),
            (VFS[0], "nvidia", ()),
        )
    )
    made = merged(Draft(makes=(first, other)), Draft(makes=(later,)))
    assert [(step.address, step.driver, step.marks) for step in made.makes] == [
        (VFS[0], "nvidia", ()),
        (CARD, "vfio-pci", (before,)),
    ]


def test_a_card_with_types_of_its_own_has_no_vgpus_on_functions():
    kinds = (MdevType(id="nvidia-468", name="GRID A100-4C", available=1, device_api="vfio-pci"),)
    there = host(card(types=kinds))
    assert [one.address for one in functions_of(there, there.device(CARD))] == [CARD]


def test_a_card_without_functions_is_exported_as_what_its_vgpus_are():
    """Made by gpupass, made by others, and adopted."""
    kinds = tuple(
        MdevType(id=f"nvidia-{kind.id}", name=f"GRID {kind.name}", available=2, device_api="vfio-pci")
        for kind in OFFERED
    )
    whole = card(vfs=0, types=kinds)
    whole = replace(whole, detail=replace(whole.facts, sriov=None))
    foreign = Mdev(uuid="0f0f0f0f-0000-4000-8000-000000000001", type="nvidia-468")
    there = Host(devices=(whole,), boot_id="now", machine_id="m1")
    cut = replace(whole, detail=replace(whole.facts, mdevs=(foreign,)))
    others = replace(there, devices=(cut,))
    for one in (
        imagine(there, planned(there, rule(("A100-4C", 2))).steps),
        others,
        imagine(others, adopt_plan(others, cut).steps),
    ):
        found = export(one, one.devices)
        assert isinstance(found.gpus[0], VgpuRule) and found.gpus[0].types[0].type == "A100-4C"
        assert [plan.steps for plan in plan_profile(found, one, "").plans] == [()]
