"""Run in a copy of the house that has the toy in METHODS: a profile, and everything that knows of ways."""

import json

import pytest
from tests.unit.app.kernel import divide, divided, install

from gpupass import inspect
from gpupass.app import verbs
from gpupass.errors import GpupassError, Usage
from gpupass.model.domain import QEMU
from gpupass.profiles import profile_schema, write_profile
from tests.machines_in_parts import vgpu_machine
from tests.profile_trips import apply, endings, exported, kinds, plan, rollback, told
from tests.simulated import LONE, NIC
from tests.simulated_vgpu import CARD

ALLOWED = {"allow_disruption": True, "allow_reset": True}
VF = "0000:0a:10.0"  # the first of NIC's


def on(carrier, *rules):
    """Rules of a device called `gpu`, and others that stand on it."""
    first, *others = rules
    texts = (f"{{name: gpu, select: {{address: '{carrier}'}}, {first}}}", *others)
    return f"gpus: [{', '.join(texts)}]"


def lanes(on_what, count=3, name="lanes"):
    return f"{{name: {name}, select: {{slot: {on_what}}}, use: lanes, lanes: {count}}}"


LANES = on(LONE, "use: lanes, lanes: 3")
WHOLE, HOST = on(LONE, "use: passthrough"), on(LONE, "use: host")
CUT = "use: mig, layout: [{profile: 3g.20gb, start: 4}, {profile: 3g.20gb, start: 0}]"
SMALLER = "use: mig, layout: [{profile: 3g.20gb, start: 4}, {profile: 1g.5gb, start: 0}]"


ENDS = (f"destroy 3c@0 of 3g.20gb@4 on {CARD}", f"destroy 3g.20gb@4 on {CARD}")


def assert_in_order(machine, wish, *deeds):
    (one,) = plan(machine, wish).plans
    told = [step.words() for step in one.steps]
    assert [told.index(deed) for deed in deeds] == sorted(told.index(deed) for deed in deeds), told


@pytest.fixture
def here(machine, monkeypatch):
    return install(machine, monkeypatch)


@pytest.fixture
def card(nvml, new_state, monkeypatch):
    """One with GPU instances."""
    return install(vgpu_machine(new_state(), "vendor"), monkeypatch)


def parts(machine, name):
    return [(one.slot.name, one.owner, one.state) for one in inspect.list_slots(machine, name, QEMU).offers]


def test_the_whole_trip_of_a_new_way(here):
    before = here.snapshot()
    assert kinds(plan(here, LANES)) == [f"SetLanes {LONE}"]
    assert endings(apply(here, LANES)) == ["done"] and divided(here) == {LONE: 3}
    assert kinds(plan(here, LANES)) == [] and here.records() == {f"lanes.made {LONE}": {}}
    assert parts(here, "gpu")[1:] == [(f"{LONE}/lane{n}", "gpupass", "free") for n in range(3)]
    found = exported(here)
    assert "use: lanes" in write_profile(found) and kinds(plan(here, found)) == []
    deeds = [type(step).__name__ for step in plan(here, WHOLE).plans[0].steps]
    assert deeds.index("SetLanes") < deeds.index("BindDriver"), "no parts are lost with the driver"
    assert endings(rollback(here)) == ["done"] and not divided(here)
    assert here.snapshot() == before


def test_what_others_divided_is_left_alone_and_adopted(here):
    divide(here, LONE, 4)
    (refused,) = plan(here, LANES).refusals
    assert refused.remedy.startswith(f"gpupass adopt {LONE}")
    assert kinds(plan(here, HOST)) == []
    assert [owner for _, owner, _ in parts(here, LONE)][1:] == [""] * 4
    verbs.adopt(here, LONE)
    assert [owner for _, owner, _ in parts(here, LONE)][1:] == ["gpupass"] * 4
    assert endings(apply(here, HOST)) == ["done"] and not divided(here) and here.records() == {}


def test_what_others_divided_is_theirs_again_after_a_rollback(here):
    divide(here, LONE, 4)
    assert endings(apply(here, LANES.replace("lanes: 3", "lanes: 3, take-over: true"))) == ["done"]
    assert endings(rollback(here)) == ["done"]
    assert divided(here) == {LONE: 4} and here.records() == {}


def test_what_fails_is_taken_back(here):
    here.faults["lanes", LONE] = 5
    assert endings(apply(here, LANES)) == ["failed"]
    assert not divided(here) and here.records() == {} and here.open_journals() == []


def test_it_is_in_the_published_schema():
    assert '"lanes"' in json.dumps(profile_schema())


# ── a slot as a carrier ────────────────────────────────────────────────────────────────────────────────────


