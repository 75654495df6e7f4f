"""The one envelope: what was said beforehand is what happens, and `changed` is true exactly when something has."""

import errno
import json
import pkgutil
import shlex
import sys
from importlib import import_module

import pytest

import gpupass.cli
from gpupass import app
from gpupass.cdi.specification import PATH as CDI_FILE
from gpupass.cli import main
from gpupass.engine import run as engine
from gpupass.errors import GpupassError
from gpupass.steps.bind import BindDriver
from gpupass.system import System
from gpupass.system.locks import hold
from tests.machines_in_parts import gim_machine, hive_machine, intel_machine, vgpu_machine
from tests.simulated import ACCEL, CONSOLE, DISK, GPU, LONE, NIC, PF, Machine
from tests.simulated_amd import GIMS, HIVE
from tests.simulated_intel import CARD as INTEL_CARD
from tests.simulated_libvirt import REFUSES
from tests.simulated_vgpu import CARD as NVIDIA_CARD

ALLOWED = "--allow-disruption --allow-reset"


def rule(address, wish, name="a"):
    return f"gpus: [{{name: {name}, select: {{address: '{address}'}}, use: {wish}}}]\n"


def two(first, second):
    return "gpus:\n" + "".join(
        f"  - {{name: {name}, select: {{address: '{address}'}}, use: {wish}}}\n"
        for name, (address, wish) in zip("ab", (first, second), strict=True)
    )


@pytest.fixture
def type_in(nvml, monkeypatch, capsys, tmp_path):
    """Type a line on a machine: exit status and document; nothing else may be said on stdout."""
    monkeypatch.chdir(tmp_path)
    modules = [
        import_module(module.name)
        for module in pkgutil.iter_modules(gpupass.cli.__path__, "gpupass.cli.")
        if not module.ispkg
    ]

    def run(machine, line, **files):
        for module in modules:
            if hasattr(module, "System"):
                monkeypatch.setattr(module, "System", lambda root="": System(root) if root else machine)
        monkeypatch.setattr("gpupass.cli.boot.own_executable", lambda: "/usr/bin/gpupass")
        for name, text in files.items():
            (tmp_path / name).write_text(f"version: 1\n{text}")
        monkeypatch.setattr(sys, "argv", ["gpupass", *shlex.split(line), "--json"])
        with pytest.raises(SystemExit) as ended:
            main.run()
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        document = json.loads(output.out)
        assert document["schema"] == 2
        wanted = 0 if ended.value.code == 3 else ended.value.code
        assert (document["error"] or {"exit_code": 0})["exit_code"] == wanted
        return ended.value.code, document

    return run


def state(machine):
    """All that gpupass may change, what it remembers, and what is open."""
    return machine.snapshot(), machine.open_journals()


def without_status(document):
    return [{key: value for key, value in step.items() if key != "status"} for step in document["steps"]]


def statuses(document):
    return [step["status"] for step in document["steps"]]


