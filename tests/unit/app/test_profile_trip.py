"""One profile with a card of two functions, four VFs and two domains: there, changed, and all the way back."""

import pytest

from gpupass import app
from gpupass.app import history
from gpupass.errors import Pending, Refused, Usage
from gpupass.model.domain import DomainState
from tests import slow_machine
from tests.profile_trips import (
    apply,
    apply_in,
    endings,
    exported,
    hardware,
    kinds,
    plan,
    rollback,
    told,
)
from tests.simulated import GPU, GPU_AUDIO, LONE, NIC, PF, VF0, Machine

NIC_VFS = ("0000:0a:10.0", "0000:0a:10.2", "0000:0a:10.4", "0000:0a:10.6")
CARD = f"- {{name: card, select: {{address: '{GPU}'}}, use: passthrough}}"
PORTS = f"- {{name: nic, select: {{address: '{NIC}'}}, use: sriov, vfs: 4, vf: {{driver: vfio-pci}}}}"
WHOLE = f"""
gpus:
  {CARD}
  {PORTS}
attachments:
  - {{domain: vm1, device: card}}
  - {{domain: vm2, device: nic/vf1}}
"""


def lone(use, more=""):
    return f"gpus: [{{name: a, select: {{address: '{LONE}'}}, use: {use}{more}}}]"


@pytest.fixture
def applied(machine):
    assert endings(apply(machine, WHOLE)) == ["done", "done"]
    machine.log.clear()
    return machine


def live(machine):
    return {name: sorted(guest.live) for name, guest in machine.libvirt.guests.items()}


def test_there(applied):
    assert kinds(plan(applied, WHOLE)) == []
    assert [applied.driver(vf) for vf in NIC_VFS] == ["vfio-pci"] * 4
    assert live(applied) == {"vm1": [GPU, GPU_AUDIO], "vm2": [NIC_VFS[1]]}
    assert apply(applied, WHOLE).reports == () and applied.log == []


def test_and_back(machine):
    before = machine.snapshot()
    apply(machine, WHOLE)
    assert endings(rollback(machine)) == ["done", "done"]
    assert machine.snapshot() == before
    with pytest.raises(Usage, match="nothing has been applied"):
        history.last_apply(machine)


def test_and_back_without_a_device_that_has_left_the_host(applied):
    applied.libvirt.stop("vm1")
    for address in (GPU, GPU_AUDIO):
        applied.unplug(address)
    assert endings(rollback(applied)) == ["done"]
    assert applied.sriov.number(NIC) == 0 and live(applied)["vm2"] == []


def test_another_domain_is_a_disruption_and_a_small_plan(applied):
    other = WHOLE.replace("vm1", "vm3").replace("vm2", "vm1").replace("vm3", "vm2")
    with pytest.raises(Refused, match="domain vm1") as refused:
        apply(applied, other)
    assert "domain vm2" in told(refused.value) and applied.log == []
    made = plan(applied, other)
    assert not [kind for kind in kinds(made) if "Bind" in kind or "SetVfs" in kind]
    assert endings(apply(applied, other, allow_disruption=True)) == ["done", "done"]
    assert live(applied) == {"vm2": [GPU, GPU_AUDIO], "vm1": [NIC_VFS[1]]}


def test_an_attachment_less_touches_nothing_else(applied):
    less = WHOLE.replace("- {domain: vm1, device: card}", "")
    assert endings(apply(applied, less, allow_disruption=True)) == ["done"]
    assert live(applied) == {"vm1": [], "vm2": [NIC_VFS[1]]}
    assert applied.touched() == {GPU, GPU_AUDIO}
    assert kinds(plan(applied, less)) == []
    rollback(applied)
    assert live(applied) == {"vm1": [GPU, GPU_AUDIO], "vm2": [NIC_VFS[1]]}


def test_fewer_vfs_while_one_is_in_use(applied):
    with pytest.raises(Refused, match=f"{NIC_VFS[1]} of {NIC} is in use by domain vm2"):
        apply(applied, WHOLE.replace("vfs: 4", "vfs: 3"), allow_disruption=True)
    assert applied.log == []


