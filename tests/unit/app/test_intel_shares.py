"""An Intel card's VFs with shares of time and memory: through each interface, there, changed and back."""

import pytest

from gpupass.app.export import export
from gpupass.errors import Refused
from gpupass.model.intel import function_name
from tests.machines_in_parts import intel_machine
from tests.profile_trips import apply, endings, exported, kinds, plan, rollback, told
from tests.simulated_intel import CARD, GIB, VFS

GRAIN = 2 << 20
INTERFACES = ("sysfs", "debugfs", "prelim_iov")


def card(vfs, vf="", more=""):
    return f"gpus: [{{name: a, select: {{address: '{CARD}'}}, use: sriov, vfs: {vfs}, vf: {{{vf}}}{more}}}]"


SHARED = card(
    3,
    "driver: vfio-pci, execution-quantum: 20, preemption-timeout: 40000, memory: 4096, "
    "shares: {0: {execution-quantum: 40}, 2: {memory: 8192}}",
    ", pf: {execution-quantum: 64, preemption-timeout: 128000}",
)


@pytest.fixture(params=INTERFACES)
def machine(request, hidden, new_state):
    return intel_machine(new_state(), request.param)


@pytest.fixture
def xe(hidden, new_state):
    return intel_machine(new_state(), "sysfs")


def test_drivers_count_from_one_and_pci_from_zero():
    """virtfn0 is xe's vf1 (Documentation/ABI/testing/sysfs-driver-intel-xe-sriov)."""
    assert [function_name(vf) for vf in (None, 0, 1, 6)] == ["pf", "vf1", "vf2", "vf7"]


def test_the_first_vf_is_xes_vf1(xe):
    apply(xe, card(2, "shares: {0: {execution-quantum: 11}, 1: {execution-quantum: 22}}"))
    directory = f"/sys/bus/pci/devices/{CARD}/sriov_admin"
    assert [xe.read(f"{directory}/vf{n}/profile/exec_quantum_ms") for n in (1, 2, 3)] == ["11", "22", "0"]
    assert xe.link(f"/sys/bus/pci/devices/{CARD}/virtfn0") == VFS[0]
    assert not xe.exists(f"{directory}/vf0")


def test_there_and_back(machine):
    before = machine.snapshot()
    assert endings(apply(machine, SHARED)) == ["done"]
    assert [machine.intel.shares(vf) for vf in range(4)] == [
        (40, 40000, 4 * GIB),
        (20, 40000, 4 * GIB),
        (20, 40000, 8 * GIB),
        (0, 0, 0),
    ]
    assert kinds(plan(machine, SHARED)) == [] and [machine.driver(vf) for vf in VFS[:3]] == ["vfio-pci"] * 3
    assert endings(rollback(machine)) == ["done"]
    assert machine.snapshot() == before


def test_every_gt_has_the_same_turn_and_only_the_first_has_memory(hidden, new_state):
    machine = intel_machine(new_state(), "debugfs")
    apply(machine, SHARED)
    for gt in ("gt0", "gt1"):
        where = f"/sys/kernel/debug/dri/{CARD}/{gt}"
        assert machine.read(f"{where}/vf1/exec_quantum_ms") == "40"
        assert machine.read(f"{where}/pf/preempt_timeout_us") == "128000"
    assert not machine.exists(f"/sys/kernel/debug/dri/{CARD}/gt1/vf1/lmem_quota")


def test_shares_before_functions_and_the_host_first(machine):
    """As xpu-smi does it: PF, VFs, autoprobe, number."""
    apply(machine, SHARED)
    names = [path.rpartition("/")[2] for path, _ in machine.log]
    wheres = ["pf" if "/pf/" in path else path for path, _ in machine.log if "exec_quantum_ms" in path]
    last_share = max(
        n for n, name in enumerate(names) if name.startswith(("exec_", "preempt", "vram", "lmem"))
    )
    assert wheres[0] == "pf" and last_share < names.index("sriov_drivers_autoprobe") < names.index(
        "sriov_numvfs"
    )


def test_turns_change_while_a_guest_has_its_function(machine):
    apply(machine, SHARED)
    machine.libvirt.plug("vm1", VFS[1])
    longer = SHARED.replace("execution-quantum: 20", "execution-quantum: 30")
    assert {kind.split()[0] for kind in kinds(plan(machine, longer))} == {"SetShare"}
    assert endings(apply(machine, longer)) == ["done"]
    assert machine.intel.shares(1) == (30, 40000, 4 * GIB) and VFS[1] in machine.libvirt.guests["vm1"].live


def test_memory_changes_without_functions_only(machine):
    apply(machine, SHARED)
    state = machine.snapshot()
    more = SHARED.replace("memory: 4096", "memory: 6144")
    made = plan(machine, more)
    assert made.disruptions[0].loses == "all 3 virtual functions, made anew"
    assert endings(apply(machine, more)) == ["done"]
    assert machine.intel.quotas() == [6 * GIB, 6 * GIB, 8 * GIB, 0] and kinds(plan(machine, more)) == []
    assert endings(rollback(machine)) == ["done"]
    assert machine.snapshot() == state


def test_memory_of_a_function_in_use_is_refused(machine):
    apply(machine, SHARED)
    machine.libvirt.plug("vm1", VFS[1])
    with pytest.raises(Refused, match=f"{VFS[1]} of {CARD} is in use by domain vm1"):
        apply(machine, SHARED.replace("memory: 4096", "memory: 6144"), allow_disruption=True)


