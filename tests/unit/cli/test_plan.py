"""The verbs of profiles as an operator types them: exit status, words, JSON, the question, never a traceback."""

import io
import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from threading import Barrier

import pytest

from gpupass.cli import bind, export, history, hotplug, inspect, main, plan
from gpupass.store import store_of
from gpupass.system import interrupts
from tests.simulated import GPU, LONE, NIC, PF, Machine
from tests.simulated_libvirt import REFUSES

HOSTS = Path(__file__).parents[2] / "hosts"
NIC_VFS = ("0000:0a:10.0", "0000:0a:10.2")
LEND = f"version: 1\ngpus: [{{name: render, select: {{address: '{LONE}'}}, use: passthrough}}]\n"
FILES = {
    "lend.yaml": LEND,
    "ctk.yaml": LEND + "containers: nvidia-ctk\n",
    "keep.yaml": LEND.replace("passthrough", "host"),
    "vm1.yaml": LEND + "attachments: [{domain: vm1, device: render}]\n",
    "vm2.yaml": LEND + "attachments: [{domain: vm2, device: render}]\n",
    "vm9.yaml": LEND + "attachments: [{domain: vm9, device: render}]\n",
    "ports.yaml": f"version: 1\ngpus: [{{name: nic, select: {{address: '{NIC}'}}, use: sriov, vfs: 2}}]\n",
    "port.yaml": f"version: 1\ngpus: [{{name: nic, select: {{address: '{NIC}'}}, use: sriov, vfs: 1}}]\n",
    "foreign.yaml": f"version: 1\ngpus: [{{name: nic, select: {{address: '{PF}'}}, use: sriov, vfs: 3}}]\n",
    "nothing.yaml": LEND.replace(LONE, "0000:ee:00.0"),
    "wrong.yaml": "version: 1\ngpus: [{name: a, slect: {slot: 3}, use: host}]\n",
    "many.yaml": LEND + f"attachments: [{{domain: vm1, device: render/vf{'9' * 5000}}}]\n",
    "json.yaml": '{"kind": "something else", "schema": 1}\n',
    "old.plan": '{"schema": 0, "kind": "gpupass plan"}\n',
    "torn.plan": '{"schema": 1, "kind": "gpupass plan", "sour',
    "empty.plan": '{"schema": 1, "kind": "gpupass plan"}\n',
    "strange.plan": '{"schema": 1, "kind": "gpupass plan", "source": "", "connect": "", "profile": "version: 1", '
    '"plans": [], "colour": "red"}\n',
    "deep.plan": '{"schema": 1, "kind": "gpupass plan", "plans": ' + "[" * 100_000,
}


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


@pytest.fixture
def gpupass(machine, monkeypatch, capsys, tmp_path):
    """Run a command line on the simulated machine; `answer`: at a terminal, `given`: from a pipe."""
    for module in (bind, export, history, hotplug, inspect, plan):
        monkeypatch.setattr(module, "System", lambda: machine, raising=False)
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "directory").mkdir()
    (tmp_path / "binary").write_bytes(b"\x7fELF\xff\xfe")

    def run(line, answer=None, given=""):
        stdin = Terminal if answer is not None else io.TextIOWrapper
        monkeypatch.setattr(sys, "argv", ["gpupass", *shlex.split(line)])
        monkeypatch.setattr(sys, "stdin", stdin(io.BytesIO((answer or given).encode())))
        with pytest.raises(SystemExit) as ended:
            main.run()
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        said = [line for line in output.out.splitlines() if line[:1].isalpha()]
        assert len(said) == len(set(said)), output.out
        return ended.value.code, output.out, output.err

    return run