def test_fewer_vfs_and_none_attached_any_more(applied):
    before = applied.snapshot()
    fewer = WHOLE.replace("vfs: 4", "vfs: 3").replace("- {domain: vm2, device: nic/vf1}", "")
    assert endings(apply(applied, fewer, allow_disruption=True)) == ["done"]
    assert applied.sriov.vfs(NIC) == list(NIC_VFS[:3])
    assert kinds(plan(applied, fewer)) == []
    assert endings(rollback(applied)) == ["done"]
    assert applied.snapshot() == before


def test_no_vfs_gives_autoprobe_and_ownership_up(applied):
    none = WHOLE.replace("vfs: 4, vf: {driver: vfio-pci}", "vfs: 0").replace(
        "- {domain: vm2, device: nic/vf1}", ""
    )
    apply(applied, none, allow_disruption=True)
    assert applied.snapshot()["vfs"][NIC] == (0, True)
    assert f"sriov.made {NIC}" not in applied.records()


@pytest.mark.parametrize(
    "text",
    [
        f"gpus: [{{name: nic, select: {{address: '{NIC}'}}, use: host}}]",
        f"gpus: [{{name: nic, select: {{address: '{NIC}'}}, use: passthrough}}]",
    ],
)
def test_another_use_of_the_same_device(text, applied):
    apply(applied, text, allow_disruption=True)
    assert kinds(plan(applied, text)) == [] and applied.sriov.number(NIC) == 0
    rollback(applied)
    assert applied.sriov.number(NIC) == 4 and kinds(plan(applied, WHOLE)) == []


def test_the_drivers_of_single_vfs(machine):
    apply(machine, WHOLE.replace("driver: vfio-pci", "driver: vfio-pci, drivers: {0: igbvf, 3: null}"))
    assert [machine.driver(vf) for vf in NIC_VFS] == ["igbvf", "vfio-pci", "vfio-pci", None]


def test_foreign_vfs_are_left_alone_by_a_rule_for_the_host(machine):
    made = plan(machine, f"gpus: [{{name: nic, select: {{address: '{PF}'}}, use: host}}]")
    assert made.to_do == () and made.refusals == ()
    assert made.foreign == (f"{PF} has 2 virtual functions that gpupass did not make",)


@pytest.mark.parametrize("vfs", ["2, vf: {driver: vfio-pci}", "4", "0", "2, vf: {driver: igbvf}"])
def test_foreign_vfs_are_changed_when_the_rule_takes_over_only(vfs, machine):
    """The right number with the right drivers is no change: autoprobe concerns VFs to come."""
    text = f"gpus: [{{name: nic, select: {{address: '{PF}'}}, use: sriov, vfs: {vfs}%s}}]"
    if vfs.endswith("igbvf}"):
        assert plan(machine, text % "").to_do == () and plan(machine, text % "").refusals == ()
    else:
        with pytest.raises(Refused, match="virtual functions that gpupass did not make") as refused:
            apply(machine, text % "", allow_disruption=True)
        assert "take-over: true" in refused.value.hint and machine.log == []
    old = hardware(machine)
    apply(machine, text % ", take-over: true", allow_disruption=True)
    assert kinds(plan(machine, text % "")) == []
    rollback(machine)
    assert hardware(machine) == old


def test_what_was_somebody_elses_is_theirs_again_after_a_rollback(machine):
    """Made anew by gpupass, and yet left alone by the next profile."""
    before = machine.records()
    taken = f"gpus: [{{name: nic, select: {{address: '{PF}'}}, use: sriov, vfs: 4, take-over: true}}]"
    apply(machine, taken, allow_disruption=True)
    assert machine.records() != before
    assert endings(rollback(machine)) == ["done"] and machine.records() == before
    made = plan(machine, f"gpus: [{{name: nic, select: {{address: '{PF}'}}, use: host}}]")
    assert made.to_do == () and made.foreign == (f"{PF} has 2 virtual functions that gpupass did not make",)


def test_what_others_had_attached_is_theirs_again_after_a_rollback(machine):
    """By virsh: the next profile of a host without it leaves it to its domain."""
    machine.register_driver("vfio-pci")
    machine.set_driver(LONE, "vfio-pci")
    machine.libvirt.plug("vm1", LONE)
    rule = f"gpus: [{{name: a, select: {{address: '{LONE}'}}, use: USE}}]"
    wish = f"{rule}\nattachments: [{{domain: vm2, device: a}}]"
    apply(machine, wish.replace("USE", "passthrough, take-over: true"), allow_disruption=True)
    assert machine.libvirt.holders(LONE) == ["vm2"]
    rollback(machine, allow_disruption=True)
    assert (machine.libvirt.holders(LONE), list(machine.records())) == (["vm1"], [])
    with pytest.raises(Refused, match="gpupass did not give it"):
        apply(machine, rule.replace("USE", "host"))


