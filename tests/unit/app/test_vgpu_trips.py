"""Profiles of vGPUs on a simulated card: what is refused before anything is touched, and what comes back."""

import pytest
from msgspec.structs import replace

from gpupass import app
from gpupass.app import history
from gpupass.app.export import export
from gpupass.app.export import foreign as made_elsewhere
from gpupass.app.reach import Reach
from gpupass.errors import GpupassError, Refused
from gpupass.methods.mig import words
from gpupass.methods.mig.steps import SetGpuInstance
from gpupass.methods.vgpu.card import SetVgpuScheduler, SetVgpuSharing
from gpupass.methods.vgpu.steps import SetVgpuType
from gpupass.model.mig import MigGpu
from gpupass.observe import nvidia as observed_nvidia
from gpupass.plan import Finding, HostPlan
from gpupass.profiles import load_profile, write_profile
from gpupass.store import store_of
from gpupass.store.applies import write_apply
from gpupass.system import vgpu_card
from tests.machines_in_parts import (
    others_functions,
    others_instance,
    others_mig_mode,
    others_vgpu,
    vgpu_machine,
)
from tests.profile_trips import (
    apply,
    apply_in,
    endings,
    exported,
    hardware,
    kinds,
    plan,
    profile_of,
    rollback,
    told,
)
from tests.simulated_vgpu import CARD, MANAGE, VFS

ALLOWED = {"allow_disruption": True, "allow_reset": True}


def rule(wish):
    return f"gpus: [{{name: a, select: {{address: '{CARD}'}}, use: {wish}}}]"


SLICED = rule("vgpu, types: {A100-5C: 2}")
LENT = "attachments: [{domain: vm1, device: a/A100-5C-0}]"
BACKED = rule("vgpu, types: {A100-1-5C: 2}, layout: [1g.5gb, 1g.5gb]")


def foreign(number, kind):
    return lambda machine: others_vgpu(machine, number, kind)


def cut(name, start):
    """MIG mode and a GPU instance, by somebody else."""

    def make(machine):
        others_mig_mode(machine)
        others_instance(machine, name, start)

    return make


def applied(text):
    return lambda machine: apply(machine, text, **ALLOWED)


REFUSED = {
    "a layout that the GPU cannot have": (
        [],
        rule("vgpu, types: {A100-3-20C: 3}, layout: [3g.20gb, 3g.20gb, 3g.20gb]"),
        "two 3g.20gb at most",
    ),
    "a type of no such name, before its functions are made": (
        [],
        rule("vgpu, types: {A100-6C: 1}"),
        "offers no vGPU type A100-6C, did you mean A100-5C?",
    ),
    "MIG-backed types without MIG mode": (
        [],
        rule("vgpu, types: {A100-2-10C: 1}"),
        "is not in MIG mode, and A100-2-10C needs a GPU instance of 2 slices",
    ),
    "time slices in a foreign MIG mode": ([cut("2g.10gb", 0)], SLICED, "is in MIG mode, in which it has no"),
    "functions beside foreign GPU instances": (
        [cut("1g.5gb", 0)],
        rule("vgpu, types: {A100-1-5C: 1}"),
        "has 1g.5gb@0, which gpupass did not make",
    ),
    "more time slices than functions, in the place of GPU instances": (
        [applied(BACKED)],
        rule(f"vgpu, types: {{A100-5C: {VFS + 1}}}"),
        f"can have {VFS} vGPUs at most",
    ),
    "a foreign vGPU on functions of gpupass that shall go": (
        [applied(SLICED), foreign(3, 470)],
        rule("host"),
        "its virtual functions cannot go beside vGPUs that stay",
    ),
    "MIG mode beside a foreign vGPU": (
        [others_functions, foreign(0, 470)],
        rule("vgpu, types: {}, layout: []"),
        "beside vGPUs that stay",
    ),
    "MIG mode for processes beside a foreign vGPU": (
        [others_functions, foreign(0, 470)],
        rule("mig, layout: [1g.5gb]"),
        "its MIG mode cannot change beside vGPUs that stay",
    ),
    "no room beside a foreign vGPU of another size": (
        [others_functions, foreign(0, 471)],
        SLICED,
        "vGPUs of one size only",
    ),
    "some of the functions, where sriov-manage makes all": (
        [],
        rule("sriov, vfs: 2, vf: {driver: nvidia}"),
        f"sriov-manage makes all {VFS}",
    ),
    "foreign GPU instances when functions go": (
        [
            applied(rule("vgpu, types: {A100-1-5C: 1}, layout: [1g.5gb]")),
            lambda m: others_instance(m, "2g.10gb", 0),
        ],
        rule("host"),
        "has 2g.10gb@0, which gpupass did not make",
    ),
}


