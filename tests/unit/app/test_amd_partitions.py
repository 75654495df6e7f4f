"""AMD GPUs in parts: compute partitions, the memory mode of a hive, and virtual functions under GIM."""

import pytest

from gpupass import app
from gpupass.app import verbs
from gpupass.errors import GpupassError, Refused
from gpupass.methods import slots_of
from gpupass.methods.partition.ownership import Made
from gpupass.methods.sriov.steps import Loaded, ReloadModule
from gpupass.model.address import Address
from gpupass.model.slot import SlotKind
from gpupass.observe import observe
from gpupass.planner.offers import offers_of
from gpupass.store import store_of
from gpupass.store.marks import read_mark
from tests.machines_in_parts import gim_machine, hive_machine
from tests.profile_trips import apply, endings, exported, kinds, plan, rollback, told
from tests.simulated_amd import GIMS, HIVE

FIRST = HIVE[0]
PATH = f"/sys/bus/pci/devices/{FIRST}/current_compute_partition"


def split(compute, memory="", address=FIRST):
    words = f", memory: {memory}" if memory else ""
    return f"gpus: [{{name: a, select: {{address: '{address}'}}, use: partition, compute: {compute}{words}}}]"


def all_of_them(compute, memory):
    return f"gpus: [{{name: a, select: {{vendor: amd}}, count: 3, use: partition, compute: {compute}, memory: {memory}}}]"


@pytest.fixture
def machine(hidden, new_state):
    return hive_machine(new_state())


def modes(machine):
    return [(machine.amd.memory[gpu], machine.amd.compute[gpu]) for gpu in HIVE]


def test_one_gpu_in_eight_parts_and_back(machine):
    before = machine.snapshot()
    assert endings(apply(machine, split("CPX"))) == ["done"]
    assert modes(machine) == [("NPS1", "CPX"), ("NPS1", "SPX"), ("NPS1", "SPX")]
    assert machine.log == [(PATH, "CPX")] and kinds(plan(machine, split("CPX"))) == []
    assert endings(rollback(machine)) == ["done"] and machine.snapshot() == before


def test_parts_are_slots_with_their_render_nodes(machine):
    apply(machine, split("QPX"))
    host = observe(machine, connect=None)
    gpu = host.device(Address(FIRST))
    assert [(part.name, part.render) for part in gpu.facts.amd.partitions] == [
        ("qpx0", "renderD128"),
        ("qpx1", "renderD129"),
        ("qpx2", "renderD130"),
        ("qpx3", "renderD131"),
    ]
    found = [slot for slot in slots_of(host, gpu) if slot.kind is SlotKind.PARTITION]
    assert [slot.name for slot in found] == [f"{FIRST}/qpx{n}" for n in range(4)]
    assert found[0].size == "QPX NPS1"


def test_the_memory_mode_takes_the_whole_hive_along(machine):
    made = plan(machine, split("CPX", "NPS4"))
    assert [(loss.victim, loss.at_work) for loss in made.disruptions] == [
        (HIVE[1], True),
        (HIVE[2], True),
        (FIRST, False),
    ]
    with pytest.raises(Refused, match=f"it disrupts {HIVE[1]}, {HIVE[2]}") as refused:
        apply(machine, split("CPX", "NPS4"))
    assert "--allow-disruption" in refused.value.hint and machine.log == []
    assert endings(apply(machine, split("CPX", "NPS4"), allow_disruption=True)) == ["done"]
    assert modes(machine) == [("NPS4", "CPX")] * 3
    assert kinds(plan(machine, split("CPX", "NPS4"))) == []


def test_and_back(machine):
    before = machine.snapshot()
    apply(machine, split("QPX", "NPS4"), allow_disruption=True)
    assert modes(machine) == [("NPS4", "QPX"), ("NPS4", "CPX"), ("NPS4", "CPX")]
    assert endings(rollback(machine)) == ["done"]
    assert machine.snapshot() == before