def test_what_was_gpupasss_is_its_own_again_after_a_rollback(machine):
    text = "gpus: [{{name: nic, select: {{address: '{}'}}, use: sriov, vfs: {}}}]"
    apply(machine, text.format(NIC, 2))
    before = machine.records()
    apply(machine, text.format(NIC, 3), allow_disruption=True)
    assert endings(rollback(machine)) == ["done"] and machine.records() == before


def test_adopted_vfs_need_no_take_over(machine):
    text = f"gpus: [{{name: nic, select: {{address: '{PF}'}}, use: sriov, vfs: 3}}]"
    app.adopt(machine, PF)
    apply(machine, text, allow_disruption=True)
    assert machine.sriov.number(PF) == 3


def foreign_binding(machine):
    app.bind(machine, LONE)
    machine.forgets("origin", LONE)


def foreign_attachment(machine):
    foreign_binding(machine)
    machine.libvirt.plug("vm1", LONE)


@pytest.mark.parametrize("before", [foreign_binding, foreign_attachment])
def test_what_others_gave_away_comes_back_to_the_host_when_taken_over_or_adopted(before, machine):
    before(machine)
    state = machine.snapshot()
    with pytest.raises(Refused, match="gpupass did not"):
        apply(machine, lone("host"), allow_disruption=True)
    assert machine.snapshot() == state
    apply(machine, lone("host", ", take-over: true"), allow_disruption=True)
    assert machine.driver(LONE) == "bochs-drm"
    rollback(machine)
    assert hardware(machine) == {key: state[key] for key in hardware(machine)}


def test_a_foreign_attachment_is_left_alone_and_named(machine):
    foreign_attachment(machine)
    made = plan(machine, lone("passthrough"))
    assert made.to_do == () and made.foreign == (f"{LONE} is with vm1, which the profile does not speak of",)
    wants = lone("passthrough") + "\nattachments: [{domain: vm2, device: a}]"
    with pytest.raises(Refused, match=f"{LONE} is with vm1, and gpupass did not give it"):
        apply(machine, wants, allow_disruption=True)
    app.adopt(machine, LONE)
    apply(machine, wants, allow_disruption=True)
    assert LONE in machine.libvirt.guests["vm2"].live


def test_a_detach_by_the_command_line_stays_pending_beside_a_profile_that_does_not_care(machine):
    app.attach(machine, "vm1", LONE)
    machine.libvirt.guests["vm1"].lets_go = float("inf")
    with pytest.raises(Pending):
        app.detach(machine, "vm1", LONE, timeout=1)
    apply(machine, lone("passthrough"))
    assert len(machine.open_journals()) == 1


def test_what_the_command_line_attached_stays(machine):
    app.attach(machine, "vm1", LONE)
    assert plan(machine, lone("passthrough")).to_do == ()


def test_a_domain_that_does_not_run_is_waited_for(machine):
    machine.libvirt.stop("vm2")
    applied = apply(machine, WHOLE)
    assert endings(applied) == ["done", "done"]
    assert applied.plan.waits == ("vm2 is not running: nic/vf1 is attached when it does",)
    assert live(machine)["vm1"] == [GPU, GPU_AUDIO]


def test_an_unknown_domain_is_refused(machine):
    with pytest.raises(Refused, match="libvirt knows no domain vm9: it knows vm1, vm2"):
        apply(machine, WHOLE.replace("vm2", "vm9"))
    assert machine.log == []


def test_one_group_cannot_be_used_in_two_ways(machine):
    text = f"""
gpus:
  {CARD}
  - {{name: sound, select: {{address: '{GPU_AUDIO}'}}, use: host}}
"""
    with pytest.raises(Refused, match="are in one IOMMU group, which cannot be passthrough and host at once"):
        apply(machine, text)