# what was typed before, the line, its exit status, words it must say
LINES = [
    ((), "plan lend.yaml", 3, "bind 0000:02:00.0 to vfio-pci"),
    ((), "plan keep.yaml", 0, "nothing to do: this host is as the profile says"),
    ((), "plan foreign.yaml", 4, "cannot:      0000:05:00.0 has virtual functions that gpupass did not make"),
    ((), "plan ctk.yaml", 4, "cannot:      nvidia-ctk is not installed\n             apt install nvidia-"),
    ((), "plan wrong.yaml", 2, "unknown key 'slect', did you mean 'select'?"),
    ((), "plan many.yaml", 2, "cannot use"),
    ((), "plan nothing.yaml", 2, "this host has none that match"),
    ((), "plan nosuch.yaml", 2, "cannot read nosuch.yaml: No such file or directory"),
    ((), "plan directory", 2, "cannot read directory: Is a directory"),
    ((), "plan binary", 2, "cannot read binary: byte 5 is no UTF-8 text"),
    ((), "plan -", 2, "cannot use <stdin>"),
    ((), "plan", 2, "Missing argument"),
    ((), "plan lend.yaml --out directory", 1, "cannot write directory: it is no ordinary file"),
    ((), "plan lend.yaml --out nosuch/plan", 1, "cannot write nosuch/plan: No such file or directory"),
    ((), "plan vm9.yaml", 4, "libvirt knows no domain vm9: it knows vm1, vm2"),
    ((), "plan ports.yaml", 3, f"have 2 virtual functions on {NIC}"),
    ((), "plan port.yaml", 3, f"have 1 virtual function on {NIC}"),
    (("apply vm1.yaml --yes",), "plan vm2.yaml", 3, f"disrupts:    domain vm1 loses {LONE}"),
    (("plan lend.yaml --out p",), "plan p", 2, "unknown key"),
    ((), "plan foreign.yaml --adopt", 3, f"have 3 virtual functions on {PF}"),
    ((), "plan vm1.yaml --absent", 0, "nothing to do: this host is as the profile says"),
    (("apply vm1.yaml --yes",), "plan vm1.yaml --absent", 3, f"disrupts:    domain vm1 loses {LONE}"),
    ((), "check lend.yaml --absent", 0, "this host is as the profile says"),
    ((), "check foreign.yaml --adopt", 3, "differs:"),
    ((), "check lend.yaml", 3, "differs:"),
    (("apply vm1.yaml --yes",), "check lend.yaml", 3, f"would ask vm1 to let go of {LONE}"),
    (("apply vm1.yaml --yes",), "check vm2.yaml", 3, f"would attach {LONE} to vm2"),
    ((), "check keep.yaml", 0, "this host is as the profile says"),
    ((), "check foreign.yaml", 3, "cannot:"),
    ((), "check ctk.yaml", 3, "cannot:      nvidia-ctk is not installed"),
    (("apply lend.yaml --yes",), "check ctk.yaml", 3, "cannot:      nvidia-ctk is not installed"),
    ((), "check nosuch.yaml", 2, "cannot read"),
    ((), "apply lend.yaml --yes", 0, "done: render: passthrough"),
    ((), "apply lend.yaml", 2, "hint: gpupass apply lend.yaml --yes"),
    ((), "apply lend.yaml --boot", 2, "hint: gpupass apply lend.yaml --boot --yes"),
    ((), "apply lend.yaml --wait 5", 2, "hint: gpupass apply lend.yaml --wait 5 --yes"),
    ((), "apply lend.yaml --json", 2, "--yes"),
    ((), "apply keep.yaml", 0, "nothing to do: this host is as the profile says"),
    ((), "apply keep.yaml --yes --boot", 0, "nothing to do: this host is as the profile says"),
    ((), "apply foreign.yaml --yes", 4, "cannot apply this profile: 0000:05:00.0 has virtual functions"),
    ((), "apply foreign.yaml", 4, "take-over: true"),
    ((), "apply ctk.yaml --yes", 4, "cannot apply this profile: nvidia-ctk is not installed"),
    ((), "apply ctk.yaml --yes --boot", 0, "done: render: passthrough"),
    ((), "apply ctk.yaml --yes --boot", 0, "warning: nvidia-ctk is not installed"),
    (("plan ctk.yaml --out p",), "apply p --yes", 4, "nvidia-ctk is not installed"),
    ((), "apply nothing.yaml --yes", 2, "this host has none that match"),
    ((), "apply nothing.yaml --yes --wait 3", 2, "this host has none that match"),
    ((), "apply nosuch.yaml --yes", 2, "cannot read nosuch.yaml: No such file or directory"),
    ((), "apply directory --yes", 2, "cannot read directory: Is a directory"),
    ((), "apply binary --yes", 2, "cannot read binary: byte 5 is no UTF-8 text"),
    ((), "apply json.yaml --yes", 2, "unknown key"),
    ((), "apply old.plan --yes", 2, "another version of gpupass has made it"),
    ((), "apply torn.plan --yes", 2, "cannot use the plan torn.plan: it is damaged"),
    ((), "apply empty.plan --yes", 2, "cannot use the plan empty.plan: it is damaged"),
    ((), "apply strange.plan --yes", 2, "cannot use the plan strange.plan: it is damaged"),
    ((), "apply deep.plan --yes", 2, "cannot use the plan deep.plan: it is damaged"),
    ((), "apply torn.plan", 2, "hint: gpupass plan FILE --out PLAN"),
    (("plan lend.yaml --out p",), "apply p --yes", 0, "done: render"),
    (("plan lend.yaml --out p",), "apply p", 2, "hint: gpupass apply p --yes"),
    (("plan lend.yaml --out 'a p'",), "apply 'a p'", 2, "hint: gpupass apply 'a p' --yes"),
    (("plan lend.yaml --out p",), "apply p --boot --yes", 2, "cannot wait"),
    (
        ("plan lend.yaml --out p --connect test:///default",),
        "apply p --yes",
        2,
        "apply p --connect test:///default",
    ),
    ((), "plan lend.yaml --out p", 3, "saved in p, sha256 "),
    ((), f"apply lend.yaml --yes --sha256 {64 * '0'}", 4, "not 000000"),
    (("plan lend.yaml --out p", f"bind {LONE}"), "apply p --yes", 4, "the host has changed since"),
    (("apply vm1.yaml --yes",), "apply vm2.yaml --yes", 4, f"domain vm1 would lose {LONE}"),
    (("apply vm1.yaml --yes",), "apply vm2.yaml", 4, "--allow-disruption"),
    (("apply vm1.yaml --yes",), "apply vm2.yaml --yes --allow-disruption", 0, "done: render"),
    (("apply vm1.yaml --yes",), "apply vm2.yaml --yes --boot", 4, f"domain vm1 would lose {LONE}"),
    ((), "apply foreign.yaml --yes --adopt", 0, "done: nic"),
    (("apply vm1.yaml --yes",), "apply vm1.yaml --absent --yes", 4, f"domain vm1 would lose {LONE}"),
    (("apply lend.yaml --yes",), "apply lend.yaml --absent --yes", 0, "done: render: host"),
    (("plan lend.yaml --out p",), "apply p --absent --yes", 2, "cannot read a saved plan otherwise"),
    (("plan lend.yaml --out p",), "apply p --adopt", 2, "hint: gpupass plan FILE --out PLAN --adopt"),
    ((), "rollback --yes", 2, "cannot roll back: nothing has been applied"),
    ((), "rollback --dry-run", 2, "hint: gpupass history"),
    (("apply lend.yaml --yes",), "rollback", 2, "hint: gpupass rollback --yes"),
    (("apply lend.yaml --yes",), "rollback --dry-run", 0, f"bind {LONE} to bochs-drm"),
    (("apply lend.yaml --yes",), "rollback --yes", 0, "done: render: host"),
    (("apply lend.yaml --yes", "rollback --yes"), "rollback --yes", 2, "nothing has been applied"),
    (("apply vm1.yaml --yes",), "rollback --yes", 4, "cannot roll back: it disrupts domain vm1"),
    (("apply vm1.yaml --yes",), "rollback --yes --allow-disruption", 0, "done"),
    ((), "history", 0, "nothing has been changed yet"),
    (("apply lend.yaml --yes",), "history", 0, "apply lend.yaml: done"),
    (("apply lend.yaml --yes", "rollback --yes"), "history", 0, "apply lend.yaml: taken-back"),
    ((f"bind {LONE}",), "history", 0, f"bind {LONE} to vfio-pci: done"),
    ((), "export", 0, "version: 1"),
    ((), "diff lend.yaml lend.yaml", 0, ""),
    ((), "diff lend.yaml keep.yaml", 3, "-  use: passthrough"),
    ((), "diff lend.yaml wrong.yaml", 2, "unknown key"),
    ((), "diff lend.yaml", 2, "Missing argument"),
    ((), "adopt nonsense", 2, "cannot find a device nonsense"),
    ((), f"adopt {PF} --dry-run", 0, f"1. remember the virtual functions of {PF} - adopted"),
    ((), f"adopt {PF}", 0, "done: adopt"),
    ((f"adopt {PF}",), f"adopt {PF}", 0, "nothing to do: adopt"),
    ((f"adopt {PF}",), "apply foreign.yaml --yes", 0, "done: nic"),
    ((), "show render", 2, "cannot find a device render"),
    (("apply lend.yaml --yes",), "show render", 0, LONE),
    (("apply lend.yaml --yes",), "attach vm1 render", 0, f"done: attach {LONE} to vm1"),
    (("apply vm1.yaml --yes",), "move render --to vm2", 0, f"done: move {LONE} from vm1 to vm2"),
    (("apply vm1.yaml --yes",), "detach vm1 render", 0, "done: detach"),
    (("apply ports.yaml --yes",), "attach vm1 nic/vf1", 0, f"done: attach {NIC_VFS[1]} to vm1"),
    (("apply ports.yaml --yes",), "attach vm1 nic/vf2", 2, "cannot find nic/vf2: 0000:0a:00.0 has"),
    (("apply lend.yaml --yes", "rollback --yes"), "show render", 0, LONE),
]