def test_the_rest_of_the_hive_is_brought_back_with_its_compute_modes(machine):
    apply(machine, split("QPX", address=HIVE[1]))
    before = modes(machine)
    apply(machine, split("CPX", "NPS4"), allow_disruption=True)
    assert modes(machine) == [("NPS4", "CPX")] * 3
    assert endings(rollback(machine)) == ["done"] and modes(machine) == before
    assert endings(rollback(machine)) == ["done"] and modes(machine) == [("NPS1", "SPX")] * 3


def test_a_rule_for_all_of_the_hive_disrupts_nobody_else(machine):
    made = plan(machine, all_of_them("QPX", "NPS4"))
    assert len(made.plans) == 1 and not made.victims
    deeds = [kind for kind in kinds(made) if not kind.startswith("Remember")]
    assert deeds == ["SetMemoryPartition", *(f"SetComputePartition {gpu}" for gpu in HIVE)]
    assert endings(apply(machine, all_of_them("QPX", "NPS4"))) == ["done"]
    assert modes(machine) == [("NPS4", "QPX")] * 3


def test_two_memory_modes_in_one_hive(machine):
    text = f"""
gpus:
  - {{name: a, select: {{address: '{HIVE[0]}'}}, use: partition, compute: CPX, memory: NPS4}}
  - {{name: b, select: {{address: '{HIVE[1]}'}}, use: partition, compute: CPX, memory: NPS1}}
"""
    with pytest.raises(Refused) as refused:
        apply(machine, text, allow_disruption=True)
    assert "are of one hive, which cannot have NPS4 and NPS1 at once" in told(refused.value)


@pytest.mark.parametrize(
    ("rule", "why", "remedy"),
    [
        (split("TPX"), "cannot be TPX with NPS1: that goes with SPX, DPX, QPX, CPX", "memory: NPS1"),
        (split("SPX", "NPS4"), "cannot be SPX with NPS4: that goes with TPX, QPX, CPX", "memory: NPS1"),
        (split("CPX", "NPS8"), "has no memory mode NPS8: its driver offers NPS1, NPS4", "memory: NPS4"),
    ],
)
def test_combinations_that_do_not_exist(rule, why, remedy, machine):
    with pytest.raises(Refused) as refused:
        apply(machine, rule, allow_disruption=True)
    assert why in told(refused.value) and machine.log == []
    assert remedy in (refused.value.hint or told(refused.value))


def test_a_member_of_the_hive_that_is_away(machine):
    machine.register_driver("vfio-pci")
    machine.set_driver(HIVE[2], "vfio-pci")
    with pytest.raises(Refused, match=f"{HIVE[2]} is on vfio-pci") as refused:
        apply(machine, split("CPX", "NPS4"), allow_disruption=True)
    assert refused.value.hint == f"gpupass unbind {HIVE[2]}"


def test_a_gpu_at_work_is_left_at_work(machine):
    node = "/dev/dri/renderD129"
    machine.put("/sys/class/drm/renderD129/uevent", "")
    machine.tree.link("/sys/class/drm/renderD129/device", machine.tree.path(HIVE[1]))
    machine.process("python", node)
    with pytest.raises(Refused, match=f"{HIVE[1]} is in use by python"):
        apply(machine, split("CPX", "NPS4"), allow_disruption=True)
    assert machine.log == [] and endings(apply(machine, split("CPX"))) == ["done"]


def test_a_partition_at_work_is_its_gpu_at_work(machine):
    """Its render node hangs from a platform device; which GPU it is of the compute topology tells."""
    apply(machine, split("CPX"))
    machine.process("python", "/dev/dri/renderD131")
    with pytest.raises(Refused, match=f"{FIRST} is in use by python"):
        apply(machine, split("SPX"))


def fails(machine, text, **order):
    state = machine.snapshot()
    applied = apply(machine, text, **order)
    assert endings(applied) == ["failed"] and machine.snapshot() == state
    return applied.reports[0].note


def test_a_compute_context_anywhere_is_the_kernels_refusal(machine):
    machine.process("python", "/dev/kfd")
    assert "Device or resource busy" in fails(machine, split("CPX"))


def test_a_gpu_in_reset(machine):
    machine.amd.in_reset = True
    assert "Operation not permitted" in fails(machine, split("CPX"))