@pytest.mark.parametrize("fault", [("drivers_probe", GPU), ("drivers_probe", GPU_AUDIO)])
def test_what_fails_goes_back_alone(fault, machine):
    machine.faults[fault] = 5
    before = machine.snapshot()
    applied = apply(machine, WHOLE)
    assert endings(applied) == ["failed", "done"] and not applied.done
    assert [machine.driver(a) for a in (GPU, GPU_AUDIO)] == [before["drivers"][a] for a in (GPU, GPU_AUDIO)]
    assert live(machine) == {"vm1": [], "vm2": [NIC_VFS[1]]}
    (entry,) = history.history(machine)[0]
    assert entry.end == "failed"


def test_a_card_that_cannot_be_reset_is_quarantined_alone(machine):
    machine.faults["reset", GPU] = 5
    assert endings(apply(machine, WHOLE)) == ["needs a person", "done"]
    assert f"quarantine {GPU}" in machine.records()
    assert live(machine) == {"vm1": [], "vm2": [NIC_VFS[1]]}
    with pytest.raises(Refused, match="quarantine"):
        apply(machine, WHOLE)
    assert endings(apply(machine, WHOLE, partly=True)) == []


def test_vfs_that_cannot_be_made_are_told_with_the_kernels_line(machine):
    machine.sriov.fewer[NIC] = 2
    before = machine.snapshot()
    applied = apply(machine, f"gpus:\n  {PORTS}")
    assert "the kernel made 2" in applied.reports[0].note
    assert machine.snapshot() == before
    assert history.history(machine)[0][0].end == "failed"


def test_a_failed_apply_rolls_back_to_nothing_to_do(machine):
    machine.sriov.fewer[NIC] = 2
    apply(machine, f"gpus:\n  {PORTS}")
    assert rollback(machine).reports == ()
    with pytest.raises(Usage, match="nothing has been applied"):
        history.last_apply(machine)


def test_a_slow_guest_keeps_only_its_device_waiting(applied):
    applied.libvirt.guests["vm1"].lets_go = float("inf")
    none = WHOLE.partition("attachments")[0]
    ended = apply(applied, none, allow_disruption=True, timeout=5)
    assert endings(ended) == ["pending", "done"]
    assert live(applied) == {"vm1": [GPU, GPU_AUDIO], "vm2": []}
    applied.libvirt.reboot("vm1")
    assert [str(report.ending) for report in app.recover(applied)] == ["done"]
    assert kinds(plan(applied, none)) == []


def test_an_order_to_stay_withdraws_what_is_pending(applied):
    applied.libvirt.guests["vm1"].lets_go = float("inf")
    apply(applied, WHOLE.replace("- {domain: vm1, device: card}", ""), allow_disruption=True, timeout=5)
    assert len(applied.open_journals()) == 1
    assert endings(apply(applied, WHOLE)) in ([], ["nothing to do"])
    assert applied.open_journals() == [], "recover must not take away what the profile wants to stay"


def test_partly(machine):
    app.bind(machine, LONE)
    machine.forgets("origin", LONE)
    text = WHOLE + "  - {domain: vm2, device: a}\n"
    text = text.replace("gpus:", f"gpus:\n  - {{name: a, select: {{address: '{LONE}'}}, use: host}}", 1)
    text = text.replace("  - {domain: vm2, device: a}\n", "")
    with pytest.raises(Refused):
        apply(machine, text)
    assert endings(apply(machine, text, partly=True)) == ["done", "done"]
    assert machine.driver(LONE) == "vfio-pci" and live(machine)["vm1"] == [GPU, GPU_AUDIO]


def test_devices_only_asks_no_libvirt(machine):
    machine.libvirt_runs = False
    assert endings(apply(machine, WHOLE, devices_only=True)) == ["done", "done"]
    machine.libvirt_runs = True
    machine.log.clear()
    apply(machine, WHOLE)
    assert live(machine) == {"vm1": [GPU, GPU_AUDIO], "vm2": [NIC_VFS[1]]}


def test_without_libvirt_nothing_is_attached_blindly(machine):
    machine.libvirt_runs = False
    with pytest.raises(Refused):
        apply(machine, WHOLE)
    assert machine.log == []


def test_a_selection_by_the_driver_still_holds_when_the_driver_is_another(machine):
    text = "gpus: [{name: a, select: {driver: bochs-drm}, use: passthrough}]"
    assert endings(apply(machine, text)) == ["done"]
    assert kinds(plan(machine, text)) == []


