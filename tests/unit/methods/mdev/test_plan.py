"""Rules for mediated devices → plans: names, UUIDs, what others made, what is in use."""

import pytest
from msgspec.structs import replace

from gpupass.devices.mediated import Made, mdev_uuid
from gpupass.methods import slots_of
from gpupass.methods.host.rule import HostRule
from gpupass.methods.mdev import MDEV
from gpupass.methods.mdev.rule import MdevRule
from gpupass.model.host import Host
from gpupass.model.mark import Claim
from gpupass.model.mdev import Mdev, MdevBus, MdevType, Mediated
from gpupass.model.profile import Select
from gpupass.model.slot import Slot, SlotKind
from gpupass.model.types import TypeCount
from gpupass.model.user import User, UserKind
from gpupass.planner.draft import imagine, plan_of
from gpupass.planner.export import export
from gpupass.planner.ownership import adopt_plan
from gpupass.planner.profile import plan_profile
from gpupass.steps.mdev import SetMdev

SELECT = Select(parent="mbochs")
FOREIGN = "c8b0e2d5-8f1c-4f0e-9d64-0a1b2c3d4e5f"
KINDS = tuple(
    MdevType(id=f"mbochs-{name}", name=name, available=free, device_api="vfio-pci")
    for name, free in (("small", 64), ("medium", 16), ("large", 4))
)


def parent(*mdevs):
    return MdevBus(address="mbochs", detail=Mediated(mdev_types=KINDS, mdevs=mdevs))


def host(*mdevs, marks=()):
    return Host(devices=(), mdev_buses=(parent(*mdevs),), boot_id="now", machine_id="m1", marks=marks)


def rule(*types, **more):
    counts = tuple(TypeCount(type=name, count=number) for name, number in types)
    return MdevRule(name="screens", select=SELECT, types=counts, **more)


def ours(uuid, name="", boot="now"):
    return Made(carrier="mbochs", part=uuid, name=name, type="mbochs-small", boot_id=boot)


def deeds(plan):
    return [(step.type, step.present) for step in plan.steps if isinstance(step, SetMdev)]


def cut(there, *wish):
    return plan_of("", MDEV.cut(there, {"mbochs": wish}), there)


def told(plan):
    """(UUID, name) of what is remembered on the way."""
    return [(mark.part, mark.name) for step in plan.steps for mark in step.marks]


def test_made_under_their_names_and_settled():
    there = host()
    plan = cut(there, rule(("mbochs-small", 2), ("large", 1)))
    assert deeds(plan) == [("mbochs-large", True), ("mbochs-small", True), ("mbochs-small", True)]
    after = imagine(there, plan.steps)
    parts = sorted(slot.part for slot in slots_of(after, after.mdev_buses[0]))
    assert parts == ["large-0", "mbochs-small-0", "mbochs-small-1"]
    assert not cut(after, rule(("mbochs-small", 2), ("large", 1))).steps


def test_uuids_are_those_of_host_parent_and_name():
    here, there = host(), replace(host(), machine_id="m2")
    names = {
        mdev_uuid(one, address, part)
        for one in (here, there)
        for address in ("mbochs", "0000:00:02.0")
        for part in ("a-0", "a-1")
    }
    assert len(names) == 8
    assert mdev_uuid(host(), "mbochs", "a-0") == mdev_uuid(here, "mbochs", "a-0")


@pytest.mark.parametrize("none", [(), (HostRule(name="screens", select=SELECT),)], ids=["unsaid", "host"])
def test_fewer_and_none(none):
    there = imagine(host(), cut(host(), rule(("mbochs-small", 2))).steps)
    assert len(there.marks) == 2
    fewer = cut(there, rule(("mbochs-small", 1)))
    assert deeds(fewer) == [("mbochs-small", False)]
    assert [mark.name for mark in imagine(there, fewer.steps).marks] == ["mbochs-small-0"]
    plan = cut(there, *none)
    assert deeds(plan) == [("mbochs-small", False)] * 2
    after = imagine(there, plan.steps)
    assert not after.marks and not after.mdev_buses[0].facts.mdevs


def test_what_goes_is_forgotten_with_its_claim():
    claims = (Claim(carrier="mbochs", part=FOREIGN, domain="vm1", uuid="u"),)
    elsewhere = Claim(carrier="mbochs", part=FOREIGN.replace("c8", "d8"), domain="vm1", uuid="u")
    there = host(Mdev(uuid=FOREIGN, type="mbochs-small"), marks=(ours(FOREIGN), *claims, elsewhere))
    assert imagine(there, cut(there).steps).marks == (elsewhere,)


