"""Rules about slots of other rules: virtual functions lent or kept one by one, and what cannot stand on what."""

import pytest

from gpupass.app import verbs
from gpupass.errors import Refused, Usage
from gpupass.profiles import load_profile, write_profile
from gpupass.store import store_of
from tests.profile_trips import apply, endings, exported, kinds, plan, rollback, told
from tests.simulated import GPU, GPU_AUDIO, NIC

VFS = ("0000:0a:10.0", "0000:0a:10.2")
CUT = f"{{name: nic, select: {{address: '{NIC}'}}, use: sriov, vfs: 2}}"


def rules(*others):
    return f"gpus: [{', '.join((CUT, *others))}]"


def on(slot, use, name="mine", more=""):
    return f"{{name: {name}, select: {{slot: {slot}}}, use: {use}{more}}}"


LENT = rules(on("nic/vf0", "passthrough"))
BOTH = rules(on("nic/vf0", "passthrough"), on("nic/vf1", "host", "kept", ", driver: igbvf"))


def drivers(machine):
    return tuple(machine.driver(vf) for vf in VFS)


def test_each_as_its_rule_says(machine):
    before = machine.snapshot()
    assert endings(apply(machine, BOTH)) == ["done"] and drivers(machine) == ("vfio-pci", "igbvf")
    assert kinds(plan(machine, BOTH)) == []
    found = exported(machine)
    assert kinds(plan(machine, found)) == [] and "nic" not in write_profile(found)
    assert endings(apply(machine, LENT)) == ["done"] and drivers(machine) == ("vfio-pci", None)
    assert endings(rollback(machine)) == ["done"] and drivers(machine) == ("vfio-pci", "igbvf")
    assert endings(rollback(machine)) == ["done"] and machine.snapshot() == before


@pytest.mark.parametrize("name", ["mine", "nic/vf0", "mine/0", VFS[0]])
def test_attached_by_any_of_its_names(name, machine):
    assert endings(apply(machine, LENT)) == ["done"]
    wish = f"{LENT}\nattachments: [{{domain: vm1, device: '{name}'}}]"
    assert endings(apply(machine, wish)) == ["done"] and machine.snapshot()["live"]["vm1"] == [VFS[0]]
    assert kinds(plan(machine, wish)) == []
    assert endings(apply(machine, LENT, allow_disruption=True)) == ["done"]
    assert machine.snapshot()["live"]["vm1"] == []


def test_hotplug_knows_the_names_of_the_profile(machine):
    assert endings(apply(machine, LENT)) == ["done"]
    verbs.attach(machine, "vm1", "mine")
    assert machine.snapshot()["live"]["vm1"] == [VFS[0]]
    verbs.move(machine, "nic/vf0", "vm2")
    assert machine.snapshot()["live"]["vm2"] == [VFS[0]]


def test_what_a_domain_has_of_it_goes_back_first(machine):
    assert endings(apply(machine, f"{LENT}\nattachments: [{{domain: vm1, device: mine}}]")) == ["done"]
    order = kinds(plan(machine, f"gpus: [{CUT.replace('vfs: 2', 'vfs: 0')}]"))
    assert order.index(f"DetachDevice {VFS[0]}") < order.index(f"SetVfs {NIC}")


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([on("nick/vf0", "passthrough")], "slot: no rule has the name 'nick', did you mean 'nic'?"),
        ([on("mine/vf0", "passthrough")], "'mine' stands on itself: mine → mine"),
        (
            [on("b/vf0", "passthrough", "a"), on("a/vf0", "passthrough", "b")],
            "'a' stands on itself: a → b → a",
        ),
        ([on("nic/vf0, vendor: intel", "passthrough")], "no other condition beside it"),
        ([on("nic/", "passthrough")], "RULE/PART"),
        ([on("nic/../x", "passthrough")], "RULE/PART"),
        ([on("nic/vf0", "host"), on("nic/vf0", "passthrough", "b")], "b and mine both claim"),
    ],
)
def test_what_cannot_stand_is_told_with_its_place(others, message, machine):
    with pytest.raises(Usage) as error:
        plan(machine, rules(*others))
    assert message in told(error.value)


