"""How many files a verb reads, in its looks and in its steps: counted on the simulated machine."""

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from gpupass import app
from gpupass.observe import look
from tests.simulated import GPU, Machine

LOOK = look.observe.__code__


class Counting(Machine):
    """Notes who reads: a look, or whatever stands between looks."""

    def __init__(self, state: Path) -> None:
        self.reads: Counter[str] = Counter()
        self.looks: set[int] = set()
        super().__init__(state)

    def read_bytes(self, path: str, limit: int = 1 << 24) -> bytes | None:
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code is not LOOK:
            frame = frame.f_back
        if frame.f_code is LOOK:
            self.looks.add(id(frame))
        self.reads["looks" if frame.f_code is LOOK else "steps"] += 1
        return super().read_bytes(path, limit)


def measure() -> None:
    with (
        tempfile.TemporaryDirectory() as state,
        patch.object(os, "geteuid", lambda: 0),
        patch("gpupass.system.names.pci_names", lambda ids: {}),
    ):
        machine = Counting(Path(state))
        for name, verb in _verbs(machine).items():
            machine.reads.clear()
            verb()
            looks, steps = machine.reads["looks"], machine.reads["steps"]
            print(f"{f'files read by {name}, of two functions':<58} {looks + steps:6}    "
                  f"({looks} in looks, {steps} in steps and beside)", flush=True)  # fmt: skip


def _verbs(machine: Machine) -> dict[str, Callable[[], object]]:
    return {
        "attach": lambda: app.attach(machine, "vm1", GPU),
        "move": lambda: app.move(machine, GPU, "vm2"),
        "detach": lambda: app.detach(machine, "vm2", GPU),
    }
