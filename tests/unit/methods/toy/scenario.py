"""Run in a copy of the house that has the toy in METHODS: a profile, and everything that knows of ways."""

import json

import pytest

from gpupass import inspect
from gpupass.app import verbs
from gpupass.app.intents import QEMU
from gpupass.model.address import sysfs
from gpupass.profiles import profile_schema, write_profile
from tests.profile_trips import apply, endings, exported, kinds, plan, rollback
from tests.simulated import LONE

LANES = f"gpus: [{{name: gpu, select: {{address: '{LONE}'}}, use: lanes, lanes: 3}}]"
HOST = f"gpus: [{{name: gpu, select: {{address: '{LONE}'}}, use: host}}]"
WHOLE = f"gpus: [{{name: gpu, select: {{address: '{LONE}'}}, use: passthrough}}]"
FILE = sysfs(LONE, "lanes")


@pytest.fixture
def divided(machine, monkeypatch):
    """A machine whose kernel has the file."""
    real = machine._write

    def write(path, value, seconds):
        if path != FILE:
            return real(path, value, seconds)
        if (errno := machine.faults.pop(("lanes", LONE), None)) is not None:
            raise OSError(errno, "refused")
        return machine.put(FILE, f"{value}\n")

    machine.put(FILE, "1\n")
    monkeypatch.setattr(machine, "_write", write)
    return machine


def test_the_whole_trip_of_a_new_way(divided):
    before = divided.snapshot()
    assert kinds(plan(divided, LANES)) == [f"SetLanes {LONE}"]
    assert endings(apply(divided, LANES)) == ["done"] and divided.read(FILE) == "3"
    assert kinds(plan(divided, LANES)) == [] and divided.records() == {f"lanes.made {LONE}": {}}
    offers = inspect.list_slots(divided, "gpu", QEMU).offers
    assert [(one.slot.part, one.owner, one.state) for one in offers][1:] == [
        (f"lane{n}", "gpupass", "free") for n in range(3)
    ]
    found = exported(divided)
    assert "use: lanes" in write_profile(found) and kinds(plan(divided, found)) == []
    deeds = [type(step).__name__ for step in plan(divided, WHOLE).plans[0].steps]
    assert deeds.index("SetLanes") < deeds.index("BindDriver"), "no parts are lost with the driver"
    assert endings(rollback(divided)) == ["done"] and divided.read(FILE) == "1"
    assert divided.snapshot() == before


def test_what_others_divided_is_left_alone_and_adopted(divided):
    divided.put(FILE, "4\n")
    (refused,) = plan(divided, LANES).refusals
    assert refused.remedy.startswith(f"gpupass adopt {LONE}")
    assert kinds(plan(divided, HOST)) == []
    assert [one.owner for one in inspect.list_slots(divided, LONE, QEMU).offers][1:] == [""] * 4
    verbs.adopt(divided, LONE)
    assert [one.owner for one in inspect.list_slots(divided, LONE, QEMU).offers][1:] == ["gpupass"] * 4
    assert endings(apply(divided, HOST)) == ["done"]
    assert divided.read(FILE) == "1" and divided.records() == {}


def test_what_others_divided_is_theirs_again_after_a_rollback(divided):
    divided.put(FILE, "4\n")
    assert endings(apply(divided, LANES.replace("lanes: 3", "lanes: 3, take-over: true"))) == ["done"]
    assert endings(rollback(divided)) == ["done"]
    assert divided.read(FILE) == "4" and divided.records() == {}


def test_what_fails_is_taken_back(divided):
    divided.faults["lanes", LONE] = 5
    assert endings(apply(divided, LANES)) == ["failed"]
    assert divided.read(FILE) == "1" and divided.records() == {} and divided.open_journals() == []


def test_it_is_in_the_published_schema():
    assert '"lanes"' in json.dumps(profile_schema())
