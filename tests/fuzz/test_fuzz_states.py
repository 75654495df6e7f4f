"""Minced state directories: a few thousand always, GPUPASS_FUZZ=100000 for as many as that."""

import os
import sys

from tests.crash.test_profiles import GIVEN, SMALL, TAKEN, apply_it
from tests.fuzz.states import fuzz_states
from tests.machines import hidden, killed_at_every_line, machine, new_state
from tests.profile_trips import apply
from tests.simulated import Machine

__all__ = ["hidden", "killed_at_every_line", "machine", "new_state"]


def test_minced_states(capsys, hidden, new_state, killed_at_every_line) -> None:
    machine = Machine(new_state(), SMALL)
    machine.register_driver("igbvf")
    given = list(killed_at_every_line(machine, apply_it(GIVEN)).values())
    taken = list(killed_at_every_line(machine, apply_it(TAKEN)).values())
    apply(machine, GIVEN, allow_disruption=True)
    originals = [*given[3::4], *taken[3::4], machine]
    count = int(os.environ.get("GPUPASS_FUZZ", "2000"))
    minced = fuzz_states(originals, new_state(), count, trips=max(200, count // 100), seed=5)
    with capsys.disabled():
        sys.stdout.write(
            f"\nfuzz: {count} mutated journals, records and applies: {minced.aside} set aside, "
            f"{minced.believed} believed, {minced.trips} of them recovered and rolled back: "
            "no traceback, nothing written elsewhere\n"
        )
    assert minced.aside and minced.trips