def test_on_virtual_functions(here):
    before = here.snapshot()
    wish = on(NIC, "use: sriov, vfs: 2", lanes("gpu/vf0"))
    assert kinds(plan(here, wish)) == [f"SetVfs {NIC}", f"SetLanes {VF}"]
    assert endings(apply(here, wish)) == ["done"] and divided(here) == {VF: 3}
    assert kinds(plan(here, wish)) == []
    assert [row for row in parts(here, "gpu") if "lane" in row[0]] == [
        (f"{VF}/lane{n}", "gpupass", "free") for n in range(3)
    ]
    found = exported(here)
    assert "/vf0" in write_profile(found) and kinds(plan(here, found)) == []
    fewer = on(NIC, "use: host")
    assert kinds(plan(here, fewer)) == [f"SetLanes {VF}", f"SetVfs {NIC}"]
    assert endings(apply(here, fewer)) == ["done"] and not divided(here)
    assert endings(rollback(here)) == ["done"] and divided(here) == {VF: 3}
    assert endings(rollback(here)) == ["done"] and here.snapshot() == before


def test_on_gpu_instances(card):
    wish = on(CARD, CUT, lanes("gpu/3g.20gb@4"))
    before = card.vgpu.snapshot()
    assert endings(apply(card, wish, **ALLOWED)) == ["done"]
    assert divided(card) == {f"{CARD}/3g.20gb@4": 3} and kinds(plan(card, wish)) == []
    rows = parts(card, "gpu")
    assert (f"{CARD}/3g.20gb@4", "gpupass", "cut") in rows
    assert (f"{CARD}/3g.20gb@4/lane2", "gpupass", "free") in rows
    found = exported(card)
    assert 'slot: "gpu0/3g.20gb@4"' in write_profile(found) and kinds(plan(card, found)) == []
    kept = on(CARD, SMALLER, lanes("gpu/3g.20gb@4"))
    assert not any("SetLanes" in kind for kind in kinds(plan(card, kept))), "its instance stays"
    moved = on(CARD, "use: mig, layout: [{profile: 4g.20gb, start: 0}]", lanes("gpu/4g.20gb@0", 2))
    made = (
        f"make 4g.20gb@0 on {CARD}",
        f"make 4c@0 of 4g.20gb@0 on {CARD}",
        f"divide {CARD}/4g.20gb@0 into 2",
    )
    assert_in_order(card, moved, f"divide {CARD}/3g.20gb@4 into 1", *ENDS, *made)
    assert endings(apply(card, moved, **ALLOWED)) == ["done"] and divided(card) == {f"{CARD}/4g.20gb@0": 2}
    assert endings(rollback(card)) == ["done"] and divided(card) == {f"{CARD}/3g.20gb@4": 3}
    assert (
        endings(rollback(card, **ALLOWED)) == ["done"]
        and not divided(card)
        and card.vgpu.snapshot() == before
    )
    assert card.records() == {}


def test_what_no_rule_speaks_of_any_more_is_whole_again(card):
    assert endings(apply(card, on(CARD, CUT, lanes("gpu/3g.20gb@4")), **ALLOWED)) == ["done"]
    assert kinds(plan(card, on(CARD, CUT))) == [f"SetLanes {CARD}/3g.20gb@4"]
    assert endings(apply(card, on(CARD, "use: host"), **ALLOWED)) == ["done"]
    assert not divided(card) and card.vgpu.instances() == [] and card.records() == {}


def test_lanes_of_others_keep_what_they_are_on(card):
    assert endings(apply(card, on(CARD, CUT), **ALLOWED)) == ["done"]
    divide(card, f"{CARD}/3g.20gb@4", 2)
    smaller = on(CARD, "use: mig, layout: []")
    (refused,) = plan(card, smaller).refusals
    assert refused.message.startswith(f"{CARD}/3g.20gb@4 has lane0, lane1, which gpupass did not make")
    taken = smaller.replace("layout: []", "layout: [], take-over: true")
    assert_in_order(card, taken, f"divide {CARD}/3g.20gb@4 into 1", *ENDS)
    verbs.adopt(card, CARD)
    assert endings(apply(card, smaller, **ALLOWED)) == ["done"] and not divided(card)


def test_lanes_of_lanes(card):
    wish = on(CARD, CUT, lanes("gpu/3g.20gb@4"), lanes("lanes/lane1", 2, "inner"))
    assert endings(apply(card, wish, **ALLOWED)) == ["done"]
    inner = f"{CARD}/3g.20gb@4/lane1"
    assert divided(card) == {f"{CARD}/3g.20gb@4": 3, inner: 2} and kinds(plan(card, wish)) == []
    assert (f"{inner}/lane0", "gpupass", "free") in parts(card, "gpu")
    going = (f"divide {inner} into 1", f"divide {CARD}/3g.20gb@4 into 1", *ENDS)
    assert_in_order(card, on(CARD, "use: mig, layout: []"), *going)


