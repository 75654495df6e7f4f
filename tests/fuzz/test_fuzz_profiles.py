"""Minced profiles: a few thousand always, GPUPASS_FUZZ=100000 for as many as that."""

import os
import sys

from tests.fuzz.profiles import fuzz_profiles


def test_minced_profiles(capsys) -> None:
    count = int(os.environ.get("GPUPASS_FUZZ", "2000"))
    valid = fuzz_profiles(count, seed=3)
    with capsys.disabled():
        sys.stdout.write(
            f"\nfuzz: {count} mutated profiles, {valid} valid, {count - valid} refused, no traceback\n"
        )
    assert 0 < valid < count
