"""The benchmarks run; what they find is for people to read."""

import subprocess
from pathlib import Path

from benchmarks import move
from tests.simulated import LONE

ROOT = Path(__file__).parents[3]


def test_the_program_runs_the_parts_it_is_asked_for() -> None:
    """All of them, in their short form, are a suite of scripts/test."""
    argv = [ROOT / "scripts/bench", "--short", "reads", "lines"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = {line.split("  ")[0] for line in done.stdout.splitlines()}
    assert {"files read by move, of two functions"} <= told


def test_moves_are_timed_until_the_guest_has_it_and_until_verified(machine) -> None:
    arrived, verified = move.gpupass_moves(machine, LONE, 3)
    assert len(arrived) == len(verified) == 3
    assert all(0 < there < whole for there, whole in zip(arrived, verified, strict=True))
    assert machine.libvirt.holders(LONE) == []


def test_virsh_is_given_the_same_device() -> None:
    assert "domain='0x0000' bus='0x02' slot='0x00' function='0x1'" in move.hostdev("0000:02:00.1")