def test_a_vf_that_a_guest_has_keeps_its_driver_whatever_the_rule_says(machine):
    """Its driver is for when nobody has it."""
    text = WHOLE.replace("driver: vfio-pci", "driver: igbvf")
    assert "failed" not in endings(apply(machine, text))
    assert kinds(plan(machine, text)) == [] and plan(machine, text).refusals == ()
    assert machine.driver(NIC_VFS[1]) == "vfio-pci"


def test_an_attachment_by_address_is_no_way_around_the_use(machine):
    for use in ("host", "sriov, vfs: 0", "sriov, vfs: 2"):
        text = f"""
gpus: [{{name: nic, select: {{class: network, vendor: intel}}, count: 2, use: {use}, take-over: true}}]
attachments: [{{domain: vm1, device: '{NIC}'}}]
"""
        with pytest.raises(Usage, match=f"{NIC} cannot be attached"):
            plan(machine, text)


def test_a_vf_by_its_address(machine):
    apply(machine, WHOLE)
    text = WHOLE.replace("nic/vf1", f"'{NIC_VFS[1]}'")
    assert kinds(plan(machine, text)) == []


def test_all_that_can_be_exported_is_already_so(applied):
    app.attach(applied, "vm2", LONE)
    foreign_binding_of_vf(applied)
    made = plan(applied, exported(applied))
    assert kinds(made) == [] and made.refusals == () and made.waits == ()


def foreign_binding_of_vf(machine):
    machine.put(f"{machine.tree.path(VF0)}/driver_override", "vfio-pci\n")
    machine.set_driver(VF0, "vfio-pci")


def test_a_domain_that_starts_later_gets_its_device(machine):
    machine.libvirt.stop("vm1")
    machine.at(20, start, machine, "vm1")
    applied = apply_in(machine, WHOLE, 60, partly=True)
    assert live(machine)["vm1"] == [GPU, GPU_AUDIO] and applied.done
    assert machine.clock < 1000 + 30


def start(machine, domain):
    machine.libvirt.guests[domain].state = DomainState.RUNNING


def test_a_device_that_appears_later_is_waited_for(machine: Machine):
    function = machine.functions[LONE]
    machine.unplug(LONE)
    machine.at(10, reappear, machine, function)
    applied = apply_in(machine, lone("passthrough"), 60, partly=True)
    assert machine.driver(LONE) == "vfio-pci" and applied.done


def reappear(machine, function):
    machine.plug(function)
    machine.set_driver(function.address, function.driver)


def test_the_time_is_over(machine):
    machine.unplug(LONE)
    with pytest.raises(Usage, match="this host has none that match"):
        apply_in(machine, lone("passthrough"), 30, partly=True)
    assert 1030 <= machine.clock < 1040


class LatePf(Machine):
    """A PF that knows where its VFs are only while it has some (PCIe SR-IOV, First VF Offset)."""

    def read_bytes(self, path, limit=1 << 24):
        if path == f"/sys/bus/pci/devices/{NIC}/sriov_offset" and self.read(path[:-6] + "numvfs") == "0":
            return b"0\n"
        return super().read_bytes(path, limit)


def test_what_only_the_first_round_can_tell_is_done_in_the_second(hidden, new_state):
    machine = LatePf(new_state())
    made = plan(machine, WHOLE)
    assert not made.refusals and any("nic/vf1" in wait for wait in made.waits)
    applied = apply(machine, WHOLE)
    assert endings(applied) == ["done", "done"] and applied.plan.waits == ()
    assert [machine.driver(vf) for vf in NIC_VFS] == ["vfio-pci"] * 4
    assert live(machine)["vm2"] == [NIC_VFS[1]]
    assert len(history.history(machine)[0]) == 1


def test_eight_at_once(hidden, new_state, monkeypatch):
    monkeypatch.setattr(slow_machine, "PROBE", 0.02)
    machine = slow_machine.make(new_state())
    rules = "\n".join(
        f"  - {{name: g{n}, select: {{address: '{gpu}'}}, use: passthrough}}"
        for n, gpu in enumerate(slow_machine.GPUS)
    )
    before = machine.snapshot()
    assert endings(apply(machine, f"gpus:\n{rules}", workers=8)) == ["done"] * 8
    assert {machine.driver(gpu) for gpu in slow_machine.GPUS} == {"vfio-pci"}
    rollback(machine, workers=8)
    assert machine.snapshot() == before
