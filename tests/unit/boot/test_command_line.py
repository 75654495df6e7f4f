"""The verbs as an operator types them: the diff, the question, exit status, JSON, never a traceback."""

import io
import json
import sys

import pytest

from gpupass.cli import boot, main
from gpupass.errors import Refused
from tests.simulated import DISK, GPU


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def gpupass(machine, monkeypatch, capsys, tmp_path):
    """Run a command line on a simulated Debian; `answer` None: stdin is no terminal."""
    machine.debian()
    monkeypatch.setattr(boot, "System", lambda: machine)
    monkeypatch.setattr(boot, "own_executable", lambda: "/usr/bin/gpupass")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpus.yaml").write_text("version: 1\n")

    def run(line, answer=None):
        monkeypatch.setattr(sys, "argv", ["gpupass", *line.split()])
        monkeypatch.setattr(sys, "stdin", io.StringIO() if answer is None else Terminal(answer))
        with pytest.raises(SystemExit) as ended:
            main.run()
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        return ended.value.code, output.out, output.err

    return run


LINES = {
    "enable gpus.yaml --yes": (0, "+++ /etc/systemd/system/gpupass.service"),
    "enable gpus.yaml --dry-run": (0, "planned: enable"),
    "enable gpus.yaml": (2, "--yes"),
    "enable nosuch.yaml --yes": (2, "cannot read"),
    "enable": (2, "Missing argument"),
    "disable": (0, "nothing to do"),
    f"host early-bind {GPU} --yes": (0, '+ACTION=="add"'),
    f"host early-bind {GPU} --dry-run": (0, "+softdep nouveau pre: vfio-pci"),
    f"host early-bind {GPU}": (2, f"hint: gpupass host early-bind {GPU} --yes"),
    f"host early-bind {DISK} --yes": (4, "root disk"),
    "host early-bind nonsense --yes": (2, "hint: gpupass list --all"),
    "host early-bind": (2, "no device is named"),
    "host early-bind --undo": (0, "nothing to do"),
}


@pytest.mark.parametrize("line", LINES)
def test_exit_status_and_words(line, gpupass, machine):
    wanted, words = LINES[line]
    before = machine.snapshot()
    code, out, err = gpupass(line)
    assert (code, words in (err if code else out)) == (wanted, True), out + err
    assert (machine.snapshot() != before) == (code == 0 and "--yes" in line)


def test_the_question(gpupass, machine):
    before = machine.snapshot()
    code, out, err = gpupass(f"host early-bind {GPU}", answer="n\n")
    assert (code, machine.snapshot()) == (130, before)
    assert "from the next boot on?" in err and "+++ /etc/udev/rules.d/10-gpupass-early.rules" in out
    code, out, _ = gpupass(f"host early-bind {GPU}", answer="y\n")
    assert code == 0 and "done: bind" in out and machine.snapshot() != before
    code, out, _ = gpupass("host early-bind --undo --yes")
    assert code == 0 and "-softdep nouveau" in out and machine.snapshot() == before


def test_json(gpupass):
    code, out, err = gpupass("enable gpus.yaml --json")
    assert (code, err, json.loads(out)["error"]["exit_code"]) == (2, "", 2)
    for line, steps in {"enable gpus.yaml --json --yes": 6, "disable --json": 6}.items():
        code, out, err = gpupass(line)
        (result,) = json.loads(out)["changes"]
        assert (code, err, result["result"], len(result["steps"])) == (0, "", "done", steps)


def test_a_program_that_others_can_change(gpupass, monkeypatch):
    def refuse():
        raise Refused("cannot let systemd run /tmp/gpupass as root: others can change /tmp", "sudo …")

    monkeypatch.setattr(boot, "own_executable", refuse)
    assert gpupass("enable gpus.yaml --yes")[0] == 4
