"""What remembering costs: 50 steps begun and done in the journal, by CPU; in memory: a disk costs its own."""

import os
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.measure import Goal, told
from gpupass.engine import journal
from gpupass.model.address import Address
from gpupass.plan import Plan
from gpupass.steps.bind import BindDriver, Binding
from gpupass.store import Store

STEPS, GPU = 50, Address("0000:01:00.0")
_PLAN = Plan(
    title="bind it again and again",
    steps=(BindDriver(address=GPU, driver="vfio-pci", override="vfio-pci"),) * STEPS,
    devices=(GPU,),
)


def measure(rounds: int) -> None:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        store = Store(Path(directory))
        _journal(store)  # made, opened
        milliseconds = median(_journal(store) for _ in range(max(3, 3 * rounds))) * 1000
        store.close()
    told(f"{STEPS} journalled steps, CPU in ms", milliseconds, Goal(most=10))


def _journal(store: Store) -> float:
    started = time.process_time()
    operation = journal.begin(store, _PLAN, boot_id="boot", time="2026-01-01T00:00:00+00:00", user="root")
    for number in range(STEPS):
        operation = journal.intent(store, operation, number, Binding(driver="nouveau", override=None))
        operation = journal.done(store, operation, number)
    journal.end(store, operation, "done")
    return time.process_time() - started
