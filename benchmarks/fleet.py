"""Plays over a fleet with nothing to do: gpupass_profile beside `command:`, and what forks help."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Goal, tell, turns, wall_seconds

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "tests/hosts/lab-simple"
BIN = Path(sys.executable).parent
PROFILE = "version: 1\n"
CHECK = f"{BIN}/gpupass check --json --host {RECORD} -"
TASKS = {
    "gpupass_profile": {
        "gpupass.kvm.gpupass_profile": {
            "profile": PROFILE,
            "host": str(RECORD),
            "state": "checked",
            "executable": f"{BIN}/gpupass",
        }
    },
    "command": {"ansible.builtin.command": {"cmd": CHECK, "stdin": PROFILE}, "changed_when": False},
}


def measure(rounds: int, short: bool) -> None:
    """`rounds` of few hosts for the ratio; of 200 hosts one of each number of forks."""
    goal = Goal(most=1.05)
    with tempfile.TemporaryDirectory() as directory:
        few = 2 if short else 10
        ours, theirs = (_play(Path(directory), name, few) for name in TASKS)
        times = turns(lambda: _seconds(ours), lambda: _seconds(theirs), rounds)
        tell(f"gpupass_profile / command:, {few} hosts, nothing to do", *times, "wall", goal)
        if short:
            return
        one = _seconds(_play(Path(directory), "gpupass_profile", 1))
        for forks in (5, 20):
            many = _seconds(_play(Path(directory), "gpupass_profile", 200), "--forks", str(forks)) / 200
            tell(f"a host of 200, {forks} forks / one host alone", many, one, many / one, "wall")


def _play(directory: Path, name: str, hosts: int) -> Path:
    """JSON is YAML."""
    play = directory / f"{name}-{hosts}.yml"
    task = {"name": name, **TASKS[name]}
    play.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"all": {"vars": local, "hosts": {f"host{number}": {} for number in range(hosts)}}}
    play.with_suffix(".inventory.yml").write_text(json.dumps(inventory))
    return play


def _seconds(play: Path, *arguments: str) -> float:
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "gpupass"),
        "ANSIBLE_HOME": str(play.parent),
        "LC_ALL": "C.UTF-8",
    }
    argv = [BIN / "ansible-playbook", "-i", play.with_suffix(".inventory.yml"), play, *arguments]

    def run() -> None:
        done = subprocess.run(
            argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if done.returncode:
            raise SystemExit(f"bench: ansible-playbook ended with {done.returncode}:\n{done.stdout.decode()}")

    return wall_seconds(run)
