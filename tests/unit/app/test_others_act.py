"""Others act between the steps: libvirt re-binds what is managed, devices leave, companions were hidden."""

import pytest

from gpupass import app
from gpupass.app.recovery import recover
from gpupass.errors import GpupassError, NeedsPerson, Pending, Refused
from gpupass.inspect import list_devices
from gpupass.store import store_of
from gpupass.store.marks import read_marks
from gpupass.system.libvirt import NO_ANSWER, NO_CONNECTION, LibvirtAway, LibvirtFailure, LibvirtSilent
from tests.profile_trips import apply, exported, plan, profile_of
from tests.simulated import GPU, GPU_AUDIO, LONE, VF0
from tests.simulated_libvirt import REFUSES


def managed(machine, *addresses, domain="vm1"):
    """As virt-manager plugs."""
    for address in addresses:
        machine.libvirt.plug(domain, address, managed=True)


def seen_by(machine, domain):
    return machine.libvirt.guests[domain].seen


def claims(machine):
    return sorted(name for name in machine.records() if name.startswith("claim"))


# managed='yes'


@pytest.mark.parametrize("address", [LONE, VF0])
def test_what_libvirt_gives_back_is_not_reset_under_its_driver(machine, address):
    managed(machine, address)
    report = app.detach(machine, "vm1", address)
    own = machine.functions[address].driver
    assert (machine.driver(address), machine.resets, claims(machine)) == (own, [], [])
    told = " ".join(finding.message for finding in report.warnings)
    assert "managed='yes'" in told and f"is with {own} now" in told


def test_what_libvirt_leaves_on_vfio_is_reset(machine):
    """It was there before the domain had it, so libvirt leaves it there."""
    app.bind(machine, LONE)
    managed(machine, LONE)
    app.detach(machine, "vm1", LONE)
    assert (machine.driver(LONE), machine.resets, claims(machine)) == ("vfio-pci", [LONE], [])


def test_a_move_takes_back_what_libvirt_has_given_to_the_host(machine):
    managed(machine, LONE)
    app.move(machine, LONE, "vm2")
    assert machine.libvirt.holders(LONE) == ["vm2"]
    assert (machine.driver(LONE), machine.resets) == ("vfio-pci", [LONE])
    app.detach(machine, "vm2", LONE)
    app.unbind(machine, LONE)
    assert machine.driver(LONE) == machine.functions[LONE].driver


def test_a_move_goes_back_when_somebody_opens_it_in_between(machine):
    """Under the host's driver a process of the host's may come first."""
    managed(machine, LONE)
    machine.libvirt.faults["given back"] = [lambda: machine.process("Xorg", "/dev/dri/card9")]
    machine.tree.link("/sys/class/drm/card9/device", machine.tree.path(LONE))
    with pytest.raises(GpupassError, match="Xorg"):
        app.move(machine, LONE, "vm2")
    assert machine.libvirt.holders(LONE) == ["vm1"]
    assert machine.libvirt.guests["vm1"].live[LONE].managed
    assert machine.open_journals() == []


def test_a_guest_that_keeps_a_managed_one_is_waited_for(machine):
    managed(machine, LONE)
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    with pytest.raises(Pending):
        app.detach(machine, "vm1", LONE)
    assert claims(machine) == [f"claim {LONE}"]
    machine.libvirt.reboot("vm1")
    app.recover(machine)
    assert (claims(machine), machine.open_journals(), machine.resets) == ([], [], [])


def test_a_card_of_two_managed_functions(machine):
    managed(machine, GPU, GPU_AUDIO)
    app.move(machine, GPU, "vm2")
    assert machine.libvirt.holders(GPU) == machine.libvirt.holders(GPU_AUDIO) == ["vm2"]
    assert set(machine.resets) == {GPU, GPU_AUDIO}


# hidden companions


def test_a_hidden_companion_can_be_given(machine):
    app.attach(machine, "vm1", GPU)
    assert seen_by(machine, "vm1") == [GPU]
    app.attach(machine, "vm1", GPU_AUDIO)
    assert seen_by(machine, "vm1") == [GPU, GPU_AUDIO]
    assert app.attach(machine, "vm1", GPU_AUDIO).ending is app.Ending.NOTHING
    app.detach(machine, "vm1", GPU)
    assert seen_by(machine, "vm1") == [] and claims(machine) == []


def test_several_functions_at_once(machine):
    assert app.together(machine, (GPU,), functions=True) == ((GPU, GPU_AUDIO),)
    assert app.together(machine, (GPU, LONE, GPU_AUDIO)) == ((GPU, GPU_AUDIO), (LONE,))
    assert app.together(machine, (VF0,), functions=True) == ((VF0,),)
    app.attach(machine, "vm1", GPU, GPU_AUDIO)
    assert seen_by(machine, "vm1") == [GPU, GPU_AUDIO]