@pytest.mark.parametrize("framework", ["vendor", "mdev"])
@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_anything_is_touched(name, framework, nvml, new_state):
    past, wish, why = REFUSED[name]
    machine = vgpu_machine(new_state(), framework)
    for deed in past:
        deed(machine)
    machine.log.clear()
    before = machine.snapshot()
    with pytest.raises(GpupassError) as caught:
        apply(machine, wish, **ALLOWED)
    assert why in told(caught.value)
    assert machine.log == [] and machine.snapshot() == before


@pytest.mark.parametrize("framework", ["vendor", "mdev"])
def test_a_full_card_refuses_beforehand(framework, nvml, new_state):
    """The mediated framework lists every type always, with how many more there can be."""
    machine = vgpu_machine(new_state(), framework)
    apply(machine, rule("vgpu, types: {A100-20C: 2}"))
    with pytest.raises(Refused, match="has room for no more A100-20C"):
        apply(machine, rule("vgpu, types: {A100-20C: 3}"))


def test_nothing_wanted_is_nothing_to_do(nvml, new_state):
    machine = vgpu_machine(new_state(), "vendor")
    wish = rule("vgpu, types: {}")
    assert kinds(plan(machine, wish)) == [] and apply(machine, wish).reports == ()


BACK = {
    "params and turns": (
        rule("vgpu, types: {A100-5C: 2}, params: {disable_vnc: 1}, scheduler: fixed-share"),
        rule("vgpu, types: {A100-5C: 1}, params: {disable_vnc: 0}, scheduler: equal-share"),
    ),
    "another size": (SLICED, rule("vgpu, types: {A100-20C: 2}")),
    "several sizes": (SLICED, rule("vgpu, types: {A100-5C: 1, A100-10C: 1, A100-20C: 1}")),
    "one size again": (rule("vgpu, types: {A100-5C: 1, A100-20C: 1}"), rule("vgpu, types: {A100-5C: 2}")),
    "GPU instances": (BACKED, rule("vgpu, types: {A100-3-20C: 1, A100-1-5C: 1}, layout: [3g.20gb, 1g.5gb]")),
    "MIG mode": (SLICED, BACKED),
    "MIG mode off": (BACKED, SLICED),
    "all of it": (BACKED, rule("host")),
    "GPU instances of a card that was given away": (rule("passthrough"), BACKED),
    "given away with its GPU instances": (BACKED, rule("passthrough")),
    "functions without a driver": (SLICED, rule(f"sriov, vfs: {VFS}")),
    "functions in the place of GPU instances": (BACKED, rule(f"sriov, vfs: {VFS}, vf: {{driver: vfio-pci}}")),
    "vGPUs of functions that had no driver": (rule(f"sriov, vfs: {VFS}"), SLICED),
    "bare functions": (rule(f"sriov, vfs: {VFS}, vf: {{driver: nvidia}}"), rule("host")),
}