def test_of_what_is_kept_nothing_is_lent(machine):
    with pytest.raises(Usage, match="'kept' says use: host"):
        plan(machine, f"{BOTH}\nattachments: [{{domain: vm1, device: nic/vf1}}]")


def test_two_domains_for_one_slot_of_two_names():
    text = f"version: 1\n{LENT}\nattachments:\n- {{domain: vm1, device: mine}}\n- {{domain: vm2, device: nic/vf0}}"
    with pytest.raises(Usage, match="is attached to two domains"):
        load_profile("two", lambda _: text, "")


def test_the_second_of_several(machine):
    cards = "{name: nics, select: {class: network}, count: 2, use: sriov, vfs: 2}"
    wish = f"gpus: [{cards}, {on('nics/1/vf0', 'passthrough')}]"
    (lent,) = (one for one in plan(machine, wish).plans if "mine" in one.title)
    assert lent.title == f"nics/1: sriov {NIC}, mine: passthrough {NIC}/vf0"
    every = f"gpus: [{cards}, {on('nics/vf0', 'passthrough')}]"
    assert {
        part for one in plan(machine, every).plans for part in one.title.split(", ") if "mine" in part
    } == {
        "mine/0: passthrough 0000:05:00.0/vf0",
        f"mine/1: passthrough {NIC}/vf0",
    }


def test_a_part_that_is_not_made(machine):
    (refused,) = plan(machine, rules(on("nic/vf7", "passthrough"))).refusals
    assert refused.message == "nic/vf7 is not there, and mine stands on it"
    assert refused.remedy == "nic has vf0, vf1"


@pytest.mark.parametrize(
    "use", ["mig, layout: []", "sriov, vfs: 1", "vgpu, types: {A: 1}", "partition, compute: CPX"]
)
def test_a_way_that_cannot_cut_a_virtual_function(use, machine):
    (refused,) = plan(machine, rules(on("nic/vf0", use))).refusals
    assert refused.message == f"use: {use.partition(',')[0]} cannot cut {VFS[0]}, a virtual function"
    assert refused.remedy == "use: passthrough or use: host"
    with pytest.raises(Refused, match="cannot apply"):
        apply(machine, rules(on("nic/vf0", use)))


def test_an_optional_base_that_is_not_there(machine):
    base = "{name: base, select: {address: '0000:3f:00.0'}, optional: true, use: sriov, vfs: 2}"
    with pytest.raises(Usage, match="mine stands on base/vf0, and base is optional, and nothing"):
        plan(machine, rules(base, on("base/vf0", "passthrough")))
    assert kinds(plan(machine, rules(base, on("base/vf0", "passthrough", "mine", ", optional: true"))))


def test_what_fails_takes_all_of_it_back(machine):
    before = machine.snapshot()
    machine.faults["drivers_probe", VFS[0]] = 5
    assert endings(apply(machine, LENT)) == ["failed"] and machine.snapshot() == before


def test_what_shares_an_iommu_group_does_not_go_to_two_domains(machine):
    wish = (
        f"gpus: [{{name: a, select: {{address: '{GPU}'}}, use: passthrough}}, "
        f"{{name: b, select: {{address: '{GPU_AUDIO}'}}, use: passthrough}}]\n"
        "attachments: [{domain: vm1, device: a}, {domain: vm2, device: b}]"
    )
    (refused,) = plan(machine, wish).refusals
    assert refused.message == "a to vm1 and b to vm2 cannot both be: they share IOMMU group 11"
    one = wish.replace("vm2", "vm1")
    assert not plan(machine, one).refusals


def test_the_store_holds_what_a_domain_has(machine):
    wish = f"{LENT}\nattachments: [{{domain: vm1, device: mine}}]"
    assert endings(apply(machine, wish)) == ["done"]
    with store_of(machine).reading() as rows:
        assert f"function:{VFS[0]}" in {atom for atom, _ in rows.rows("owned")}
    assert endings(apply(machine, LENT, allow_disruption=True)) == ["done"]
    with store_of(machine).reading() as rows:
        assert rows.rows("owned") == rows.rows("held") == []
