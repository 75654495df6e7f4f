"""Writes from a child: what the kernel answers comes back, what hangs is left behind."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpupass.system.guarded import Hung, write_guarded


def test_it_writes(tmp_path):
    target = tmp_path / "override"
    target.write_text("")
    write_guarded(str(target), "vfio-pci\n", 5)
    assert target.read_text() == "vfio-pci\n"


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/nonexistent/unbind", errno.ENOENT),
        ("/proc", errno.EISDIR),
        ("/proc/self", errno.ELOOP),
        ("/dev/full", errno.ENOSPC),
    ],
)
def test_the_kernels_refusal_comes_back(path, number):
    with pytest.raises(OSError) as refused:
        write_guarded(path, "x", 5)
    assert refused.value.errno == number


@pytest.fixture
def fifo(tmp_path):
    """Opening it for writing blocks until somebody reads."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return str(path)


def test_a_write_that_hangs_is_left_behind(fifo):
    start = time.monotonic()
    with pytest.raises(Hung) as hung:
        write_guarded(fifo, "x", 0.1)
    assert time.monotonic() - start < 2
    assert hung.value.where
    assert os.waitpid(hung.value.pid, 0)[1] == signal.SIGKILL


def test_the_child_keeps_neither_our_locks_nor_our_output(fifo, tmp_path):
    """An unbind that hangs for ever cannot be killed: nobody may wait for the child's files to close."""
    lock = tmp_path / "lock"
    program = f"""
import fcntl, os, sys
from gpupass.system import guarded
lock = os.open({str(lock)!r}, os.O_CREAT | os.O_RDWR)
fcntl.flock(lock, fcntl.LOCK_EX)
os.kill = lambda *_: None  # as if it were uninterruptible
try:
    guarded.write_guarded({fifo!r}, "x", 0.1)
except guarded.Hung as hung:
    print(hung.pid, flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=10, check=True
    )
    pid = int(done.stdout)
    try:
        import fcntl

        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(pid, 0)  # it is alive
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_child_that_outlives_us_does_nothing_but_its_write(fifo, tmp_path):
    """Killed while the kernel was slow: nobody listens to the answer, and nobody may roll back without locks."""
    escaped = tmp_path / "escaped"
    program = f"""
import os
from gpupass.system.guarded import write_guarded
try:
    write_guarded({fifo!r}, "x", 60)
except BaseException:
    os.close(os.open({str(escaped)!r}, os.O_CREAT | os.O_WRONLY))
"""
    writer = subprocess.Popen([sys.executable, "-c", program])
    child = _child_of(writer.pid)
    writer.kill()
    writer.wait()
    assert Path(fifo).read_bytes() == b"x"
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while (child / "cmdline").read_bytes():  # empty: a zombie that nobody has fetched yet
            time.sleep(0.01)
    assert not escaped.exists()


def _child_of(pid):
    """Once it has left our session, it is in its write."""
    while True:
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == pid and fields[3] == process.name:
                    return process
        time.sleep(0.01)


def test_more_files_open_than_select_knows(tmp_path):
    program = f"""
import os, resource
from gpupass.system.guarded import write_guarded
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4000), hard))
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
write_guarded({str(tmp_path / "file")!r}, "x", 5)
"""
    (tmp_path / "file").touch()
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
    assert (tmp_path / "file").read_text() == "x"