@pytest.mark.parametrize("framework", ["vendor", "mdev"])
@pytest.mark.parametrize("name", BACK)
def test_rollback_brings_it_back(name, framework, nvml, new_state):
    first, then = BACK[name]
    machine = vgpu_machine(new_state(), framework)
    assert endings(apply(machine, first, **ALLOWED)) == ["done"]
    before = what_there_is(machine)
    assert endings(apply(machine, then, **ALLOWED)) == ["done"] and kinds(plan(machine, then)) == []
    assert what_there_is(machine) != before
    assert endings(rollback(machine, **ALLOWED)) == ["done"]
    assert what_there_is(machine) == before


def what_there_is(machine):
    """Which UUID a mediated one has is no matter."""
    found = machine.vgpu.snapshot()
    vgpus = sorted((name, params) for name, _, params in found["vgpus"].values())
    return vgpus, found["card"], found["mig"], machine.sriov.snapshot()


def test_functions_of_an_nvidia_card_are_made_by_its_script(nvml, new_state):
    machine = vgpu_machine(new_state(), "vendor")
    apply(machine, rule(f"sriov, vfs: {VFS}, vf: {{driver: nvidia}}"))
    apply(machine, rule("host"))
    ran = [path for path, _ in machine.log if path.startswith(MANAGE)]
    assert ran == [f"{MANAGE} -e {CARD}", f"{MANAGE} -d {CARD}"]


TAKEN_OVER = {
    "functions": ([others_functions], "host"),
    "vGPUs": ([others_functions, foreign(0, 471), foreign(2, 471)], "vgpu, types: {A100-5C: 2}"),
    "MIG mode": (
        [cut("2g.10gb", 0), others_functions, lambda m: others_instance(m, "1g.5gb", 6)],
        "vgpu, types: {A100-5C: 1}",
    ),
}


@pytest.mark.parametrize("framework", ["vendor", "mdev"])
@pytest.mark.parametrize("name", TAKEN_OVER)
def test_taken_over_and_given_back(name, framework, nvml, new_state):
    past, wish = TAKEN_OVER[name]
    machine = vgpu_machine(new_state(), framework)
    for deed in past:
        deed(machine)
    before = what_there_is(machine)
    wish = rule(f"{wish}, take-over: true")
    assert endings(apply(machine, wish, **ALLOWED)) == ["done"] and kinds(plan(machine, wish)) == []
    assert endings(rollback(machine, **ALLOWED)) == ["done"]
    told_by_a_profile = 3 if before[2][0] and not before[0] else 4  # idle functions beside MIG mode are not
    assert what_there_is(machine)[:told_by_a_profile] == before[:told_by_a_profile]


def test_idle_functions_beside_gpu_instances_are_exported_as_they_are(nvml, new_state):
    machine = vgpu_machine(new_state(), "vendor")
    apply(machine, BACKED, **ALLOWED)
    apply(machine, rule("vgpu, types: {}, layout: [1g.5gb]"), **ALLOWED)
    assert machine.vgpu.vgpus == {} and machine.sriov.number(CARD) and machine.vgpu.instances()
    assert kinds(plan(machine, exported(machine))) == []


@pytest.mark.parametrize("framework", ["vendor", "mdev"])
def test_what_is_adopted_is_called_as_in_a_profile(framework, nvml, new_state):
    machine = vgpu_machine(new_state(), framework)
    for deed in (others_functions, foreign(0, 470), foreign(2, 470)):
        deed(machine)
    app.adopt(machine, CARD)
    assert kinds(plan(machine, exported(machine))) == []
    parts = sorted(found["name"] for found in machine.records().values() if found.get("name"))
    assert parts == ["A100-5C-0", "A100-5C-1"]