def test_each_function_takes_a_port(machine):
    machine.libvirt.guests["vm1"].ports = 1
    with pytest.raises(GpupassError, match="no free hot-plug port"):
        app.attach(machine, "vm1", GPU, GPU_AUDIO)
    assert machine.driver(GPU) == machine.functions[GPU].driver
    app.attach(machine, "vm1", GPU)
    with pytest.raises(GpupassError, match="no free hot-plug port"):
        app.attach(machine, "vm1", GPU_AUDIO)


# what has left the host


def test_what_has_left_the_host_is_its_domain_s_until_that_forgets_it(machine):
    app.attach(machine, "vm1", LONE)
    machine.unplug(LONE)
    (report,) = app.recover(machine)
    assert report.ending is app.Ending.PENDING and f"gpupass detach vm1 {LONE}" in report.note
    assert claims(machine) == [f"claim {LONE}"]
    app.detach(machine, "vm1", LONE)
    assert machine.libvirt.holders(LONE) == [] and read_marks(store_of(machine)) == ()


def test_what_others_attached_and_has_left_the_host(machine):
    machine.libvirt.plug("vm1", LONE)
    machine.unplug(LONE)
    app.detach(machine, "vm1", LONE)
    assert machine.libvirt.holders(LONE) == []


def test_what_has_left_with_its_domain_is_forgotten(machine):
    app.attach(machine, "vm1", LONE)
    machine.unplug(LONE)
    machine.libvirt.stop("vm1")
    (report,) = app.recover(machine)
    assert report.ending is app.Ending.DONE and claims(machine) == []


@pytest.mark.parametrize(
    "verb", [lambda m: app.move(m, VF0, "vm2"), lambda m: app.attach(m, "vm2", VF0)], ids=["move", "attach"]
)
def test_what_has_left_the_host_is_not_handed_on(verb, machine):
    """A VF whose card has dropped it: QEMU still has the device, and no other guest can get it."""
    app.attach(machine, "vm1", VF0)
    machine.unplug(VF0)
    with pytest.raises(Refused, match="vm1 still has it") as refused:
        verb(machine)
    assert refused.value.hint == f"gpupass detach vm1 {VF0}"


def test_another_device_at_the_address_is_not_the_guest_s(machine):
    """The guest's has left the host; who has its address now is neither reset nor handed on."""
    app.attach(machine, "vm1", LONE)
    machine.replug(LONE, ids="8086:1572", class_code=0x020000)
    resets = list(machine.resets)
    with pytest.raises(Refused, match=f"vm1 has lost {LONE}"):
        app.move(machine, LONE, "vm2")
    app.detach(machine, "vm1", LONE)
    assert (machine.resets, machine.libvirt.holders(LONE)) == (resets, [])
    app.recover(machine)
    assert claims(machine) == []


@pytest.mark.parametrize("driver", ["igbvf", None])
def test_a_guest_that_has_lost_a_function_is_told_of(driver, machine):
    """A VF made anew has its old address and ids: the domain's XML still names it, its QEMU has a dead one."""
    app.attach(machine, "vm1", VF0)
    machine.set_driver(VF0, driver)
    for verb in (lambda: app.attach(machine, "vm1", VF0), lambda: app.move(machine, VF0, "vm2")):
        with pytest.raises(Refused, match=f"vm1 has lost {VF0}") as refused:
            verb()
        assert refused.value.hint == f"gpupass detach vm1 {VF0}"
    assert machine.libvirt.holders(VF0) == ["vm1"]
    app.detach(machine, "vm1", VF0)
    app.move(machine, VF0, "vm2")
    assert machine.libvirt.holders(VF0) == ["vm2"] and machine.driver(VF0) == "vfio-pci"


def test_who_goes_along_is_told(machine):
    """Nobody has named the card itself."""
    app.attach(machine, "vm1", GPU, GPU_AUDIO)
    report = app.detach(machine, "vm1", GPU_AUDIO, dry_run=True)
    assert [one.message for one in report.warnings] == [
        f"vm1 loses {GPU}, too: it is in the same IOMMU group"
    ]


def test_nobody_s_device_that_is_gone_is_unknown(machine):
    machine.unplug(LONE)
    with pytest.raises(GpupassError, match=f"cannot find a device {LONE}"):
        app.detach(machine, "vm1", LONE)


# other drivers claim it


def test_vfio_s_own_ids_do_not_win(machine):
    """vfio-pci.ids= on the kernel's command line: without an override it is asked before the host's driver."""
    machine.register_driver("vfio-pci")
    machine.set_driver(LONE, "vfio-pci")
    probe, own = machine._probe, machine.functions[LONE].driver

    def ids_first(address):
        if machine.driver(address) is None and machine.override(address) is None:
            machine.set_driver(address, "vfio-pci")
        probe(address)

    machine._probe = ids_first
    app.unbind(machine, LONE)
    assert (machine.driver(LONE), machine.override(LONE)) == (own, None)


# by a profile