def test_the_firmware_keeps_its_memory_mode(machine):
    machine.amd.stubborn = True
    assert "the firmware has kept the old one" in fails(machine, split("CPX", "NPS4"), allow_disruption=True)


def withdraw(machine):
    """The one thing that nobody can take back: amdgpu passes over a wish for the mode that it has."""
    machine.amd.asked = None


@pytest.mark.parametrize("gpu", HIVE)
@pytest.mark.parametrize("fault", ["unbind", "drivers_probe"])
def test_a_hive_that_cannot_be_taken_back_whole_is_put_back(fault, gpu, machine):
    apply(machine, split("DPX", address=HIVE[1]))
    machine.faults[fault, gpu] = 5
    still_asked = (fault, gpu) == ("unbind", FIRST)
    state = machine.snapshot()
    applied = apply(machine, split("CPX", "NPS4"), allow_disruption=True)
    assert endings(applied) == ["failed"]
    note = applied.reports[0].note
    if still_asked:
        withdraw(machine)
    assert machine.snapshot() == state
    assert ("amdgpu still changes to NPS4" in note) == still_asked


def test_a_mode_that_the_kernel_refuses_after_the_hive_has_changed(machine):
    machine.faults["current_compute_partition", FIRST] = 22
    note = fails(machine, split("QPX", "NPS4"), allow_disruption=True)
    assert "current_compute_partition" in note


def test_a_gpu_that_cannot_be_split(machine):
    machine.amd._hide(FIRST)
    with pytest.raises(Refused, match=f"{FIRST} cannot be split: its driver"):
        apply(machine, split("CPX"))


def test_exported_it_asks_for_nothing(machine):
    apply(machine, split("CPX"))
    assert kinds(plan(machine, exported(machine))) == []


def test_from_a_guest_back_to_parts(machine):
    """How it is split is only known once amdgpu has it: the second round."""
    whole = f"gpus: [{{name: a, select: {{address: '{FIRST}'}}, use: passthrough}}]"
    apply(machine, whole)
    assert machine.driver(FIRST) == "vfio-pci"
    assert endings(apply(machine, split("CPX"))) == ["done"]
    assert modes(machine)[0] == ("NPS1", "CPX")


# whose they are


def rules(**uses):
    """By the number of the GPU in the hive: h1="host"."""
    lines = (
        f"  - {{name: {name}, select: {{address: '{HIVE[int(name[1:])]}'}}, use: {use}}}"
        for name, use in uses.items()
    )
    return "gpus:\n" + "\n".join(lines)


def remembered(machine):
    found = (read_mark(store_of(machine), Made, gpu) for gpu in HIVE)
    return [(record.compute, record.memory) if record is not None else None for record in found]


def foreign(machine, compute="CPX", memory="NPS1", gpu=FIRST):
    """Somebody else's doing."""
    for one in HIVE:
        machine.amd.memory[one] = memory
    machine.amd.compute[gpu] = compute
    for one in HIVE:
        machine.amd._show(one)


def taken_back(machine, before):
    assert endings(rollback(machine)) == ["done"]
    assert machine.snapshot() == before


WHOLE = [("NPS1", "SPX")] * 3
NOTHING = [None] * 3


@pytest.mark.parametrize("use", ["host", "passthrough"])
def test_a_gpu_of_another_rule_gets_its_modes_back(use, machine):
    untouched = machine.snapshot()
    apply(machine, split("CPX"))
    assert remembered(machine) == [("SPX", None), None, None]
    before = machine.snapshot()
    assert endings(apply(machine, rules(h0=use))) == ["done"]
    assert modes(machine) == WHOLE and remembered(machine) == NOTHING
    assert kinds(plan(machine, rules(h0=use))) == []
    if use == "host":
        assert machine.snapshot() == untouched
    taken_back(machine, before)


@pytest.mark.parametrize("use", ["host", "passthrough"])
def test_the_memory_mode_goes_back_with_the_whole_hive(use, machine):
    apply(machine, split("QPX", "NPS4"), allow_disruption=True)
    assert remembered(machine) == [("SPX", "NPS1"), ("SPX", None), ("SPX", None)]
    before = machine.snapshot()
    with pytest.raises(Refused, match=f"it disrupts {HIVE[1]}, {HIVE[2]}"):
        apply(machine, rules(h0=use))
    assert endings(apply(machine, rules(h0=use), allow_disruption=True)) == ["done"]
    assert modes(machine) == WHOLE and remembered(machine) == NOTHING
    assert kinds(plan(machine, rules(h0=use))) == []
    taken_back(machine, before)


