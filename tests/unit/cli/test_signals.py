"""Signals to a real process: a look ends at once, a change before its next step, and at the second signal at once."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from gpupass.engine import journal
from gpupass.store import Store
from tests.simulated import GPU, GPU_AUDIO

ROOT = Path(__file__).parents[3]
MACHINE = """
import json, sys
from pathlib import Path
from gpupass.cli import inspect, main
from gpupass.engine import journal
from gpupass.store import Store
from tests.simulated import Machine

class Slow(Machine):
    def _write(self, path, value, seconds=10.0):
        print("writes", path, flush=True)
        sys.stdin.readline()
        super()._write(path, value, seconds)

machine = Slow(Path(sys.argv[1]))
inspect.System = lambda: machine
sys.argv[1:] = sys.argv[2:]
try:
    main.run()
except SystemExit as end:
    print(json.dumps({"status": end.code, "drivers": machine.snapshot()["drivers"]}), flush=True)
"""


def started(*argv):
    return subprocess.Popen(
        [sys.executable, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture
def silent(tmp_path):
    """A libvirt that takes connections and says nothing; its URI."""
    pytest.importorskip("libvirt")
    server, held = socket.socket(socket.AF_UNIX), []
    server.bind(str(tmp_path / "socket"))
    server.listen(8)

    def accept():
        while True:
            try:
                held.append(server.accept())
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    yield f"qemu+unix:///system?socket={tmp_path / 'socket'}", held
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def test_a_libvirt_that_says_nothing_is_told_and_hides_nothing(silent):
    uri, _ = silent
    began = time.monotonic()
    out, err = started("-m", "gpupass", "list", "--all", "--json", "--connect", uri).communicate(timeout=60)
    assert time.monotonic() - began < 15
    unseen = [note for note in json.loads(out)["unseen"] if note.startswith("libvirt")]
    assert unseen[0].startswith("libvirt: does not answer (asked for 10 s)") and "Traceback" not in err


def test_a_look_ends_at_once(silent):
    uri, held = silent
    process = started("-m", "gpupass", "list", "--connect", uri)
    while not held:
        time.sleep(0.01)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and time.monotonic() - began < 5
    assert "Traceback" not in err


@pytest.fixture
def change(tmp_path, hidden):
    process = started("-c", MACHINE, str(tmp_path / "state"), "bind", GPU)
    yield process
    process.kill()
    process.communicate()


def until(process, words):
    line = process.stdout.readline()
    while words not in line:
        assert line, process.stderr.read()
        process.stdin.write("\n")
        process.stdin.flush()
        line = process.stdout.readline()


def opened(tmp_path):
    with closing(Store(tmp_path / "state")) as store:
        return len(list(journal.open_operations(store)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_change_stops_before_its_next_step_and_goes_back(number, change, tmp_path):
    until(change, f"{GPU}/driver/unbind")
    change.send_signal(number)
    assert "to roll back" in change.stderr.readline()
    change.stdin.write("\n" * 100)
    out, err = change.communicate(timeout=60)
    ended = json.loads(out.splitlines()[-1])
    assert (ended["status"], ended["drivers"][GPU]) == (130, "nouveau")
    assert f"{GPU_AUDIO}/driver/unbind" not in out and "what had begun is rolled back" in err
    assert opened(tmp_path) == 0


def test_the_second_signal_ends_it_at_once(change, tmp_path):
    until(change, f"{GPU}/driver/unbind")
    change.send_signal(signal.SIGINT)
    change.stderr.readline()
    change.send_signal(signal.SIGINT)
    assert change.wait(60) == 130
    assert "hint: gpupass recover" in change.stderr.read()
    assert opened(tmp_path) == 1
