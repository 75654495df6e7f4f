"""The changing verbs as an operator types them: exit status, one line and a hint, JSON, never a traceback."""

import json
import sys

import pytest

from gpupass.cli import inspect, main, recover
from tests.simulated import ACCEL, DISK, GPU, LONE, USB
from tests.simulated_libvirt import REFUSES


@pytest.fixture
def gpupass(machine, monkeypatch, capsys):
    """Run a command line on the simulated machine: exit status, stdout, stderr."""
    for module in (inspect, recover):
        monkeypatch.setattr(module, "System", lambda: machine)

    def run(line):
        monkeypatch.setattr(sys, "argv", ["gpupass", *line.split()])
        with pytest.raises(SystemExit) as ended:
            main.run()
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        return ended.value.code, output.out, output.err

    return run


LINES = {
    f"bind {LONE}": (0, "done: bind"),
    f"bind {DISK}": (4, "root disk"),
    f"bind {ACCEL} --with {USB}": (0, "done"),
    f"bind {LONE} --driver nosuch": (2, "hint: modprobe nosuch"),
    "bind nonsense": (2, "hint: gpupass list --all"),
    "bind": (2, "Missing argument"),
    f"bind {LONE} --colour": (2, "No such option"),
    f"bind {GPU} --dry-run": (0, "1. load the kernel module vfio-pci"),
    f"unbind {LONE}": (0, "nothing to do"),
    f"attach vm1 {LONE}": (0, "done"),
    f"attach vm9 {LONE}": (2, "hint: virsh list --all"),
    f"attach vm1 {LONE} --timeout -1": (2, "is not in the range"),
    f"detach vm1 {LONE}": (0, "nothing to do"),
    f"move {LONE} --to vm2": (0, "done"),
    f"move {LONE}": (2, "Missing option '--to'"),
    "recover": (0, "nothing to do"),
    "recover --dry-run": (0, "nothing is unfinished"),
    "quarantine list": (0, "no device is quarantined"),
    f"quarantine clear {LONE}": (0, "nothing to do"),
    "quarantine clear nonsense": (2, "cannot find a device"),
}


@pytest.mark.parametrize("line", LINES)
def test_exit_status_and_words(line, gpupass):
    wanted, words = LINES[line]
    code, out, err = gpupass(line)
    assert (code, words in (err if code else out)) == (wanted, True), out + err


def test_json_of_a_refusal_holds_every_reason(gpupass, machine):
    machine.libvirt.guests["vm1"].hard_limit = 1
    machine.libvirt.guests["vm1"].job = "a bounded job"
    code, out, err = gpupass(f"attach vm1 {LONE} --json")
    document = json.loads(out)
    assert (code, err, document["schema"], document["error"]["exit_code"]) == (4, "", 2, 4)
    assert len(document["error"]["reasons"]) == 2
    assert all(reason["message"] and reason["remedy"] for reason in document["error"]["reasons"])
    code, out, err = gpupass(f"attach vm1 {LONE}")
    assert (code, out) == (4, "") and "2 reasons" in err and err.count("\n") == 5


def test_json_of_a_success(gpupass):
    code, out, _ = gpupass(f"attach vm1 {LONE} --json")
    document = json.loads(out)
    (result,) = document["changes"]
    assert (code, result["result"], result["devices"]) == (0, "done", [LONE])
    assert [step["step"] for step in document["steps"]][-1] == "AttachDevice"


def test_pending_and_its_end(gpupass, machine):
    gpupass(f"attach vm1 {LONE}")
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    code, _, err = gpupass(f"move {LONE} --to vm2 --timeout 1")
    assert code == 6 and "pending: move" in err and "hint: gpupass recover --wait" in err
    code, out, _ = gpupass("recover")
    assert code == 6 and out.startswith("pending: move")
    code, out, _ = gpupass("recover --dry-run --json")
    assert [entry["devices"] for entry in json.loads(out)["changes"]] == [[LONE]]
    machine.at(100, machine.libvirt.reboot, "vm1")
    code, out, _ = gpupass("recover --wait")
    assert code == 0 and out.startswith("done: move")


def test_quarantine(gpupass, machine):
    machine.faults["unbind", LONE] = "hang"
    code, _, err = gpupass(f"bind {LONE}")
    assert code == 5 and "gpupass quarantine clear" in err
    code, out, _ = gpupass("quarantine list")
    assert code == 0 and out.startswith(LONE)
    assert json.loads(gpupass("quarantine list --json")[1])["quarantine"][0]["carrier"] == LONE
    assert gpupass(f"quarantine clear {LONE}")[0] == 0


def test_a_recover_that_fails_says_so(gpupass, machine):
    gpupass(f"attach vm1 {LONE}")
    machine.libvirt.stop("vm1")
    machine.libvirt_runs = False
    code, out, _ = gpupass("recover")
    assert code == 1 and "cannot connect to libvirt" in out
