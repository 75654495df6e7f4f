"""What strangers give us to read: two thousand of each always, GPUPASS_FUZZ=100000 for as many as that."""

import os
import sys

import pytest

from tests.fuzz.hosts import MEMORY, fuzz_domains, fuzz_hosts, fuzz_plans

COUNT = int(os.environ.get("GPUPASS_FUZZ", "2000"))
KINDS = {
    "recorded hosts": lambda where: fuzz_hosts(COUNT, where, seed=7),
    "domain definitions": lambda where: fuzz_domains(COUNT, seed=11),
    "saved plans": lambda where: fuzz_plans(COUNT, seed=13),
}


@pytest.mark.parametrize("kind", KINDS)
def test_minced(kind, tmp_path, capsys) -> None:
    minced = KINDS[kind](tmp_path)
    with capsys.disabled():
        sys.stdout.write(
            f"\nfuzz: {COUNT} mutated {kind}: {minced.answered} answered, {minced.refused} refused, "
            f"no traceback, none that took long, grown by {minced.grown >> 20} MiB\n"
        )
    assert minced.answered and minced.refused and minced.grown < MEMORY
