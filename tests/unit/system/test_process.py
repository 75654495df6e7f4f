"""External commands: bounded, left behind when nothing ends them, and a failure told once."""

import os
import time

import pytest

from gpupass.errors import GpupassError, NotClean
from gpupass.system import System, process
from gpupass.system.process import run


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("gpupass-no-such-command",), "it is not installed"),
        (("/etc/passwd",), "Permission denied"),
        (("false",), "exit 1"),
        (("sh", "-c", "echo first >&2; echo last >&2; exit 3"), "last"),
        (("sleep", "5"), "no end within 0.1 s"),
        (("sh", "-c", "trap '' TERM; sleep 5 & wait"), "no end within 0.1 s"),
    ],
)
def test_failures(argv, words):
    with pytest.raises(GpupassError, match=words) as failed:
        run(argv, 0.1 if "within" in words else 5)
    assert failed.value.exit_code == 1


def test_output_that_is_no_text():
    assert run(("printf", r"a\377b")) == "a\ufffdb"


def test_what_a_command_leaves_behind_may_keep_its_output(tmp_path):
    """udevadm and systemctl start daemons; a pipe would be open until those end."""
    started = time.monotonic()
    assert run(("sh", "-c", "echo $$; setsid sleep 30 & echo done"), 20).endswith("done\n")
    assert time.monotonic() - started < 15


def test_output_without_end_is_refused_to_the_command():
    with pytest.raises(GpupassError, match="Operation not permitted"):
        run(("cat", "/dev/zero"), 30)


def test_nothing_of_ours_is_inherited(monkeypatch):
    monkeypatch.setenv("LD_PRELOAD_X", "1")
    monkeypatch.setenv("PATH", "/tmp")
    words = set(run(("env",)).splitlines())
    assert words - {f"{name}={value}" for name, value in process.ENVIRONMENT.items()} <= {
        "PWD=/",
        "_=/usr/bin/env",
    }


def test_one_that_no_kill_ends_is_left_behind(monkeypatch):
    """In state D: the signal waits with it."""
    sent = []
    monkeypatch.setattr(process, "_DYING", 0.1)
    monkeypatch.setattr(os, "killpg", lambda pid, signal: sent.append(pid))
    started = time.monotonic()
    with pytest.raises(NotClean, match="sleep does not end") as hung:
        System().run("sleep", "30", timeout=0.1, about=("0000:01:00.0", "0000:02:00.0"))
    assert time.monotonic() - started < 10 and hung.value.addresses == ("0000:01:00.0", "0000:02:00.0")
    with pytest.raises(GpupassError, match="it does not end"):
        System().run("sleep", "30", timeout=0.1)
    monkeypatch.undo()
    for pid in sent:
        os.killpg(pid, 9)