@pytest.mark.parametrize("swapped", [False, True])
def test_the_gpu_instance_of_a_vgpu_that_is_used_is_spared(swapped, nvml, new_state):
    """Of two alike one is to go: not the one with the guest, wherever it is."""
    machine = vgpu_machine(new_state(), "vendor")
    apply(machine, BACKED, **ALLOWED)
    used, other = (machine.sriov.address(CARD, number) for number in range(2))
    if swapped:
        for vf in (used, other):
            machine._write(f"/sys/bus/pci/devices/{vf}/nvidia/current_vgpu_type", "0")
        for vf in (other, used):
            machine._write(f"/sys/bus/pci/devices/{vf}/nvidia/current_vgpu_type", "474")
    app.attach(machine, "vm1", used)
    place = machine.vgpu.vgpus[used].place
    wish = rule("vgpu, types: {A100-1-5C: 1}, layout: [1g.5gb]")
    assert endings(apply(machine, wish, **ALLOWED)) == ["done"]
    assert list(machine.vgpu.vgpus) == [used]
    assert [one.id for one in machine.vgpu.gpu.instances] == [place]


def test_a_function_with_mediated_types_is_not_lent_as_a_whole(nvml, new_state):
    machine = vgpu_machine(new_state(), "mdev")
    others_functions(machine)
    with pytest.raises(Refused, match="lent by its mediated devices"):
        app.attach(machine, "vm1", machine.sriov.address(CARD, 0))


@pytest.mark.parametrize("framework", ["vendor", "mdev"])
def test_exported_with_params_and_turns(framework, nvml, new_state):
    machine = vgpu_machine(new_state(), framework)
    apply(machine, rule("vgpu, types: {A100-5C: 2}, params: {disable_vnc: 1}, scheduler: fixed-share"))
    (found,) = (one for one in exported(machine).gpus if one.select.uuid)
    assert [(param.name, param.value) for param in found.params] == [("disable_vnc", "1")]
    assert found.scheduler == "fixed-share"


@pytest.mark.parametrize("framework", ["vendor", "mdev"])
def test_params_that_a_profile_says_no_more_are_taken_back(framework, nvml, new_state):
    machine = vgpu_machine(new_state(), framework)
    said = "vgpu, types: {A100-5C: 1}, params: "
    apply(machine, rule(said + "{frame_rate_limiter: 0, disable_vnc: 1}"))
    apply(machine, rule(said + "{disable_vnc: 1}"))
    (vgpu,) = machine.vgpu.vgpus.values()
    assert vgpu.params == "disable_vnc=1"
    apply(machine, rule("vgpu, types: {A100-5C: 1}"))
    (vgpu,) = machine.vgpu.vgpus.values()
    assert vgpu.params == ""


def test_params_that_somebody_else_told_stay(nvml, new_state):
    machine = vgpu_machine(new_state(), "vendor")
    wish = rule("vgpu, types: {A100-5C: 1}")
    apply(machine, wish)
    (vf,) = machine.vgpu.vgpus
    machine._write(f"/sys/bus/pci/devices/{vf}/nvidia/vgpu_params", "disable_vnc=1")
    assert kinds(plan(machine, wish)) == []


@pytest.mark.parametrize("then", ["host", "vgpu, types: {A100-1-5C: 1}, layout: [1g.5gb]"])
@pytest.mark.parametrize("framework", ["vendor", "mdev"])
def test_the_functions_of_a_guest_go_when_it_may_be_disrupted(then, framework, nvml, new_state):
    machine = vgpu_machine(new_state(), framework)
    apply(machine, f"{SLICED}\nattachments: [{{domain: vm1, device: a/A100-5C-0}}]")
    assert endings(apply(machine, rule(then), **ALLOWED)) == ["done"]
    assert machine.libvirt.guests["vm1"].live == {} and kinds(plan(machine, rule(then))) == []


def test_a_device_that_leaves_the_profile_between_two_rounds(nvml, new_state, monkeypatch):
    machine = vgpu_machine(new_state(), "vendor")
    before = machine.snapshot()
    plans = iter([plan(machine, SLICED), HostPlan()])
    monkeypatch.setattr(Reach, "plan", lambda *_: next(plans))
    (report,) = apply(machine, SLICED).reports
    assert (report.ending, report.note) == ("failed", "the profile means no such device any more")
    assert machine.snapshot() == before and machine.open_journals() == []