@pytest.mark.parametrize(
    ("before", "line", "wanted", "words"), LINES, ids=[f"{b} {line}" for b, line, *_ in LINES]
)
def test_exit_status_and_words(before, line, wanted, words, gpupass, machine):
    for earlier in before:
        gpupass(earlier)
    state = machine.snapshot()
    code, out, err = gpupass(line)
    assert (code, words in out + err) == (wanted, True), out + err
    if code in (2, 4):
        assert machine.snapshot() == state
        assert "cannot" in out + err or "Usage: " in err


@pytest.mark.parametrize(
    ("before", "line", "wanted"),
    [(before, line, wanted) for before, line, wanted, words in LINES if words != "Missing argument"],
    ids=[f"{b} {line}" for b, line, _, words in LINES if words != "Missing argument"],
)
def test_json_is_all_there_is_on_stdout(before, line, wanted, gpupass):
    for earlier in before:
        gpupass(earlier)
    asks = line.startswith(("apply", "rollback")) and "--yes" not in line and wanted == 0
    code, out, err = gpupass(f"{line} --json")
    document = json.loads(out)
    assert (code, document["schema"]) == (
        2 if asks and "keep" not in line and "dry" not in line else wanted,
        2,
    )
    assert "cannot" not in err
    if code in (1, 2):
        assert document["error"]["exit_code"] == code and document["error"]["message"].startswith("cannot ")
    elif "error" in document:
        assert (document["error"] or {"exit_code": 0})["exit_code"] == (0 if code == 3 else code)