def test_a_hive_whose_gpus_all_go_back_disrupts_nobody(machine):
    untouched = machine.snapshot()
    apply(machine, all_of_them("QPX", "NPS4"))
    assert remembered(machine) == [("SPX", "NPS1")] * 3
    before, host = machine.snapshot(), rules(h2="host", h0="host", h1="host")
    assert not plan(machine, host).victims
    assert endings(apply(machine, host)) == ["done"]
    assert machine.snapshot() == untouched and kinds(plan(machine, host)) == []
    taken_back(machine, before)


def test_the_memory_mode_stays_while_another_gpu_asks_for_it(machine):
    apply(machine, all_of_them("CPX", "NPS4"))
    before = machine.snapshot()
    for profile in (rules(h0="host"), rules(h0="host", h1="partition, compute: CPX, memory: NPS4")):
        made = plan(machine, profile)
        assert kinds(made) == []
        assert made.foreign == (f"{FIRST} cannot be SPX while its hive has NPS4",)
    with pytest.raises(Refused, match="cannot be SPX while its hive has NPS4") as refused:
        apply(machine, rules(h0="passthrough"))
    assert refused.value.hint == f"use: host for {HIVE[1]}, {HIVE[2]}, too"
    assert machine.snapshot() == before


def test_a_gpu_that_takes_the_memory_mode_over_keeps_what_it_was(machine):
    untouched = machine.snapshot()
    apply(machine, split("QPX", "NPS4"), allow_disruption=True)
    passed_on = rules(h0="host", h1="partition, compute: CPX, memory: NPS4")
    apply(machine, passed_on)
    assert modes(machine) == [("NPS4", "QPX"), ("NPS4", "CPX"), ("NPS4", "CPX")]
    assert remembered(machine) == [("SPX", "NPS1"), ("SPX", "NPS1"), ("SPX", None)]
    assert kinds(plan(machine, passed_on)) == []
    assert endings(apply(machine, rules(h0="host", h1="host"), allow_disruption=True)) == ["done"]
    assert machine.snapshot() == untouched


def test_a_gpu_of_the_hive_that_stays_split_is_split_again(machine):
    apply(machine, split("QPX", "NPS4"), allow_disruption=True)
    mixed = rules(h2="partition, compute: QPX", h0="host")
    assert endings(apply(machine, mixed, allow_disruption=True)) == ["done"]
    assert modes(machine) == [("NPS1", "SPX"), ("NPS1", "SPX"), ("NPS1", "QPX")]
    assert remembered(machine) == [None, None, ("SPX", None)] and kinds(plan(machine, mixed)) == []


def test_the_memory_mode_changes_before_any_compute_mode(machine):
    mixed = rules(h0="partition, compute: QPX", h2="partition, compute: CPX, memory: NPS4")
    assert endings(apply(machine, mixed, allow_disruption=True)) == ["done"]
    assert modes(machine) == [("NPS4", "QPX"), ("NPS4", "CPX"), ("NPS4", "CPX")]
    assert kinds(plan(machine, mixed)) == []
    assert endings(rollback(machine)) == ["done"]
    assert modes(machine) == WHOLE and remembered(machine) == NOTHING


def test_modes_set_back_by_hand_are_nobodys(machine):
    untouched = machine.snapshot()
    apply(machine, split("CPX"))
    apply(machine, split("QPX"))
    assert remembered(machine)[0] == ("SPX", None)
    apply(machine, split("SPX"))
    assert machine.snapshot() == untouched
    apply(machine, split("QPX", "NPS4"), allow_disruption=True)
    apply(machine, split("SPX", "NPS1"), allow_disruption=True)
    assert machine.snapshot() == untouched