WHOLE = f"{rule('passthrough')}\nattachments: [{{domain: vm1, device: a}}]"
CUT = rule("mig, layout: [1g.5gb]")  # after a guest has had it whole: only the driver tells what can be cut


def pending(state, had=f"{SLICED}\n{LENT}", wish=BACKED):
    """Its first round waits for a guest that lets go too late."""
    machine = vgpu_machine(state, "vendor")
    apply(machine, had)
    machine.libvirt.guests["vm1"].lets_go = 1000.0
    assert endings(apply(machine, wish, timeout=5.0, **ALLOWED)) == ["pending"]
    machine.sleep(1000)
    return machine


@pytest.mark.parametrize(("had", "wish"), [(f"{SLICED}\n{LENT}", BACKED), (WHOLE, CUT)])
def test_recover_goes_on_with_the_rounds_that_take_another_look(had, wish, nvml, new_state):
    machine = pending(new_state(), had, wish)
    (report,) = app.recover(machine)
    assert (report.ending, report.note) == ("done", "")
    assert machine.open_journals() == [] and kinds(plan(machine, wish)) == []
    assert app.recover(machine) == ()


def forgotten(machine):
    """More applies than are kept have followed."""
    last = history.last_apply(machine).id
    with store_of(machine).writing() as commit:
        commit.drop("applies", id=last)


def not_agreed_to(machine):
    """As an apply of a gpupass that did not write down what had been agreed to."""
    entry = history.last_apply(machine)
    write_apply(store_of(machine), replace(entry, disruption=False, reset=False))


def meaningless(machine):
    write_apply(store_of(machine), replace(history.last_apply(machine), after="version: 7"))


def others(machine):
    """It is about a device that is not here."""
    entry = history.last_apply(machine)
    write_apply(store_of(machine), replace(entry, after=entry.after.replace(CARD, "0000:ee:00.0")))


@pytest.mark.parametrize("lost", [forgotten, not_agreed_to, meaningless, others])
def test_recover_says_so_where_it_cannot_go_on(lost, nvml, new_state):
    """What was to follow is in no journal; the same apply goes on from there."""
    machine = pending(new_state(), WHOLE, CUT)
    lost(machine)
    (report,) = app.recover(machine)
    assert report.ending == "needs a person" and "apply the same profile again" in report.note
    assert machine.open_journals() == []
    assert endings(apply(machine, CUT, **ALLOWED)) == ["done"] and kinds(plan(machine, CUT)) == []


def test_what_fails_while_recover_goes_on_takes_all_of_it_back(nvml, new_state, monkeypatch):
    machine = pending(new_state())

    def burns(*_):
        raise GpupassError("the disk of the host is on fire")

    monkeypatch.setattr(SetGpuInstance, "do", burns)
    (report,) = app.recover(machine)
    assert (report.ending, report.note) == ("failed", "the disk of the host is on fire")
    assert machine.open_journals() == [] and kinds(plan(machine, f"{SLICED}\n{LENT}")) == []


@pytest.mark.parametrize("more", ["params: {disable_vnc: 1}", "scheduler: fixed-share"])
@pytest.mark.parametrize("framework", ["vendor", "mdev"])
def test_what_a_running_guest_forbids_is_refused_with_what_to_type(more, framework, nvml, new_state):
    lent = "attachments: [{domain: vm1, device: a/A100-5C-0}]"
    machine = vgpu_machine(new_state(), framework)
    apply(machine, f"{SLICED}\n{lent}")
    wish = rule(f"vgpu, types: {{A100-5C: 2}}, {more}")
    before = machine.snapshot()
    with pytest.raises(Refused, match="only while no guest has") as caught:
        apply(machine, f"{wish}\n{lent}", **ALLOWED)
    assert machine.snapshot() == before
    gpupass, verb, domain, slot = caught.value.hint.partition(";")[0].split()
    assert (gpupass, verb) == ("gpupass", "detach")
    app.detach(machine, domain, slot)
    assert endings(apply(machine, f"{wish}\n{lent}", **ALLOWED)) == ["done"]


