"""Minced state directories: a few thousand always, GPUPASS_FUZZ=100000 for as many as that."""

import os
import sys
from pathlib import Path

from tests.crash.test_profiles import SMALL
from tests.fuzz.states import fuzz_states
from tests.machines import hidden, machine, new_state
from tests.simulated import Machine

__all__ = ["hidden", "machine", "new_state"]
RECORDED = Path(__file__).parents[1] / "unit/store/first_version"


def test_minced_states(capsys, hidden, new_state) -> None:
    machine = Machine(new_state(), SMALL)
    machine.register_driver("igbvf")
    originals = [RECORDED / name / "state" for name in ("killed-apply", "pending")]
    count = int(os.environ.get("GPUPASS_FUZZ", "2000"))
    minced = fuzz_states(machine, originals, new_state(), count, trips=max(200, count // 100), seed=5)
    with capsys.disabled():
        sys.stdout.write(
            f"\nfuzz: {count} mutated journals, records and applies: {minced.damaged} damaged, "
            f"{minced.believed} believed, {minced.trips} of them recovered and rolled back: "
            "no traceback, nothing written elsewhere\n"
        )
    assert minced.damaged and minced.trips
