"""How often a change looks, and how many files that reads: counts are facts, not times."""

from pathlib import Path

import pytest

from gpupass import app
from gpupass.app.apply import apply_profile, plan_apply
from gpupass.app.reach import Reach
from gpupass.app.session import Session
from gpupass.system import RecordedHost
from tests.counted import LISTS, READS, Asked
from tests.profile_trips import profile_of
from tests.simulated import GPU

DIRECTORY = Path(__file__).parents[2] / "hosts"
HOSTS = sorted(path.name for path in DIRECTORY.iterdir() if (path / "sys").is_dir())
COUNTS = {
    "attach": {"look 1": 40, "BindDriver": 12, "ResetDevice": 4, "look 2": 48, "verb": 10},
    "move": {"look 1": 48, "ResetDevice": 4, "look 2": 48, "verb": 16},
    "detach": {"look 1": 48, "ResetDevice": 4, "look 2": 44, "verb": 15},
    "unbind": {"look 1": 44, "BindDriver": 10, "look 2": 41, "verb": 4},
}
"""By who reads: two full looks, what a step looks at before and after its write; the verb: who is there, before each."""


@pytest.fixture
def verbs(machine, monkeypatch):
    """One after the other with the same card of two functions, among 22."""
    calls = {
        "attach": ("vm1", GPU),
        "move": (GPU, "vm2"),
        "detach": ("vm2", GPU),
        "unbind": (GPU,),
    }
    found = {}
    for verb, arguments in calls.items():
        with monkeypatch.context() as patch:
            found[verb] = Asked(patch, machine)
            getattr(app, verb)(machine, *arguments)
    return found


@pytest.mark.parametrize("verb", COUNTS)
def test_files_read(verbs, verb):
    assert dict(verbs[verb].reads()) == COUNTS[verb]


@pytest.mark.parametrize("verb", COUNTS)
def test_a_look_reads_a_file_once(verbs, verb):
    found = verbs[verb].twice(READS, LISTS)
    assert found == [], str(found)


def test_an_apply_looks_once_before_its_locks_once_a_round_and_at_the_end(machine, monkeypatch):
    """What was seen for the plan that people are shown says what to lock."""
    profile = f"gpus: [{{name: a, select: {{address: '{GPU}'}}, use: passthrough}}]"
    asked = Asked(monkeypatch, machine)
    session, reach = Session(machine), Reach(profile=profile_of(profile))
    shown = plan_apply(session, reach)
    assert apply_profile(session, reach, shown=shown).done and asked.looks == 3
    assert not plan_apply(session, reach).to_do and asked.looks == 4
    assert asked.twice(READS) == []


@pytest.mark.parametrize("name", HOSTS)
def test_a_look_at_a_recorded_host_reads_a_file_once(name, monkeypatch):
    host = RecordedHost(DIRECTORY / name)
    asked = Asked(monkeypatch, host)
    asked.look(host, nodes=True, programs=True)
    assert asked.twice(READS) == []