def test_functions_that_a_profile_drives_otherwise_are_left_alone_while_others_are_enough(nvml, new_state):
    machine = vgpu_machine(new_state(), "vendor")
    apply(machine, rule(f"sriov, vfs: {VFS}, vf: {{driver: nvidia, drivers: {{0: vfio-pci}}}}"))
    assert endings(apply(machine, SLICED)) == ["done"]
    assert machine.driver(machine.sriov.address(CARD, 0)) == "vfio-pci"
    assert sorted(machine.vgpu.vgpus) == [machine.sriov.address(CARD, number) for number in (1, 2)]


def test_foreign_functions_without_a_driver_get_none_unasked(nvml, new_state):
    machine = vgpu_machine(new_state(), "vendor")
    apply(machine, rule(f"sriov, vfs: {VFS}"))
    machine.forgets("sriov.made", CARD)
    with pytest.raises(Refused, match="has virtual functions that gpupass did not make"):
        apply(machine, SLICED)
    assert endings(apply(machine, rule("vgpu, types: {A100-5C: 2}, take-over: true"))) == ["done"]


@pytest.mark.parametrize("then", ["host", "passthrough", "mig, layout: [1g.5gb]"])
def test_functions_without_a_driver_have_none_after_a_rollback(then, nvml, new_state):
    machine = vgpu_machine(new_state(), "vendor")
    apply(machine, rule(f"sriov, vfs: {VFS}"))
    before = hardware(machine)
    assert kinds(plan(machine, exported(machine))) == []
    assert endings(apply(machine, rule(then), **ALLOWED)) == ["done"] and hardware(machine) != before
    assert endings(rollback(machine, **ALLOWED)) == ["done"]
    assert hardware(machine) == before


def test_what_failed_in_its_last_round_waits_for_nothing(nvml, new_state):
    machine = vgpu_machine(new_state(), "vendor")
    old = machine.snapshot()

    def fail(title, step):
        if isinstance(step, SetVgpuType):
            raise GpupassError("the disk of the host is on fire")

    applied = apply(machine, SLICED, on_step=fail)
    assert endings(applied) == ["failed"] and applied.plan.waits == ()
    assert machine.snapshot() == old


@pytest.fixture
def told_late(nvml, monkeypatch):
    """A driver that tells its MIG profiles in MIG mode only."""
    real = observed_nvidia.read_gpus

    def answers(*asked):
        found, missed = real(*asked)
        hidden = MigGpu(profiles=())
        return tuple(one if one.mig else replace(one, mig_gpu=hidden) for one in found), missed

    monkeypatch.setattr(observed_nvidia, "read_gpus", answers)


@pytest.mark.parametrize("use", ["mig", "vgpu, types: {A100-1-5C: 1}"])
@pytest.mark.parametrize("layout", ["nonsense", "[1g.6gb, 1g.5gb]", "[1g.5gb]"])
def test_a_layout_that_fails_leaves_no_mig_mode(layout, use, told_late, new_state):
    machine = vgpu_machine(new_state(), "vendor")
    wish, old = rule(f"{use}, layout: {layout}"), machine.snapshot()
    assert plan(machine, wish).waits

    def fail(title, step):
        if isinstance(step, SetGpuInstance):
            raise GpupassError("the disk of the host is on fire")

    assert endings(apply(machine, wish, on_step=fail, **ALLOWED)) == ["failed"]
    assert machine.snapshot() == old and machine.open_journals() == []
    if layout == "[1g.5gb]":
        assert endings(apply(machine, wish, **ALLOWED)) == ["done"] and kinds(plan(machine, wish)) == []


