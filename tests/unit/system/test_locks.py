"""One writer per device, also between processes; the kernel frees what a killed one held."""

import os
import signal
import subprocess
import sys
import time

import pytest

from gpupass.errors import Busy, GpupassError
from gpupass.system.locks import hold

HOLD = """
import sys, time
from pathlib import Path
from gpupass.system.locks import hold
with hold(Path(sys.argv[1]), sys.argv[2:]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds a and b."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), "a", "b"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_is_refused_with_the_first_ones_name(other, tmp_path):
    start = time.monotonic()
    with (
        pytest.raises(Busy, match=f"gpupass process {other.pid} is at work") as busy,
        hold(tmp_path, ["b", "c"], wait=0.1),
    ):
        pass
    assert time.monotonic() - start < 2 and busy.value.exit_code == 4
    with hold(tmp_path, ["c", "d"], wait=0.0):
        pass


def test_what_a_killed_process_held_is_free(other, tmp_path):
    other.send_signal(signal.SIGKILL)
    other.wait()
    with hold(tmp_path, ["a", "b"], wait=0.0):
        pass


def test_a_waiting_one_gets_it_when_it_becomes_free(other, tmp_path):
    os.kill(other.pid, signal.SIGTERM)
    with hold(tmp_path, ["b", "a", "b"], wait=5.0):
        pass


def test_a_place_without_locks_is_an_error_in_words(tmp_path):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "a").symlink_to("/dev/null")
    with pytest.raises(GpupassError, match="cannot lock"), hold(tmp_path, ["a"]):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(GpupassError, match="cannot keep state"), hold(tmp_path / "file", ["a"]):
        pass


def test_a_full_disk_is_no_reason_to_be_refused(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with hold(tmp_path, ["a"], wait=0.0):
        pass


def test_more_locks_than_a_shell_lets_us_have_files_open(tmp_path):
    program = """
import resource, sys
from pathlib import Path
from gpupass.system.locks import hold
resource.setrlimit(resource.RLIMIT_NOFILE, (50, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
with hold(Path(sys.argv[1]), map(str, range(100))):
    pass
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=20)