def test_what_fails_on_a_part_takes_the_part_back(card):
    before = card.vgpu.snapshot()
    card.faults["lanes", f"{CARD}/3g.20gb@4"] = 5
    assert endings(apply(card, on(CARD, CUT, lanes("gpu/3g.20gb@4")), **ALLOWED)) == ["failed"]
    assert card.vgpu.snapshot() == before and not divided(card) and card.records() == {}


def test_a_function_of_its_own_may_be_lent(here):
    wish = on(NIC, "use: sriov, vfs: 2", "{name: mine, select: {slot: gpu/vf0}, use: passthrough}")
    lent = f"{wish}\nattachments: [{{domain: vm1, device: mine}}]"
    assert endings(apply(here, lent)) == ["done"] and here.driver(VF) == "vfio-pci"
    assert kinds(plan(here, lent)) == [] and kinds(plan(here, lent.replace("mine}]", "gpu/vf0}]"))) == []
    assert here.snapshot()["live"]["vm1"] == [VF]


def test_what_is_divided_is_not_lent(here):
    wish = on(NIC, "use: sriov, vfs: 2", lanes("gpu/vf0"))
    with pytest.raises(GpupassError, match="cannot be attached"):
        plan(here, f"{wish}\nattachments: [{{domain: vm1, device: gpu/vf0}}]")
    assert endings(apply(here, wish)) == ["done"]
    with pytest.raises(GpupassError) as error:
        verbs.attach(here, "vm1", "gpu/vf0")
    assert "gpu/vf0 is cut into lane0, lane1, lane2".replace("gpu/vf0", f"{NIC}/vf0") in told(error.value)


@pytest.mark.parametrize("name", ["gpu/3g.20gb@4/lane1", "lanes/lane1", f"{CARD}/3g.20gb@4/lane1"])
def test_a_part_of_a_part_by_its_names(name, card):
    assert endings(apply(card, on(CARD, CUT, lanes("gpu/3g.20gb@4")), **ALLOWED)) == ["done"]
    with pytest.raises(GpupassError) as error:
        verbs.attach(card, "vm1", name)
    assert f"{CARD}/3g.20gb@4/lane1 has no PCI function of its own" in told(error.value)
    with pytest.raises(Usage, match=f"cannot find {name}7: {CARD}/3g.20gb@4 has .*lane2"):
        verbs.attach(card, "vm1", f"{name}7")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([CUT, lanes("other/3g.20gb@4")], "no rule has the name 'other'"),
        ([CUT, lanes("lanes/lane0")], "'lanes' stands on itself: lanes → lanes"),
        ([CUT, lanes("b/lane0", 2, "a"), lanes("a/lane0", 2, "b")], "'a' stands on itself: a → b → a"),
        ([CUT, lanes("gpu/3g.20gb@4"), lanes("gpu/3g.20gb@4", 2, "b")], "both claim"),
        ([CUT, lanes("gpu/3g.20gb@4}, optional: true, count: {", 2, "b")], ""),
    ],
)
def test_what_cannot_stand_is_told(rules, message, card):
    with pytest.raises(Usage) as error:
        plan(card, on(CARD, *rules))
    assert message in told(error.value)


def test_an_optional_base_that_is_not_there(card):
    base = "{name: base, select: {address: '0000:3f:00.0'}, optional: true, use: mig, layout: []}"
    with pytest.raises(Usage) as error:
        plan(card, on(CARD, CUT, base, lanes("base/3g.20gb@4")))
    assert "lanes stands on base/3g.20gb@4, and base is optional" in told(error.value)
    optional = lanes("base/3g.20gb@4").replace("use:", "optional: true, use:")
    assert kinds(plan(card, on(CARD, CUT, base, optional)))


def test_a_part_that_is_not_made(card):
    (refused,) = plan(card, on(CARD, CUT, lanes("gpu/7g.40gb@0"))).refusals
    assert refused.message == "gpu/7g.40gb@0 is not there, and lanes stands on it"
    assert refused.remedy == "gpu has 3g.20gb@0, 3g.20gb@4"


@pytest.mark.parametrize(("use", "what"), [("mig, layout: []", "GPU instance"), ("host", "GPU instance")])
def test_a_way_that_cannot_cut_a_part(use, what, card):
    wish = on(CARD, CUT, f"{{name: b, select: {{slot: gpu/3g.20gb@4}}, use: {use}}}")
    (refused,) = plan(card, wish).refusals
    assert refused.message == f"use: {use.split(',')[0]} cannot cut {CARD}/3g.20gb@4, a {what}"