def test_a_card_that_was_given_away_is_so_again_when_its_layout_fails(nvml, new_state):
    machine = vgpu_machine(new_state(), "vendor")
    apply(machine, rule("passthrough"))
    wish, old = rule("mig, layout: [1g.5gb]"), machine.snapshot()

    def fail(title, step):
        if isinstance(step, SetGpuInstance):
            raise GpupassError("the disk of the host is on fire")

    assert endings(apply(machine, wish, on_step=fail, **ALLOWED)) == ["failed"]
    assert machine.snapshot() == old and machine.open_journals() == []
    (report,) = apply(machine, wish).reports
    assert report.ending == "failed" and report.note.endswith("which takes --allow-reset")
    assert machine.snapshot() == old
    assert endings(apply(machine, wish, **ALLOWED)) == ["done"] and kinds(plan(machine, wish)) == []


@pytest.mark.parametrize("wish", ["host", "vgpu, types: {A100-5C: 1, A100-10C: 1}"])
@pytest.mark.parametrize("foreigner", [False, True])
def test_what_to_type_about_vgpus_in_the_way(foreigner, wish, nvml, new_state):
    machine = vgpu_machine(new_state(), "vendor")
    apply(machine, rule("vgpu, types: {A100-5C: 1}"))
    if foreigner:
        foreign(3, 470)(machine)
    else:
        app.attach(machine, "vm1", machine.sriov.address(CARD, 0))
    with pytest.raises(Refused) as caught:
        apply(machine, rule(wish), **ALLOWED)
    hints = [caught.value.hint, *(remedy for _, remedy in caught.value.reasons)]
    for hint in hints:
        if hint and hint.startswith("gpupass adopt"):
            app.adopt(machine, hint.removesuffix(", or take-over: true in the rule").split()[-1])
        elif hint and hint.startswith("gpupass detach"):
            app.detach(machine, *hint.split()[-2:])
    assert endings(apply(machine, rule(wish), **ALLOWED)) == ["done"]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("then", ["host", "passthrough", "vgpu, types: {A100-5C: 2}"])
def test_the_mig_mode_that_outlives_a_reboot_is_still_gpupass_own(then, again, nvml, new_state):
    machine = vgpu_machine(new_state(), "vendor")
    apply(machine, BACKED, **ALLOWED)
    machine.reboot()
    if again:
        assert endings(apply(machine, BACKED, **ALLOWED)) == ["done"]
    assert (
        endings(apply(machine, rule(then), **ALLOWED)) == ["done"] and kinds(plan(machine, rule(then))) == []
    )
    assert machine.vgpu.mig is False and not any(name.startswith("mig") for name in machine.records())


def test_a_later_round_still_warns_of_what_the_first_one_did(nvml, new_state, monkeypatch):
    warning = Finding(message="somebody holds it", remedy="end it", fatal=False)
    monkeypatch.setattr(words, "held", lambda device, state, on: [warning])
    (report,) = apply(vgpu_machine(new_state(), "vendor"), BACKED, **ALLOWED).reports
    assert (report.ending, report.warnings) == ("done", (warning,))


@pytest.mark.parametrize(
    "step", [SetVgpuSharing(address=CARD, mixed=True), SetVgpuScheduler(address=CARD, policy="fixed-share")]
)
def test_a_setting_that_was_not_told_is_not_put_back(step, nvml, new_state):
    machine = vgpu_machine(new_state(), "vendor")
    exported(machine)  # NVML answers for what was looked at
    before = step.current(machine)
    step.do(machine, 0.0)
    assert step.current(machine) != before
    step.undo(None, machine)
    assert step.current(machine) != before
    step.undo(before, machine)
    assert step.current(machine) == before


def test_a_setting_that_the_driver_does_not_take_is_a_failure(nvml, new_state, monkeypatch):
    machine = vgpu_machine(new_state(), "vendor")
    exported(machine)
    told = []
    for name in ("set_mixed", "set_scheduler"):
        monkeypatch.setattr(vgpu_card, name, lambda system, *said: told.append(said))
    for step in (
        SetVgpuSharing(address=CARD, mixed=True),
        SetVgpuScheduler(address=CARD, policy="fixed-share"),
    ):
        with pytest.raises(GpupassError, match="the driver has not taken"):
            step.do(machine, 0.0)
    assert told == [(CARD, True), (CARD, "fixed-share")]
    SetVgpuScheduler(address=CARD, policy="best-effort").do(machine, 0.0)
    SetVgpuSharing(address=CARD, mixed=False).do(machine, 0.0)
    assert len(told) == 2, "what is so already is not said again: the driver refuses beside a guest"


