"""What the README tells a newcomer to type is typed here, in its order, as written."""

import os
import pty
import re
import select
import shlex
import subprocess
import sys
import termios
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.lab

ROOT = Path(__file__).resolve().parents[2]


def commands(heading):
    """The lines of the console block below a heading, without their comments."""
    section = (ROOT / "README.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    block = re.search(r"```console\n(.*?)```", section, re.DOTALL)[1]
    return [line for raw in block.splitlines() if (line := raw.partition(" #")[0].strip())]


def typed_into(argv, line):
    """On a terminal: wait until readline listens, type the line; the last number said and the status."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    shell = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT)
    os.close(theirs)
    said, typed = "", False
    while select.select([ours], [], [], 60)[0]:
        try:
            said += os.read(ours, 4096).decode(errors="replace")
        except OSError:  # the terminal has ended with its program
            break
        if not typed and "\x1b[?2004h" in said:
            os.write(ours, line.encode() + b"\r")
            typed = True
    os.close(ours)
    words = [text.strip() for text in said.splitlines() if text.strip().isdecimal()]
    return words[-1] if words else said, shell.wait(timeout=60)


@pytest.mark.parametrize(
    ("heading", "least"), [("First steps", 8), ("Profiles", 8), ("Ways to share a GPU", 1)]
)
def test_steps(simple, heading, least):
    lines = commands(heading)
    assert len(lines) >= least
    for line in lines:
        done = simple.lab.run(["sh", "-c", line], timeout=300)
        assert done.returncode == 0, f"{line}\n{done.text}{done.stderr.decode()}"


def test_installation(tmp_path):
    """In another directory than /opt and without apt and sudo; everything else as written."""
    target = tmp_path / "gpupass"
    venv.create(target, with_pip=True)
    pip, _link = [line for line in commands("Install on a real host") if "/opt/gpupass" in line][1:]
    argv = shlex.split(pip.replace("/opt/gpupass", str(target)))
    subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([target / "bin/gpupass", "list", "--json"], capture_output=True, text=True)
    assert done.returncode == 0 and '"schema": 2' in done.stdout, done.stderr


def test_the_lab(hosts):
    hosts.close()
    gpupass = [sys.executable, "-m", "gpupass"]
    for line in commands("The lab"):
        words = shlex.split(line)
        assert words[:2] == ["gpupass", "lab"]
        argv = [*gpupass, "lab", "--name", "test-readme", *words[2:]]
        if words[2] == "shell":
            assert typed_into(argv, "echo $((40 + 2)); exit 7") == ("42", 7)
            continue
        done = subprocess.run(argv, capture_output=True, text=True, timeout=400, cwd=ROOT)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def test_the_demo(hosts):
    hosts.close()
    done = subprocess.run([ROOT / "scripts/demo"], capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    for what in ("root disk", "pending: move", "exit status 137", "Measured"):
        assert what in done.stdout + done.stderr