CARD = f"""
gpus:
  - {{name: card, select: {{address: '{GPU}'}}, use: passthrough, take-over: true}}
  - {{name: sound, select: {{address: '{GPU_AUDIO}'}}, use: passthrough, take-over: true}}
attachments:
  - {{domain: vm2, device: card}}
  - {{domain: vm2, device: sound}}
"""


def test_a_profile_gives_both_functions_at_once(machine):
    apply(machine, profile_of(CARD))
    assert seen_by(machine, "vm2") == [GPU, GPU_AUDIO]
    asked = [words for words, _ in machine.log if "vm2" in words]
    assert asked == ["attach to vm2", "attach to vm2"]
    assert plan(machine, profile_of(CARD)).to_do == ()


def test_a_profile_takes_what_libvirt_manages(machine):
    managed(machine, GPU, GPU_AUDIO)
    apply(machine, profile_of(CARD), allow_disruption=True)
    assert seen_by(machine, "vm2") == [GPU, GPU_AUDIO] and seen_by(machine, "vm1") == []
    assert set(machine.resets) == {GPU, GPU_AUDIO}
    assert plan(machine, profile_of(CARD)).to_do == ()


def test_a_profile_leaves_to_the_host_what_libvirt_gives_back(machine):
    managed(machine, LONE)
    apply(
        machine,
        profile_of(f"gpus: [{{name: a, select: {{address: '{LONE}'}}, use: host, take-over: true}}]"),
        allow_disruption=True,
    )
    assert (machine.driver(LONE), machine.resets, claims(machine)) == (machine.functions[LONE].driver, [], [])


def test_a_driver_that_comes_before_the_reset(machine):
    """driverctl, udev, nodedev-reattach: neither reset under it nor given back to the guest that let go."""
    app.attach(machine, "vm1", LONE)
    machine.libvirt.guests["vm1"].closes = 1.0
    machine.at(0.5, machine.set_driver, LONE, "bochs-drm")
    with pytest.raises(NeedsPerson, match="bound it to bochs-drm before it was reset"):
        app.detach(machine, "vm1", LONE)
    assert (machine.libvirt.holders(LONE), machine.resets[1:], machine.driver(LONE)) == ([], [], "bochs-drm")
    assert f"quarantine {LONE}" in machine.records()


def test_what_goes_back_is_plugged_as_it_was(machine):
    app.bind(machine, LONE)
    machine.libvirt.plug("vm1", LONE)
    machine.libvirt.guests["vm1"].live[LONE].more = '<rom bar="off" />'
    machine.libvirt.faults["attach"] = [LibvirtFailure("no", 1)]
    with pytest.raises(GpupassError, match="cannot attach"):
        app.move(machine, LONE, "vm2")
    assert machine.libvirt.guests["vm1"].live[LONE].more == '<rom bar="off" />'


@pytest.mark.parametrize("shown", [(GPU,), (GPU_AUDIO,), (GPU, GPU_AUDIO)], ids=len)
def test_what_is_exported_of_a_group_is_so(shown, machine):
    """Whichever of its functions the guest sees."""
    app.attach(machine, "vm1", *shown)
    text = exported(machine)
    assert [one.device for one in profile_of(text).attachments] != []
    assert plan(machine, text).to_do == ()
    apply(machine, text)
    assert seen_by(machine, "vm1") == sorted(shown)


def test_what_its_guest_has_not_let_go_is_pending_in_the_list(machine):
    app.attach(machine, "vm1", LONE)
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    with pytest.raises(Pending):
        app.detach(machine, "vm1", LONE, timeout=1)
    assert list_devices(machine, "qemu:///system", False).conditions[LONE] == ("pending",)
    machine.libvirt.reboot("vm1")
    app.recover(machine)
    assert LONE not in list_devices(machine, "qemu:///system", False).conditions


# a libvirt that cannot be asked for a while


@pytest.mark.parametrize(("kind", "code"), [(LibvirtSilent, NO_ANSWER), (LibvirtAway, NO_CONNECTION)])
def test_what_cannot_be_rolled_back_while_libvirt_is_silent_recover_does(kind, code, machine):
    """It stays open: nobody knows who has the device, and the next to ask libvirt does."""

    def falls_silent():
        machine.libvirt.faults["live_xml"] = [kind("libvirt does not answer", code)] * 9

    machine.libvirt.faults["attach"] = [falls_silent]
    with pytest.raises(NeedsPerson, match="cannot roll back: libvirt does not answer") as stuck:
        app.attach(machine, "vm1", LONE)
    assert stuck.value.hint.endswith("gpupass recover")
    assert [one.title for one in app.unfinished(machine)] == [f"attach {LONE} to vm1"]
    machine.libvirt.faults.clear()
    (report,) = recover(machine)
    assert report.ending == "rolled back" and not machine.libvirt.holders(LONE)
    assert machine.driver(LONE) == machine.functions[LONE].driver and machine.records() == {}
