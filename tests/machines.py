"""Fixtures around the simulated machine: nothing of the real one can be seen, no root is needed."""

import os
import signal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.simulated import Machine


class Killed(BaseException):
    """What SIGKILL is to a process: nothing catches it."""


@pytest.fixture
def hidden(monkeypatch):
    """The real machine's names, NVML, user and disks are out of reach."""
    from gpupass.system.nvml import GpuAnswer
    from tests.simulated import NVIDIA

    answer = GpuAnswer(bus_id=NVIDIA, uuid="GPU-11111111-2222-3333-4444-555555555555", persistence=True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setattr("gpupass.system.names.pci_names", lambda ids: {})
    monkeypatch.setattr("gpupass.observe.nvidia.read_gpus", lambda: (answer,))
    monkeypatch.delenv("GPUPASS_CRASH", raising=False)


@pytest.fixture
def new_machine(hidden):
    """As many fresh machines as a test wants; their state in memory where the system has a place for it."""
    count = 0
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    with TemporaryDirectory(prefix="gpupass-test-", dir=where) as directory:

        def make():
            nonlocal count
            count += 1
            return Machine(Path(directory) / str(count))

        yield make


@pytest.fixture
def machine(new_machine):
    return new_machine()


@pytest.fixture
def crash_at(monkeypatch):
    """Die at a point of the journal: "3-" before line 3 is written, "3" after; None: never."""

    def kill(pid, number):
        assert (pid, number) == (os.getpid(), signal.SIGKILL)
        monkeypatch.delenv("GPUPASS_CRASH")
        raise Killed

    monkeypatch.setattr(os, "kill", kill)

    def choose(point):
        if point is None:
            monkeypatch.delenv("GPUPASS_CRASH", raising=False)
        else:
            monkeypatch.setenv("GPUPASS_CRASH", point)

    return choose