def test_declined(gpupass, machine):
    state = machine.snapshot()
    code, out, err = gpupass("apply lend.yaml", answer="n\n")
    assert (code, machine.snapshot()) == (130, state)
    assert "bind 0000:02:00.0 to vfio-pci" in out and err.endswith("nothing has been changed\n")
    assert gpupass("apply lend.yaml", answer="y\n")[0] == 0 and machine.driver(LONE) == "vfio-pci"


def test_who_may_not_be_disturbed_is_not_asked_about(gpupass):
    gpupass("apply vm1.yaml --yes")
    code, _, err = gpupass("apply vm2.yaml", answer="y\n")
    assert code == 4 and "Do this?" not in err


def test_a_pipe_is_read_once(gpupass, machine, tmp_path):
    """`gpupass apply <(gpupass export)`, and a plan on standard input."""
    assert gpupass("plan - --out p", given=LEND)[0] == 3
    assert gpupass("apply - --yes", given=(tmp_path / "p").read_text())[0] == 0
    read, write = os.pipe()
    os.write(write, FILES["keep.yaml"].encode())
    os.close(write)
    assert gpupass(f"apply /dev/fd/{read} --yes")[0] == 0
    assert machine.driver(LONE) == "bochs-drm"


@pytest.mark.parametrize(
    "line", ["apply lend.yaml --yes", "apply lend.yaml", "apply lend.yaml --boot --yes", "rollback --yes"]
)
def test_not_root(line, gpupass, machine, monkeypatch):
    gpupass("apply keep.yaml --yes")
    gpupass("apply ports.yaml --yes")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    clock = machine.clock
    code, _, err = gpupass(line, answer="y\n")
    assert (code, machine.clock) == (4, clock) and "you are not root" in err and "Do this?" not in err


@pytest.mark.parametrize("line", ["plan lend.yaml", "check lend.yaml", "history", "rollback --dry-run"])
def test_a_state_that_is_closed_to_us_is_said(line, gpupass, machine, monkeypatch):
    gpupass("apply lend.yaml --yes")

    real = os.open

    def closed(path, *arguments, **more):
        if path == machine.state:
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **more)

    store_of(machine).close()
    monkeypatch.setattr(os, "open", closed)
    code, out, err = gpupass(line)
    assert (code, out) == (4, "") and "Permission denied" in err and "hint: run it with sudo" in err


def test_pending(gpupass, machine):
    gpupass("apply vm1.yaml --yes")
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    code, out, _ = gpupass("apply lend.yaml --yes --allow-disruption --timeout 5")
    assert code == 6 and "pending: render" in out