def test_modes_before_gpupass_are_those_of_somebody_else(machine):
    foreign(machine, "QPX")
    before = machine.snapshot()
    apply(machine, split("CPX"))
    assert remembered(machine)[0] == ("QPX", None)
    apply(machine, rules(h0="host"))
    assert machine.snapshot() == before


def owners(machine):
    host = observe(machine, connect=None)
    offers = offers_of(host, host.device(Address(FIRST)))
    return {offer.owner for offer in offers if offer.slot.kind is SlotKind.PARTITION}


def test_partitions_of_somebody_else_are_told_and_left_alone(machine):
    assert plan(machine, rules(h0="host")).foreign == ()
    foreign(machine)
    made = plan(machine, rules(h0="host"))
    assert kinds(made) == [] and owners(machine) == {""}
    assert made.foreign == (f"{FIRST} is split into 8 partitions: compute: SPX ends that",)


@pytest.mark.parametrize("whose", ["gpupass", "somebody else"])
@pytest.mark.parametrize("verb", ["attach", "bind"])
def test_a_split_gpu_is_not_given_away(verb, whose, machine):
    apply(machine, split("QPX")) if whose == "gpupass" else foreign(machine, "QPX")
    before = machine.snapshot()
    lost = f"{FIRST} has parts that would be lost with its driver: qpx0, qpx1, qpx2, qpx3"
    with pytest.raises(Refused, match=lost) as refused:
        verbs.attach(machine, "vm1", FIRST) if verb == "attach" else verbs.bind(machine, FIRST)
    assert refused.value.hint.startswith("use: passthrough in a profile; take-over: true")
    assert machine.snapshot() == before


def test_partitions_of_somebody_else_are_not_lost_to_a_guest(machine):
    foreign(machine)
    with pytest.raises(Refused, match="has parts that would be lost with its driver"):
        apply(machine, rules(h0="passthrough"))


@pytest.mark.parametrize("use", ["host", "passthrough"])
def test_partitions_of_somebody_else_taken_over(use, machine):
    foreign(machine)
    assert endings(apply(machine, rules(h0=f"{use}, take-over: true"))) == ["done"]
    assert modes(machine) == WHOLE and remembered(machine) == NOTHING


def test_partitions_of_somebody_else_adopted(machine):
    foreign(machine)
    verbs.adopt(machine, FIRST)
    assert owners(machine) == {"gpupass"} and remembered(machine) == [("SPX", None), None, None]
    assert endings(apply(machine, rules(h0="host"))) == ["done"] and modes(machine) == WHOLE


def test_a_memory_mode_of_somebody_else_adopted(machine):
    for gpu in HIVE:
        foreign(machine, "CPX", "NPS4", gpu)
    verbs.adopt(machine, FIRST)
    assert remembered(machine)[0] == ("SPX", "NPS1")
    assert endings(apply(machine, rules(h0="host"), allow_disruption=True)) == ["done"]
    assert modes(machine)[0] == ("NPS1", "SPX") and remembered(machine)[0] is None


def test_partitions_of_gpupass_are_its_own_until_the_next_boot(machine):
    apply(machine, split("CPX"))
    assert owners(machine) == {"gpupass"} and plan(machine, split("CPX")).foreign == ()
    machine.put("/proc/sys/kernel/random/boot_id", "0d1e2f30-0000-4000-8000-000000000002\n")
    assert owners(machine) == {""} and kinds(plan(machine, rules(h0="host"))) == []
    apply(machine, split("QPX"))
    assert remembered(machine)[0] == ("CPX", None)


def test_a_split_gpu_at_work_stays_split(machine):
    apply(machine, split("CPX"))
    machine.process("python", "/dev/dri/renderD131")
    with pytest.raises(Refused, match=f"{FIRST} is in use by python"):
        apply(machine, rules(h0="host"))


def test_a_gpu_on_its_way_from_a_guest_gets_its_modes_back_at_the_second_look(machine):
    apply(machine, split("CPX"))
    machine.register_driver("vfio-pci")
    machine.set_driver(FIRST, "vfio-pci")
    host = rules(h0="host, take-over: true")
    assert endings(apply(machine, host)) == ["done"]
    assert modes(machine) == WHOLE and remembered(machine) == NOTHING


