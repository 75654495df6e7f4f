"""Fixtures around the simulated machine: nothing of the real one can be seen, no root is needed."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gpupass.engine import journal
from gpupass.store import database, store_of
from gpupass.system.nvml import GpuAnswer
from tests.simulated import NVIDIA, Machine
from tests.simulated_nvml import play


@pytest.fixture
def hidden(monkeypatch):
    """The real machine's names, NVML, user and disks are out of reach."""
    answer = GpuAnswer(bus_id=NVIDIA, uuid="GPU-11111111-2222-3333-4444-555555555555", persistence=True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    monkeypatch.setattr("gpupass.app.promises.own_executable", lambda: "/usr/bin/gpupass")
    monkeypatch.setattr("gpupass.system.names.pci_names", lambda ids: {})
    monkeypatch.setattr("gpupass.observe.nvidia.read_gpus", lambda system, asked: ((answer,), ""))
    monkeypatch.delenv("GPUPASS_CRASH", raising=False)


@pytest.fixture
def nvml(hidden, monkeypatch):
    """The vGPU machine answers for NVML."""
    play(monkeypatch)


@pytest.fixture(scope="session")
def new_state():
    """A new place for gpupass's state, in memory where the system has a place for it."""
    count = 0
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    with TemporaryDirectory(prefix="gpupass-test-", dir=where) as directory:

        def make():
            nonlocal count
            count += 1
            return Path(directory) / str(count)

        yield make


@pytest.fixture
def machine(hidden, new_state):
    return Machine(new_state())


@pytest.fixture
def killed_at_every_line(monkeypatch, new_state):
    """Run a verb once; what a kill -9 at each commit of its store would have left, by point.

    "3-" is just before the third one, "3" just after it: the head has not heard of it.
    """

    def run(machine, verb):
        left, seen = {}, []

        def remember(point):
            twin = machine.clone(new_state())  # nobody looks into a store that commits just now
            moment = (machine.snapshot(twin), journal.open_operations(store_of(twin)), len(machine.log))
            store_of(twin).close()
            if moment in seen[-1:]:  # "3-" is often what "2" was
                shutil.rmtree(twin.state, ignore_errors=True)
            else:
                left[point] = twin
            seen.append(moment)

        with monkeypatch.context() as patch:
            patch.setattr(database, "at_commit", remember)
            patch.setattr(database, "_commits", {})
            verb(machine)
        return left

    return run