def test_what_waits_is_said_once(gpupass, machine):
    machine.libvirt.stop("vm1")
    gpupass("apply lend.yaml --yes")
    for line in ("apply vm1.yaml --yes", "apply vm1.yaml --yes --wait 3"):
        code, out, err = gpupass(line)
        assert code == 6 and (out + err).count("vm1 is not running") == 1
        assert "as the profile says" not in out


def test_failed_and_a_person_needed(gpupass, machine):
    machine.faults["drivers_probe", LONE] = 5
    code, out, _ = gpupass("apply lend.yaml --yes")
    assert code == 1 and "failed: render" in out
    machine.faults["unbind", LONE] = "hang"
    code, out, _ = gpupass("apply lend.yaml --yes")
    assert code == 5 and "needs a person: render" in out


def test_partly_at_boot(gpupass, machine, tmp_path):
    both = LEND.replace("[{", f"[{{name: foreign, select: {{address: '{PF}'}}, use: sriov, vfs: 3}}, {{")
    (tmp_path / "both.yaml").write_text(both)
    code, out, err = gpupass("apply both.yaml --yes --boot --wait 1")
    assert code == 4 and "done: render" in out and "cannot: 0000:05:00.0 has virtual functions" in err
    assert machine.driver(LONE) == "vfio-pci"


def test_a_boot_whose_last_look_fails_still_tells_what_was_done(gpupass, machine):
    machine.libvirt.stop("vm1")
    machine.at(1, setattr, machine, "libvirt_runs", False)
    code, out, _ = gpupass("apply vm1.yaml --yes --boot --wait 8")
    assert code == 1 and "done: render" in out and "cannot connect to libvirt" in out


def test_what_an_apply_causes_is_no_reason_for_another(gpupass, machine, monkeypatch):
    """A device whose every try fails is tried every few seconds, not as fast as the machine can."""

    def watch(uri):
        seen = len(machine.log)
        return lambda seconds: machine.advance(min(seconds, 5.0 if len(machine.log) == seen else 0.01))

    monkeypatch.setattr(machine, "watch", watch)
    machine.faults["always drivers_probe", LONE] = lambda: (
        None if machine.override(LONE) in (None, "") else fail()
    )

    def fail():
        raise OSError(5, "Input/output error")

    code, _, _ = gpupass("apply lend.yaml --yes --boot --wait 20")
    assert code == 1
    assert len(json.loads(gpupass("history --json")[1])["history"]) <= 6


def test_a_listener_that_goes_away_stops_no_change_half_way(gpupass, machine, monkeypatch):
    def gone(*_, **__):
        raise BrokenPipeError

    class Closed(io.StringIO):
        write = gone

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", Closed())
        main_line = ["gpupass", "apply", "lend.yaml", "--yes"]
        patch.setattr(sys, "argv", main_line)
        with pytest.raises(SystemExit):
            main.run()
    assert machine.driver(LONE) == "vfio-pci" and machine.open_journals() == []


def test_interrupted_while_several_are_at_work(gpupass, machine, tmp_path, monkeypatch):
    """What has begun goes back before its next step; nothing is left open, and the history says so."""
    text = LEND.replace("[{", f"[{{name: card, select: {{address: '{GPU}'}}, use: passthrough}}, {{")
    (tmp_path / "two.yaml").write_text(text)
    begun = Barrier(2)

    def slow_modprobe(argv, seconds=60.0):
        if begun.wait(10) == 0:
            os.kill(os.getpid(), signal.SIGINT)
            while not interrupts.asked():
                time.sleep(0.01)
        begun.wait(10)
        return Machine._run(machine, argv, seconds)

    state = machine.snapshot()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored below a shell's `&`
    with monkeypatch.context() as patch:
        patch.setattr(machine, "_run", slow_modprobe)
        code, _, err = gpupass("apply two.yaml --yes")
    signal.signal(signal.SIGINT, before)
    assert (code, machine.snapshot(), machine.open_journals()) == (130, state, [])
    assert "interrupted: what had begun is rolled back" in err
    assert "apply two.yaml: interrupted" in gpupass("history")[1]


def test_a_recorded_host(gpupass):
    host = f"--host {HOSTS / 'lab-sriov'}"
    code, profile, _ = gpupass(f"export {host}")
    assert code == 0 and profile.startswith("version: 1")
    for line, words in {
        f"plan - {host}": "nothing to do",
        f"check - {host}": "is as the profile says",
    }.items():
        code, out, err = gpupass(line, given=profile)
        assert (code, words in out) == (0, True), out + err
    assert gpupass("plan lend.yaml --host nosuch")[0] == 2