# the machine, what was typed before, the line that changes, profiles
SAME = {
    "bind": (Machine, (), f"bind {LONE}", {}),
    "bind with its group": (Machine, (), f"bind {GPU}", {}),
    "unbind": (Machine, (f"bind {GPU}",), f"unbind {GPU}", {}),
    "attach": (Machine, (), f"attach vm1 {GPU}", {}),
    "detach": (Machine, (f"attach vm1 {LONE}",), f"detach vm1 {LONE}", {}),
    "move": (Machine, (f"attach vm1 {GPU}",), f"move {GPU} --to vm2", {}),
    "adopt": (Machine, (), f"adopt {PF}", {}),
    "passthrough": (Machine, (), "apply p --yes", {"p": rule(GPU, "passthrough")}),
    "attachments": (
        Machine,
        (),
        "apply p --yes",
        {"p": two((GPU, "passthrough"), (LONE, "passthrough")) + "attachments: [{domain: vm1, device: a}]\n"},
    ),
    "another domain": (
        Machine,
        ("apply q --yes",),
        f"apply p --yes {ALLOWED}",
        {
            "q": rule(LONE, "passthrough") + "attachments: [{domain: vm1, device: a}]\n",
            "p": rule(LONE, "passthrough") + "attachments: [{domain: vm2, device: a}]\n",
        },
    ),
    "virtual functions": (
        Machine,
        (),
        "apply p --yes",
        {"p": rule(NIC, "sriov, vfs: 3, vf: {driver: vfio-pci}")},
    ),
    "virtual functions on their own drivers": (
        Machine,
        (),
        "apply p --yes",
        {"p": rule(NIC, "sriov, vfs: 2, vf: {autoprobe: true}")},
    ),
    "fewer virtual functions": (
        Machine,
        ("apply q --yes",),
        "apply p --yes",
        {
            "q": rule(NIC, "sriov, vfs: 3, vf: {driver: vfio-pci}"),
            "p": rule(NIC, "sriov, vfs: 1, vf: {driver: vfio-pci}"),
        },
    ),
    "no virtual functions": (
        Machine,
        ("apply q --yes",),
        "apply p --yes",
        {"q": rule(NIC, "sriov, vfs: 3, vf: {driver: vfio-pci}"), "p": rule(NIC, "host")},
    ),
    "foreign ones taken over": (
        Machine,
        (),
        f"apply p --yes {ALLOWED}",
        {"p": rule(PF, "sriov, vfs: 2, vf: {driver: vfio-pci}, take-over: true")},
    ),
    "rollback": (
        Machine,
        ("apply p --yes",),
        "rollback --yes",
        {"p": two((GPU, "passthrough"), (NIC, "sriov, vfs: 2, vf: {driver: vfio-pci}"))},
    ),
    "rollback of an attachment": (
        Machine,
        ("apply p --yes",),
        f"rollback --yes {ALLOWED}",
        {"p": rule(LONE, "passthrough") + "attachments: [{domain: vm1, device: a}]\n"},
    ),
    "shares of an Intel card": (
        lambda new: intel_machine(new, "sysfs"),
        (),
        "apply p --yes",
        {"p": rule(INTEL_CARD, "sriov, vfs: 2, vf: {driver: vfio-pci, execution-quantum: 20, memory: 2048}")},
    ),
    "partitions of an AMD GPU": (hive_machine, (), "apply p --yes", {"p": rule(HIVE[0], "partition, compute: CPX")}),
    "memory mode of a hive": (
        hive_machine,
        (),
        f"apply p --yes {ALLOWED}",
        {"p": rule(HIVE[0], "partition, compute: CPX, memory: NPS4")},
    ),
    "a GPU of GIM": (
        gim_machine,
        (),
        f"apply p --yes {ALLOWED}",
        {"p": f"gpus: [{{name: a, select: {{vendor: amd}}, count: {len(GIMS)}, use: sriov, vfs: 8}}]\n"},
    ),
    "MIG": (
        lambda new: vgpu_machine(new, "vendor"),
        (),
        f"apply p --yes {ALLOWED}",
        {"p": rule(NVIDIA_CARD, "mig, layout: [3g.20gb, 2g.10gb]")},
    ),
    "MIG cut anew": (
        lambda new: vgpu_machine(new, "vendor"),
        (f"apply q --yes {ALLOWED}",),
        f"apply p --yes {ALLOWED}",
        {
            "q": rule(NVIDIA_CARD, "mig, layout: [3g.20gb, 2g.10gb]"),
            "p": rule(NVIDIA_CARD, "mig, layout: [2g.10gb, 2g.10gb, {profile: 3g.20gb, compute: [1c, 2c]}]"),
        },
    ),
    "no MIG": (
        lambda new: vgpu_machine(new, "vendor"),
        (f"apply q --yes {ALLOWED}",),
        f"apply p --yes {ALLOWED}",
        {"q": rule(NVIDIA_CARD, "mig, layout: [3g.20gb]"), "p": rule(NVIDIA_CARD, "host")},
    ),
    "enable": (Machine, (), "enable p --yes", {"p": rule(LONE, "passthrough")}),
    "disable": (Machine, ("enable p --yes",), "disable", {"p": rule(LONE, "passthrough")}),
    "early binding": (Machine, (), f"host early-bind {CONSOLE} --yes", {}),
    "no more early binding": (
        Machine,
        (f"host early-bind {CONSOLE} --yes",),
        f"host early-bind {CONSOLE} --undo --yes",
        {},
    ),
    "containers": (Machine, (), "cdi", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_what_is_said_is_what_happens(name, type_in, new_state):
    make, earlier, line, files = SAME[name]
    machine = make(new_state())
    machine.debian()
    for before in earlier:
        assert type_in(machine, before, **files)[0] == 0
    had = state(machine)
    said_code, said = type_in(machine, line.replace("--yes", "") + " --dry-run", **files)
    assert state(machine) == had and said_code == 0
    assert said["changed"] and set(statuses(said)) == {"planned"}
    code, done = type_in(machine, line)
    assert code == 0, done["error"]
    assert without_status(done) == without_status(said) and set(statuses(done)) == {"done"}
    assert done["diff"] == said["diff"]
    assert done["changed"] and state(machine) != had
    assert said["diff"]["after"] or name == "adopt"
    if "rollback" not in line:
        had = state(machine)
        code, again = type_in(machine, line)
        assert (code, again["changed"], again["steps"], again["matches"]) == (0, False, [], True)
        assert again["diff"] == {"before": {}, "after": {}} and state(machine) == had


@pytest.mark.parametrize("name", [name for name in SAME if "apply p" in SAME[name][2]])
def test_plan_and_check_say_the_same_as_a_dry_run(name, type_in, new_state):
    make, earlier, line, files = SAME[name]
    machine = make(new_state())
    for before in earlier:
        type_in(machine, before, **files)
    _, said = type_in(machine, line.replace("--yes", "") + " --dry-run", **files)
    for verb in ("plan p", "check p"):
        code, planned = type_in(machine, verb)
        assert (code, planned["error"], planned["matches"]) == (3, None, False)
        assert planned == said


def test_what_goes_on_begins_as_it_was_said(type_in, new_state):
    """vGPUs on GPU instances that are only made: what is foretold is a beginning, and says so."""
    machine = vgpu_machine(new_state(), "vendor")
    backed = rule(NVIDIA_CARD, "vgpu, types: {A100-1-5C: 2}, layout: [1g.5gb, 1g.5gb]")
    _, said = type_in(machine, f"apply p {ALLOWED} --dry-run", p=backed)
    assert [change["continues"] for change in said["changes"]] == [True]
    code, done = type_in(machine, f"apply p --yes {ALLOWED}")
    first = without_status(said)
    assert code == 0 and without_status(done)[: len(first)] == first and len(done["steps"]) > len(first)
    for address, facts in said["diff"]["after"].items():
        assert facts == {word: done["diff"]["after"][address][word] for word in facts}
    assert type_in(machine, f"apply p --yes {ALLOWED}")[1]["changed"] is False


def strike(name, address, fault):
    return lambda machine: machine.faults.__setitem__((name, address), fault)


def bug():
    raise ValueError("an unforeseen\nvalue")


LEND, VFS = rule(LONE, "passthrough"), rule(NIC, "sriov, vfs: 3, vf: {driver: vfio-pci}")
BOTH = two((GPU, "passthrough"), (LONE, "passthrough"))

# what goes wrong, the line, exit status, error code, retryable, how its steps end
FAILED = {
    "the kernel refuses, and all is put back": (
        strike("unbind", LONE, errno.EBUSY),
        f"bind {LONE}",
        (1, "kernel-refused", False),
        {"undone", "failed"},
    ),
    "in an apply": (strike("unbind", LONE, errno.EBUSY), "apply lend --yes", (1, "kernel-refused", False), {"undone", "failed"}),
    "after several virtual functions": (
        lambda machine: [strike("drivers_probe", "0000:0a:10.2", errno.EIO)(machine)],
        "apply vfs --yes",
        (1, "kernel-refused", False),
        {"undone", "failed", "not-run"},
    ),
    "one of two": (strike("unbind", LONE, errno.EBUSY), "apply both --yes", (1, "kernel-refused", False), {"done", "undone", "failed"}),
    "it hangs": (strike("unbind", LONE, "hang"), f"bind {LONE}", (5, "not-clean", False), {"done", "failed"}),
    "it hangs in an apply": (strike("unbind", LONE, "hang"), "apply lend --yes", (5, "not-clean", False), {"done", "failed"}),
    "a fault of our own": (strike("unbind", LONE, bug), f"bind {LONE}", (70, "unforeseen", False), {"undone", "failed"}),
    "a fault of our own in an apply": (strike("unbind", LONE, bug), "apply lend --yes", (70, "unforeseen", False), {"undone", "failed"}),
    "refused": (lambda machine: None, f"bind {DISK}", (4, "refused", False), {"not-run"}),
    "refused for its group": (lambda machine: None, f"bind {ACCEL}", (4, "refused", False), {"not-run"}),
    "refused for what others made": (lambda machine: None, "apply foreign --yes", (4, "refused", False), {"not-run"}),
    "no libvirt": (
        lambda machine: setattr(machine, "libvirt_runs", False),
        f"attach vm1 {LONE}",
        (4, "no-libvirt", True),
        set(),
    ),
    "no such domain": (lambda machine: None, f"attach vm9 {LONE}", (2, "usage", False), set()),
    "nobody is asked": (lambda machine: None, "apply lend", (2, "needs-yes", False), {"not-run"}),
    "not a profile": (lambda machine: None, "apply wrong --yes", (2, "profile-invalid", False), set()),
    "no such option": (lambda machine: None, "apply lend --zebra", (2, "usage", False), set()),
    "no such file": (lambda machine: None, "apply none --yes", (2, "usage", False), set()),
    "a domain that is off": (
        lambda machine: machine.libvirt.stop("vm1"),
        "apply off --yes",
        (6, "pending", True),
        {"done"},
    ),
}  # fmt: skip
FILES = {
    "lend": LEND,
    "vfs": VFS,
    "both": BOTH,
    "foreign": rule(PF, "sriov, vfs: 3"),
    "off": LEND + "attachments: [{domain: vm1, device: a}]\n",
    "wrong": "gpus: [{name: a, select: {slot: 3}, use: host, zebra: 1}]\n",
}


@pytest.mark.parametrize("name", FAILED)
def test_what_fails_has_changed_what_it_says(name, type_in, new_state, faults):
    prepare, line, (code, kind, retryable), ends = FAILED[name]
    machine = Machine(new_state())
    prepare(machine)
    had = state(machine)
    ended, told = type_in(machine, line, **FILES)
    error = told["error"]
    assert (ended, error["code"], error["retryable"]) == (code, kind, retryable), error
    assert told["changed"] is (state(machine) != had)
    assert bool(faults) is (kind == "unforeseen")
    assert set(statuses(told)) == ends
    assert "\n" not in error["message"] and error["message"]
    if not told["changed"]:
        assert told["diff"] == {"before": {}, "after": {}}
    if code in (4, 2) and ends:
        dry = type_in(machine, line.replace("--yes", "") + " --dry-run")[1]
        assert kind == "needs-yes" or (dry["error"], dry["changed"], statuses(dry)) == (
            error,
            False,
            statuses(told),
        )


def test_pending_and_its_end(type_in, new_state):
    machine = Machine(new_state())
    type_in(machine, f"attach vm1 {LONE}")
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    had = state(machine)
    code, told = type_in(machine, f"move {LONE} --to vm2 --timeout 1")
    assert (code, told["error"]["code"], told["error"]["retryable"]) == (6, "pending", True)
    assert told["changed"] and state(machine) != had
    assert "pending" in statuses(told) and statuses(told)[-1] == "not-run"
    assert told["diff"] == {"before": {}, "after": {}}
    code, listed = type_in(machine, "recover --dry-run")
    assert (code, listed["changed"], listed["changes"][0]["result"]) == (0, True, "pending")
    had = state(machine)
    code, told = type_in(machine, "recover")
    assert (code, told["changed"], state(machine) == had) == (6, False, True)
    machine.at(100, machine.libvirt.reboot, "vm1")
    code, told = type_in(machine, "recover --wait")
    assert (code, told["changed"], told["changes"][0]["result"], set(statuses(told))) == (
        0,
        True,
        "done",
        {"done"},
    )
    code, told = type_in(machine, "recover")
    assert (code, told["changed"], told["changes"]) == (0, False, [])


class Killed(BaseException):
    """kill -9"""


def killed(machine, monkeypatch, type_in, line, **files):
    """Dies when the driver has changed, with the journal open."""

    def die(step, system, deadline):
        do(step, system, deadline)
        raise Killed

    do = BindDriver.do
    with monkeypatch.context() as patch:
        patch.setattr(BindDriver, "do", die)
        with pytest.raises(Killed):
            type_in(machine, line, **files)


def test_killed_in_between(type_in, new_state, monkeypatch):
    machine = Machine(new_state())
    killed(machine, monkeypatch, type_in, f"bind {LONE}")
    assert machine.driver(LONE) == "vfio-pci"
    code, listed = type_in(machine, "recover --dry-run")
    assert (code, listed["changed"], listed["changes"][0]["result"]) == (0, True, "unfinished")
    assert "done" in statuses(listed) and "pending" in statuses(listed)
    had = state(machine)
    code, told = type_in(machine, "recover")
    assert (code, told["changed"], told["changes"][0]["result"]) == (0, True, "rolled-back")
    assert "undone" in statuses(told) and state(machine) != had and machine.driver(LONE) == "bochs-drm"
    assert type_in(machine, "recover")[1]["changed"] is False


def test_what_a_crash_had_left_is_told_by_whoever_ends_it(type_in, new_state, monkeypatch):
    machine = Machine(new_state())
    killed(machine, monkeypatch, type_in, f"bind {LONE}")
    code, told = type_in(machine, f"unbind {LONE}")
    assert (code, told["changed"]) == (0, True)
    assert [change["result"] for change in told["changes"]] == ["rolled-back", "nothing"]
    killed(machine, monkeypatch, type_in, "apply lend --yes", **FILES)
    code, told = type_in(machine, "apply wanted --yes", wanted=rule(LONE, "host"))
    assert (code, told["changed"]) == (0, True)
    assert [change["result"] for change in told["changes"]] == ["rolled-back", "nothing"]
    killed(machine, monkeypatch, type_in, "apply lend --yes")
    off = two((LONE, "host"), (PF, "sriov, vfs: 3"))
    code, told = type_in(machine, "apply off --yes", off=off)
    assert (code, told["error"]["code"], told["changed"]) == (4, "refused", True)
    assert [change["result"] for change in told["changes"]] == ["rolled-back", "nothing", "not-run"]
    assert machine.open_journals() == [] and machine.driver(LONE) == "bochs-drm"


def test_locked_by_another(type_in, new_state):
    machine = Machine(new_state())
    with hold(machine.state, (LONE,)):
        code, told = type_in(machine, "apply lend --yes --lock-timeout 0", **FILES)
    assert (code, told["error"]["code"], told["error"]["retryable"], told["changed"]) == (
        4,
        "busy",
        True,
        False,
    )


def test_where_in_a_profile(type_in, new_state):
    text = (
        "gpus:\n"
        "  - {name: a, select: {slot: 3}, use: host}\n"
        "  - name: b\n"
        "    select: {slot: x, adress: 1}\n"
        "    use: mig\n"
        "    layout: [1g.5gb, 7]\n"
        "  - nam: c\n"
    )
    _, told = type_in(Machine(new_state()), "apply p --yes", p=text)
    error = told["error"]
    found = [(one["path"], one["line"], one["column"]) for one in error["reasons"]]
    assert (
        ("gpus[1].select.adress", 5, 23) in found
        and ("gpus[2].nam", 8, 5) in found
        and ("gpus[2]", 8, 5) in found
    )
    assert (error["path"], error["file"], error["line"]) == (found[0][0], "p", found[0][1])
    assert all(f"p:{one['line']}:{one['column']}: " in one["message"] for one in error["reasons"])


def test_a_fault_of_our_own_is_one_line_and_exit_70(type_in, new_state, monkeypatch, capsys, faults):
    """Wherever it happens; a verb that reads says it in its own document."""
    machine = Machine(new_state())
    monkeypatch.setattr("gpupass.app.intents.look_around", lambda *_, **__: bug())
    code, told = type_in(machine, f"bind {LONE}")
    assert (code, told["error"]["code"], told["changed"], told["steps"]) == (70, "unforeseen", False, [])
    assert told["error"]["message"].startswith(
        "cannot go on: gpupass has a fault: ValueError: an unforeseen value"
    )
    monkeypatch.setattr(sys, "argv", ["gpupass", "bind", LONE])
    with pytest.raises(SystemExit) as ended:
        main.run()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (70, "") and err.count("\n") == 2 and "hint: " in err
    monkeypatch.setattr("gpupass.inspect.observe", lambda *_, **__: bug())
    code, told = type_in(machine, "list")
    assert (code, told.keys(), told["error"]["code"]) == (70, {"schema", "error"}, "unforeseen")
    assert len(faults) == 3


def test_an_undo_that_has_a_fault_takes_a_person(type_in, new_state, monkeypatch, faults):
    machine = Machine(new_state())
    machine.faults["drivers_probe", LONE] = errno.EIO
    monkeypatch.setattr(BindDriver, "undo", lambda *_: bug())
    had = state(machine)
    code, told = type_in(machine, f"bind {LONE}")
    assert (code, told["error"]["code"], told["changed"]) == (5, "needs-person", True)
    assert "ValueError" in told["error"]["message"] and state(machine) != had


def test_quarantine_clear(type_in, new_state):
    machine = Machine(new_state())
    machine.faults["unbind", LONE] = "hang"
    type_in(machine, f"bind {LONE}")
    had = state(machine)
    assert type_in(machine, f"quarantine clear {LONE} --dry-run")[1]["changed"] and state(machine) == had
    assert type_in(machine, f"quarantine clear {LONE}")[1]["changed"] and state(machine) != had
    for more in ("", "--dry-run"):
        assert not type_in(machine, f"quarantine clear {LONE} {more}")[1]["changed"]


def test_every_error_has_a_word_of_its_own():
    def below(kind):
        return [kind, *(each for one in kind.__subclasses__() for each in below(one))]

    words = [
        kind.__dict__.get("kind") for kind in below(GpupassError) if kind.__module__ != "gpupass.lab.qmp"
    ]
    own = [word for word in words if word is not None]
    assert set(own) >= {"failed", "refused", "usage", "busy", "pending", "needs-person", "unforeseen"}
    assert all(word == word.lower() and " " not in word and "_" not in word for word in own)


def test_every_ending_is_in_the_schema():
    from typing import get_args

    from gpupass.cli.documents.changes import Result

    assert {one.name.lower().replace("_", "-") for one in app.Ending} == set(get_args(Result))


def test_statuses_of_what_has_no_room_to_be_written():
    """Rolled back means that all of it is, whatever the journal could note."""
    operation = engine.Operation(
        id="1",
        title="t",
        steps=(None,) * 3,
        devices=(),
        boot_id="",
        time="",
        before={0: 0, 1: 0},
        done=frozenset({0}),
    )
    error = GpupassError("x")
    outcome = engine.Outcome(operation=operation, result=engine.Result.ROLLED_BACK, error=error)
    assert (outcome.statuses, outcome.stands) == (("undone", "failed", "not-run"), False)


def told_first(said):
    return [change for change in said["changes"] if change["note"] == "a crash had left it open"]


@pytest.mark.parametrize(
    ("begun", "then", "way"),
    [
        (f"bind {LONE}", f"unbind {LONE}", "taken back"),
        ("apply lend --yes", f"bind {LONE}", "taken back"),
        ("apply lend --yes", "apply wanted --yes", "taken back"),
        ("apply lend --yes", "apply lend --yes", "taken back"),
    ],
)
def test_what_a_crash_had_left_is_told_beforehand(begun, then, way, type_in, new_state, monkeypatch):
    """The same change with the same steps comes first; and that what follows may differ is said."""
    machine = Machine(new_state())
    files = {**FILES, "wanted": rule(LONE, "host")}
    killed(machine, monkeypatch, type_in, begun, **files)
    had = state(machine)
    code, said = type_in(machine, then.replace("--yes", "") + " --dry-run", **files)
    assert (code, said["changed"], said["matches"]) == (0, True, False) and state(machine) == had
    assert way in said["warnings"][0]["message"] and "may differ" in said["warnings"][0]["message"]
    code, done = type_in(machine, then, **files)
    assert (code, done["changed"]) == (0, True)
    (foretold,), (ended,) = told_first(said), told_first(done)
    assert said["changes"][0] == foretold and done["changes"][0] == ended
    assert (foretold["title"], foretold["steps"]) == (ended["title"], ended["steps"])
    count = len(ended["steps"])
    assert without_status(said)[:count] == without_status(done)[:count]
    assert set(statuses(said)) == {"planned"}
    assert type_in(machine, then.replace("--yes", "") + " --dry-run", **files)[1]["warnings"] == []


def test_what_containers_are_told_is_foretold_where_it_can_be(type_in, new_state):
    """With devices to change there is only a word of it; without, all of it."""
    machine = Machine(new_state())
    for node in ("/dev/nvidia0", "/dev/nvidiactl"):
        machine.put(node, "")
    wish = {"p": f"{VFS}containers: cdi\n"}
    _, said = type_in(machine, "apply p --dry-run", **wish)
    assert [CDI_FILE in one["message"] for one in said["warnings"]] == [True]
    code, done = type_in(machine, "apply p --yes")
    assert code == 0 and without_status(done)[: len(said["steps"])] == without_status(said)
    assert done["changes"][-1]["title"] == f"write {CDI_FILE}" and done["warnings"] == []
    _, said = type_in(machine, "apply p --dry-run")
    assert not said["changed"] and said["matches"] and said["warnings"] == []
    machine.put(CDI_FILE, "somebody's\n")
    had = state(machine)
    _, said = type_in(machine, "apply p --dry-run")
    assert state(machine) == had and said["changed"] and not said["matches"]
    _, done = type_in(machine, "apply p --yes")
    assert without_status(done) == without_status(said) != [] and done["diff"] == said["diff"]
    assert done["diff"]["after"] and state(machine) != had
    assert not type_in(machine, "apply p --dry-run")[1]["changed"]


def test_what_is_not_done_is_no_change_of_what_would_be_beside(type_in, new_state, monkeypatch):
    """Nobody agrees: a crash is left as it was. What is refused is refused before containers are told."""
    machine = Machine(new_state())
    killed(machine, monkeypatch, type_in, "apply lend --yes", **FILES)
    had = state(machine)
    code, told = type_in(machine, "apply wanted", wanted=rule(LONE, "host"))
    assert (code, told["changed"], state(machine) == had) == (2, False, True), told
    machine = Machine(new_state())
    taken = f"{rule(CONSOLE, 'passthrough')}containers: cdi\n"
    for line in ("apply p --dry-run", "apply p --yes"):
        code, told = type_in(machine, line, p=taken)
        assert (code, told["changed"], machine.exists(CDI_FILE)) == (4, False, False), told