def test_a_hive_is_split_once_all_of_it_is_back_from_guests(machine):
    """Which GPUs are of one hive shows at the second look, and what is asked of the others waits for it."""
    apply(machine, split("QPX", "NPS4"), allow_disruption=True)
    apply(machine, rules(h0="passthrough", h1="partition, compute: DPX"), allow_disruption=True)
    assert modes(machine) == [("NPS1", "SPX"), ("NPS1", "DPX"), ("NPS1", "SPX")]
    wanted = rules(h1="partition, compute: QPX, memory: NPS4", h0="partition, compute: CPX")
    made = plan(machine, wanted)
    assert made.waits == (f"{FIRST} tells how it is split once amdgpu has it",)
    assert endings(apply(machine, wanted, allow_disruption=True)) == ["done"]
    assert modes(machine) == [("NPS4", "CPX"), ("NPS4", "QPX"), ("NPS4", "CPX")]
    assert remembered(machine) == [("SPX", None), ("SPX", "NPS1"), ("SPX", None)]


def test_a_change_that_fails_leaves_its_record_as_it_was(machine):
    machine.faults["current_compute_partition", FIRST] = 22
    fails(machine, split("QPX"))
    assert remembered(machine) == NOTHING


# under GIM


@pytest.fixture
def gim(hidden, new_state):
    return gim_machine(new_state())


def given(vfs, more="", address=GIMS[0], vf="driver: vfio-pci"):
    return (
        f"gpus: [{{name: a, select: {{address: '{address}'}}, use: sriov, vfs: {vfs}, vf: {{{vf}}}{more}}}]"
    )


def counts(machine):
    return [machine.sriov.number(gpu) for gpu in GIMS]


def test_gim_takes_the_number_when_it_is_loaded(gim):
    before = gim.snapshot()
    made = plan(gim, given(8))
    assert [(loss.victim, loss.at_work) for loss in made.disruptions] == [(GIMS[0], False), (GIMS[1], True)]
    with pytest.raises(Refused, match=f"it disrupts {GIMS[1]}"):
        apply(gim, given(8))
    assert endings(apply(gim, given(8), allow_disruption=True)) == ["done"]
    assert counts(gim) == [8, 1]
    assert gim.read(f"/sys/bus/pci/devices/{GIMS[0]}/memory_partition_mode").startswith(
        "memory_partition_mode: NPS4"
    )
    assert {gim.driver(vf) for vf in gim.sriov.vfs(GIMS[0])} == {"vfio-pci"}
    assert gim.read("/etc/modprobe.d/gpupass-gim.conf").endswith("options gim vf_num=8,1")
    assert kinds(plan(gim, given(8))) == []
    assert endings(rollback(gim)) == ["done"] and counts(gim) == [1, 1]
    assert gim.snapshot()["drivers"] == before["drivers"]


def test_the_other_gpus_functions_get_their_driver_back(gim):
    other = given(1, address=GIMS[1])
    assert endings(apply(gim, other)) == ["done"]
    apply(gim, given(8), allow_disruption=True)
    (vf,) = gim.sriov.vfs(GIMS[1])
    assert gim.driver(vf) == "vfio-pci" and kinds(plan(gim, other)) == []


def test_a_number_that_the_board_cannot_be_split_for(gim):
    with pytest.raises(Refused, match=r"MI300X \(.*\) can be split for 1 or 8 virtual functions, not 4"):
        apply(gim, given(4))
    with pytest.raises(Refused, match="GIM makes 1 to 8 virtual functions"):
        apply(gim, given(0))
    assert gim.log == []


def test_shares_are_intels(gim):
    with pytest.raises(Refused, match=r"cannot give each function memory: its driver \(gim\)"):
        apply(gim, given(8, vf="driver: vfio-pci, memory: 4096"), allow_disruption=True)


def test_a_guest_on_another_gpu_keeps_gim_loaded(gim):
    (vf,) = gim.sriov.vfs(GIMS[1])
    apply(gim, given(1, address=GIMS[1]))
    gim.libvirt.plug("vm1", vf)
    with pytest.raises(Refused, match=f"{vf} of {GIMS[1]} is in use by domain vm1"):
        apply(gim, given(8), allow_disruption=True)
    assert counts(gim) == [1, 1]