def test_memory_comes_in_pieces_of_two_mib(xe):
    text = card(1, "memory: 1001")
    apply(xe, text)
    assert xe.intel.quotas()[0] == 1002 << 20 and kinds(plan(xe, text)) == []


@pytest.mark.parametrize("to", ["use: host", "use: sriov, vfs: 0", "use: passthrough"])
def test_nothing_is_left_set_aside(to, machine):
    apply(machine, SHARED)
    text = f"gpus: [{{name: a, select: {{address: '{CARD}'}}, {to}}}]"
    apply(machine, text, allow_disruption=True)
    assert [machine.intel.shares(vf) for vf in range(4)] == [(0, 0, 0)] * 4
    auto = machine.intel._auto()
    assert not auto or machine.read(auto) == "1"
    assert kinds(plan(machine, text)) == []


def test_without_a_word_on_memory_it_is_shared_evenly(machine):
    apply(machine, SHARED)
    even = card(2, "driver: vfio-pci, execution-quantum: 20")
    apply(machine, even, allow_disruption=True)
    assert machine.intel.quotas() == [12 * GIB, 12 * GIB, 0, 0] and kinds(plan(machine, even)) == []


def fails_at(machine, text, **order):
    state = machine.snapshot()
    applied = apply(machine, text, **order)
    assert endings(applied) == ["failed"] and machine.snapshot() == state
    return applied.reports[0].note


def test_more_memory_than_there_is(machine):
    note = fails_at(machine, card(4, "memory: 9000"))
    assert "Input/output error" in note and "Failed to provision VF" in note


def test_a_change_that_the_firmware_does_not_take(machine):
    machine.intel.locked = True
    note = fails_at(machine, card(2, "execution-quantum: 20"))
    assert f"exec_quantum_ms of {CARD} to 20: Operation not permitted" in note


@pytest.mark.parametrize("fault", ["exec_quantum_ms", "preempt_timeout_us", "sriov_numvfs"])
@pytest.mark.parametrize("before", ["nothing", "shares"])
def test_a_failing_write_rolls_back(before, fault, machine):
    if before == "shares":
        apply(machine, SHARED)
    machine.faults[fault, CARD] = 5
    wanted = card(4, "driver: vfio-pci, execution-quantum: 10, preemption-timeout: 9, memory: 2048")
    fails_at(machine, wanted, allow_disruption=True)


def test_a_value_that_the_kernel_makes_another_is_a_failure(xe):
    path = f"/sys/bus/pci/devices/{CARD}/sriov_admin/vf1/profile/exec_quantum_ms"
    xe.faults["after exec_quantum_ms", CARD] = lambda: xe.put(path, "16\n")
    assert "the kernel made it 16" in fails_at(xe, card(1, "execution-quantum: 17"))


def test_what_the_driver_cannot_do_is_told(hidden, new_state):
    machine = intel_machine(new_state(), "sysfs")
    for number in range(1, 5):
        machine.files.remove(f"{machine.tree.path(CARD)}/sriov_admin/vf{number}/profile/vram_quota")
    with pytest.raises(Refused, match="cannot give each function memory: its driver") as refused:
        apply(machine, SHARED)
    assert "debugfs" in refused.value.hint


def test_memory_from_debugfs_where_sysfs_has_none(hidden, new_state):
    """Kernel 6.19 has sriov_admin, but no vram_quota yet."""
    machine = intel_machine(new_state(), "debugfs")
    for name, function in (("exec_quantum_ms", "pf"), *(("exec_quantum_ms", f"vf{n}") for n in range(1, 5))):
        machine.put(f"{machine.tree.path(CARD)}/sriov_admin/{function}/profile/{name}", "0\n")
    paths = sorted(
        step.path
        for step in plan(machine, card(1, "execution-quantum: 5, memory: 64")).plans[0].steps
        if hasattr(step, "path")
    )
    assert [("sriov_admin" in path, "lmem_quota" in path) for path in paths] == [(True, False), (False, True)]


def test_shares_on_another_card_are_refused(machine):
    text = (
        card(2, "memory: 64").replace(CARD, "0000:04:00.0").replace("select: {", "select: {class: storage, ")
    )
    with pytest.raises(Refused) as refused:
        apply(machine, text)
    assert "0000:04:00.0" in told(refused.value)


def test_shares_of_foreign_functions_are_left_alone(machine):
    apply(machine, SHARED)
    machine.forgets("sriov.made", CARD)
    machine.log.clear()
    with pytest.raises(Refused, match="other shares for them"):
        apply(machine, SHARED.replace("execution-quantum: 20", "execution-quantum: 30"))
    assert machine.log == []


def test_exported_it_asks_for_nothing(machine):
    apply(machine, SHARED)
    made = plan(machine, exported(machine))
    assert kinds(made) == [] and made.refusals == ()
    assert export(machine)[0].gpus[0].vf.shares


def test_a_function_to_come_that_has_its_share_already_gets_it_no_more(xe):
    """Those that go first lose theirs; what nobody has touched stays (the driver keeps what it is told beforehand)."""
    apply(xe, card(2, "execution-quantum: 20"))
    third = f"/sys/bus/pci/devices/{CARD}/sriov_admin/vf3/profile/exec_quantum_ms"
    xe.put(third, "20\n")
    (one,) = plan(xe, card(3, "execution-quantum: 20")).plans
    told = [step.path for step in one.steps if type(step).__name__ == "SetShare"]
    assert third not in told and third.replace("vf3", "vf2") in told
