"""Options of attachments in a profile: reached, told as a difference where they are otherwise, taken back."""

from msgspec.structs import replace

from gpupass.model.vf_link import VfLink
from tests.profile_trips import apply, endings, exported, kinds, plan, profile_of, rollback
from tests.simulated import GPU, PF, Machine

ROM = "/usr/share/vgabios/card.rom"


def given(how=""):
    rule = f"gpus: [{{name: card, select: {{address: '{GPU}'}}, use: passthrough}}]"
    return f"{rule}\nattachments: [{{domain: vm1, device: card{how}}}]"


def how(machine: Machine):
    return machine.libvirt.guests["vm1"].how


def test_reached_and_kept(machine):
    apply(machine, given(", rom: none"))
    assert how(machine) == {GPU: '<rom bar="off" />'}
    assert not plan(machine, given(", rom: none")).to_do
    assert not plan(machine, given()).to_do  # what is not said is left as it is
    (attachment,) = profile_of(exported(machine)).attachments
    assert replace(attachment, domain="vm1").rom == "none"


def test_another_one_is_a_difference_and_disrupts(machine):
    machine.put(ROM, b"\x55\xaa")
    apply(machine, given())
    (one,) = plan(machine, given(f", rom: {ROM}")).to_do
    assert [loss.victim for loss in one.disruptions] == ["domain vm1"]
    assert endings(apply(machine, given(f", rom: {ROM}"), allow_disruption=True)) == ["done"]
    assert how(machine) == {GPU: f'<rom file="{ROM}" />'}
    rollback(machine)
    assert how(machine) == {} and GPU in machine.libvirt.guests["vm1"].live


def test_settings_of_the_card(machine):
    """An administrator who has put one back is told."""
    text = given(", reset-method: bus, disable-idle-d3: true, bar: {1: 1G}")
    before = machine.snapshot()["settings"]
    apply(machine, text)
    assert not plan(machine, text).to_do
    options = profile_of(exported(machine)).attachments[0].options
    assert options.words == "reset-method bus, disable-idle-d3 on, bar 1=1G"
    machine.put(f"{machine.tree.path(GPU)}/reset_method", "flr bus\n")
    assert kinds(plan(machine, text)) == [f"Tune {GPU}"]
    apply(machine, given(), allow_disruption=True)  # what is not said any more stays until it is given back
    apply(machine, given().partition("attachments")[0], allow_disruption=True)
    assert machine.snapshot()["settings"] == before


def test_the_link_of_a_vf(machine):
    """Told by an export, also while no attachment says it any more, and rolled back."""
    machine.links.add(PF, "enp5s0", 2)
    rule = f"gpus: [{{name: nic, select: {{address: '{PF}'}}, use: sriov, vfs: 2, take-over: true, vf: {{driver: vfio-pci}}}}]"
    text = rule + "\nattachments: [{domain: vm1, device: nic/vf1, vlan: 100, trust: true}]"
    apply(machine, text, allow_disruption=True)
    assert not plan(machine, text).to_do
    assert machine.links.of["enp5s0"][1] == VfLink(vlan=100, trust=True)
    (attachment,) = profile_of(exported(machine)).attachments
    assert attachment.options.words == "vlan 100, trust on"
    apply(machine, rule, allow_disruption=True)
    assert machine.links.of["enp5s0"][1] == VfLink()
    rollback(machine)
    assert machine.links.of["enp5s0"][1] == VfLink(vlan=100, trust=True)


def test_settings_are_rolled_back(machine):
    apply(machine, given())
    before = machine.snapshot()["settings"]
    apply(machine, given(", reset-method: bus, bar: {1: 1G}"), allow_disruption=True)
    rollback(machine)
    assert machine.snapshot()["settings"] == before and GPU in machine.libvirt.guests["vm1"].live


def test_what_cannot_be_is_refused(machine):
    (one,) = plan(machine, given(", rom: /no/such")).plans
    assert ["No such file" in finding.message for finding in one.refusals] == [True]