@pytest.mark.parametrize(("told", "back"), [("vf_num=8,1", "vf_num=1,1"), ("", "vf_num=8,1")])
def test_gim_gets_the_options_back_that_it_told_or_else_those_it_was_seen_with(told, back, gim):
    gim.gim.modprobe("-r", "--", "gim")
    gim.gim.modprobe("--", "gim", "vf_num=8,1")
    gim.put("/sys/module/gim/parameters/vf_num", told.removeprefix("vf_num=") + "\n")
    step = ReloadModule(module="gim", options="vf_num=2,2", back=back, addresses=GIMS)
    before = step.current(gim)
    step.do(gim, 0.0)
    assert counts(gim) == [2, 2]
    step.undo(before, gim)
    assert counts(gim) == [8, 1]


def test_gim_that_keeps_its_own_number(gim):
    """A file of somebody else's that modprobe reads last."""
    load = gim.gim._load
    gim.gim._load = lambda counts: load("1,1")
    step = ReloadModule(module="gim", options="vf_num=8,1", addresses=GIMS)
    with pytest.raises(GpupassError, match="cannot load gim with vf_num=8,1: it says vf_num=1,1"):
        step.do(gim, 0.0)


def wont_load():
    raise GpupassError("cannot run modprobe: FATAL: Module gim is in use")


def test_gim_that_is_not_to_be_loaded_again(gim):
    gim.faults["modprobe", "gim"] = wont_load
    assert "Module gim is in use" in fails(gim, given(8), allow_disruption=True)


def test_gim_swallows_what_the_firmware_refuses_and_gpupass_sees_it(gim):
    gim.gim.deaf = True
    assert "the kernel made it NPS1" in fails(gim, given(8), allow_disruption=True)


def test_after_a_boot_the_functions_are_gpupasss_still(gim):
    """GIM makes them by the file; nothing that is remembered of the boot before says so."""
    apply(gim, given(8), allow_disruption=True)
    gim.gim.modprobe("-r", "--", "gim")
    gim.put("/proc/sys/kernel/random/boot_id", "0d1e2f30-0000-4000-8000-000000000002\n")
    gim.gim.modprobe("--", "gim")
    assert counts(gim) == [8, 1] and gim.driver(gim.sriov.vfs(GIMS[0])[0]) is None
    assert endings(apply(gim, given(8), allow_disruption=True)) == ["done"]
    assert {gim.driver(vf) for vf in gim.sriov.vfs(GIMS[0])} == {"vfio-pci"}


def test_functions_that_somebody_else_has_made(gim):
    gim.gim.modprobe("-r", "--", "gim")
    gim.gim.modprobe("--", "gim", "vf_num=8,8")
    with pytest.raises(Refused, match="virtual functions that gpupass did not make"):
        apply(gim, given(1), allow_disruption=True)
    assert endings(apply(gim, given(1, ", take-over: true"), allow_disruption=True)) == ["done"]
    assert counts(gim) == [1, 8]


def test_fewer_again(gim):
    apply(gim, given(8), allow_disruption=True)
    host = f"gpus: [{{name: a, select: {{address: '{GIMS[0]}'}}, use: host}}]"
    assert endings(apply(gim, host, allow_disruption=True)) == ["done"]
    assert counts(gim) == [1, 1] and kinds(plan(gim, host)) == []


def test_a_module_that_was_not_there_is_taken_out_again_and_no_more(gim):
    step = ReloadModule(module="gim", options="vf_num=8,1", addresses=GIMS)
    step.do(gim, 0.0)
    step.undo(Loaded(loaded=False, options="", vfs={}), gim)
    assert not gim.exists("/sys/module/gim") and [gim.driver(gpu) for gpu in GIMS] == [None, None]


def test_a_module_that_does_not_come_out_leaves_its_devices_marked(gim):
    gim.faults["modprobe", "gim"] = "hang"
    assert endings(apply(gim, given(8), allow_disruption=True)) == ["needs a person"]
    assert {mark.carrier for mark in app.quarantined(gim)} == set(GIMS)