def test_a_boot_tries_what_goes_on_failing_three_times(nvml, new_state):
    """Each try resets the GPU and makes its functions anew."""
    machine = vgpu_machine(new_state(), "vendor", True)
    one_too_many = profile_of(rule("vgpu, types: {A100-1-5C: 3}, layout: [1g.5gb, 1g.5gb]"))
    ended = apply_in(machine, one_too_many, 60, partly=True, **ALLOWED)
    assert endings(ended) == ["failed"] and len(history.history(machine)[0]) == 3


def test_a_vgpu_that_somebody_has_given_another_type_is_seen_as_that(nvml, new_state):
    machine = vgpu_machine(new_state(), "vendor")
    wish = rule("vgpu, types: {A100-5C: 1}")
    apply(machine, wish)
    (vf,) = machine.vgpu.vgpus
    for number in ("0", "471"):
        machine._write(f"/sys/bus/pci/devices/{vf}/nvidia/current_vgpu_type", number)
    (found,) = (one for one in exported(machine).gpus if one.select.uuid)
    assert [one.type for one in found.types] == ["A100-10C"]
    assert endings(apply(machine, wish)) == ["done"] and kinds(plan(machine, wish)) == []
    assert [one.kind.name for one in machine.vgpu.vgpus.values()] == ["A100-5C"]


@pytest.mark.parametrize("framework", ["vendor", "mdev"])
def test_a_rollback_leaves_the_vgpu_that_others_made(framework, nvml, new_state):
    """Of two alike gpupass's own goes, though a profile of before may take over."""
    machine = vgpu_machine(new_state(), framework)
    for deed in (others_functions, foreign(0, 470)):
        deed(machine)
    before = machine.snapshot()
    assert endings(apply(machine, SLICED)) == ["done"] and len(machine.vgpu.vgpus) == 2
    assert endings(rollback(machine)) == ["done"]
    assert machine.snapshot() == before


@pytest.mark.parametrize("framework", ["vendor", "mdev"])
def test_a_foreign_vgpu_that_a_domain_has_is_left_alone_by_export_and_rollback(framework, nvml, new_state):
    """No name of a profile means it."""
    machine = vgpu_machine(new_state(), framework)
    for deed in (others_functions, foreign(0, 470)):
        deed(machine)
    (vf,) = machine.vgpu.vgpus
    app.attach(machine, "vm1", machine.vgpu.vgpus[vf].mdev or vf)
    before = machine.snapshot()
    profile, host = export(machine)
    assert any(f"{vf} " in told for told in made_elsewhere(host))
    text = write_profile(profile)
    assert kinds(plan(machine, load_profile("host", lambda _: text, ""))) == []
    assert endings(apply(machine, SLICED)) == ["done"] and len(machine.vgpu.vgpus) == 2
    assert endings(rollback(machine)) == ["done"] and machine.snapshot() == before


@pytest.mark.parametrize("framework", ["vendor", "mdev"])
@pytest.mark.parametrize("first", [SLICED, BACKED, rule("mig, layout: balanced")])
def test_another_host_driver_gets_it_when_it_is_cut_no_more(first, framework, nvml, new_state):
    machine = vgpu_machine(new_state(), framework)
    machine.register_driver("nouveau")
    apply(machine, first, **ALLOWED)
    before, then = what_there_is(machine), rule("host, driver: nouveau")
    assert endings(apply(machine, then, **ALLOWED)) == ["done"] and kinds(plan(machine, then)) == []
    assert machine.driver(CARD) == "nouveau" and not machine.sriov.number(CARD)
    assert endings(rollback(machine, **ALLOWED)) == ["done"] and what_there_is(machine) == before