def test_what_others_made_stays_unless_taken_over():
    there = host(Mdev(uuid=FOREIGN, type="mbochs-medium", defined=True))
    plan = cut(there, rule(("mbochs-small", 1)))
    assert deeds(plan) == [("mbochs-small", True)] and FOREIGN in plan.foreign[0]
    assert deeds(cut(there, rule(take_over=True))) == [("mbochs-medium", False)]
    adopted = replace(there, marks=(ours(FOREIGN),))
    assert deeds(cut(adopted, rule())) == [("mbochs-medium", False)]
    stale = replace(there, marks=(ours(FOREIGN, boot="before"),))
    assert not deeds(cut(stale, rule()))


def test_one_that_is_there_under_our_uuid_is_ours():
    """mdevctl may have started it at boot, or the mark is lost."""
    uuid = mdev_uuid(host(), "mbochs", "mbochs-small-0")
    plan = cut(host(Mdev(uuid=uuid, type="mbochs-small")), rule(("mbochs-small", 1)))
    assert not deeds(plan) and told(plan) == [(uuid, "mbochs-small-0")]
    other = cut(host(Mdev(uuid=uuid, type="mbochs-large")), rule(("mbochs-small", 1)))
    assert deeds(other) == [("mbochs-large", False), ("mbochs-small", True)]


def test_in_use_unknown_and_full():
    user = User(kind=UserKind.DOMAIN, name="vm1")
    used = host(Mdev(uuid=FOREIGN, type="mbochs-small", users=(user,)), marks=(ours(FOREIGN),))
    assert [f.message for f in cut(used, rule()).refusals] == [f"{FOREIGN} is in use by domain vm1"]
    unknown = cut(host(), rule(("mbochs-smal", 1))).refusals
    assert "did you mean mbochs-small?" in unknown[0].message
    assert "has room for 4 more" in cut(host(), rule(("large", 5))).refusals[0].message
    last = cut(host(), rule(("large", 4)))
    assert deeds(last) == [("mbochs-large", True)] * 4 and last.refusals == ()


def test_whoever_loses_one_is_told():
    there = host(Mdev(uuid=FOREIGN, type="mbochs-medium"))
    for wish in (rule(("small", 1), take_over=True), rule(take_over=True)):
        assert [loss.loses for loss in cut(there, wish).disruptions] == [f"{FOREIGN} (mbochs-medium)"]
    assert cut(there, rule(("small", 1))).disruptions == ()


def test_made_anew_only_where_it_is_ours():
    slot = Slot(kind=SlotKind.MDEV, device="mbochs", of="mbochs", mdev=FOREIGN)
    there = host(Mdev(uuid=FOREIGN, type="mbochs-small"))
    assert not MDEV.renew(there, slot).steps
    adopted = replace(there, marks=(ours(FOREIGN),))
    plan = plan_of("", MDEV.renew(adopted, slot), adopted)
    assert deeds(plan) == [("mbochs-small", False), ("mbochs-small", True)]
    assert {step.uuid for step in plan.steps} == {FOREIGN}
    assert imagine(adopted, plan.steps).marks == adopted.marks


def steps_back_to(there, take_over=False):
    """What a profile of the host as it is would do."""
    (plan,) = plan_profile(export(there, there.carriers, take_over=take_over), there, "").plans
    return plan.steps


def test_exported_as_it_is_without_what_others_made():
    there = host(Mdev(uuid=FOREIGN, type="mbochs-small", defined=True))
    assert steps_back_to(there) == steps_back_to(there, take_over=True) == ()
    after = imagine(there, cut(there, rule(("mbochs-small", 1), ("large", 1))).steps)
    assert len(after.mdev_buses[0].facts.mdevs) == 3
    assert steps_back_to(after) == steps_back_to(after, take_over=True) == ()


def test_adopted_it_keeps_its_uuid_and_gets_a_name():
    there = host(Mdev(uuid=FOREIGN, type="mbochs-small", defined=True))
    adopted = imagine(there, adopt_plan(there, there.mdev_buses[0]).steps)
    assert [slot.part for slot in slots_of(adopted, adopted.mdev_buses[0]) if slot.mdev] == ["mbochs-small-0"]
    assert steps_back_to(adopted) == () and not cut(adopted, rule(("mbochs-small", 1))).steps
    assert deeds(cut(adopted, rule(("mbochs-small", 2)))) == [("mbochs-small", True)]
    renamed = cut(adopted, rule(("small", 1)))
    assert not deeds(renamed) and told(renamed) == [(FOREIGN, "small-0")]
