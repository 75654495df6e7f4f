"""The administrator's programs before and after a change: what they are given, and what they can say."""

import json

import pytest

from gpupass import app
from gpupass.errors import Busy, GpupassError, Refused
from gpupass.system import locks
from gpupass.system.locks import hold
from tests.profile_trips import apply, plan
from tests.simulated import GPU, LONE

FIRST, SECOND = "/etc/gpupass/hooks.d/10-first", "/etc/gpupass/hooks.d/20-second"


class Hook:
    """Notes how it was run; `says` are its words when it says no, by phase."""

    def __init__(self, machine, path, called):
        self.machine, self.path, self.called, self.says = machine, path, called, {}

    def __call__(self, action, phase, given):
        self.called.append((self.path, action, str(phase), self.machine.driver(LONE)))
        self.given = json.loads(given)
        if phase in self.says:
            raise GpupassError(self.says[phase])


@pytest.fixture
def hooks(machine):
    called = []
    for path in (SECOND, FIRST):
        machine.programs[path] = Hook(machine, path, called)
    return machine.programs[FIRST], machine.programs[SECOND], called


def test_both_sides_of_a_change(machine, hooks):
    first, _, called = hooks
    app.bind(machine, LONE)
    assert called == [
        (FIRST, "bind", "before", "bochs-drm"),
        (SECOND, "bind", "before", "bochs-drm"),
        (FIRST, "bind", "after", "vfio-pci"),
        (SECOND, "bind", "after", "vfio-pci"),
    ]
    given = first.given
    assert (given["kind"], given["schema"], given["phase"]) == ("gpupass hook", 1, "after")
    assert [step["step"] for step in given["plans"][0]["steps"]][-1] == "BindDriver"
    assert given["results"] == [{"title": f"bind {LONE} to vfio-pci", "ending": "done"}]


@pytest.mark.parametrize(
    ("verb", "action"),
    [
        (lambda m: app.attach(m, "vm1", LONE), "attach"),
        (
            lambda m: apply(m, f"gpus: [{{name: a, select: {{address: '{LONE}'}}, use: passthrough}}]"),
            "apply",
        ),
    ],
)
def test_they_are_told_the_verb(machine, hooks, verb, action):
    verb(machine)
    assert {call[1] for call in hooks[2]} == {action}


def test_nothing_to_do_is_no_change(machine, hooks):
    app.bind(machine, LONE, dry_run=True)
    app.unbind(machine, LONE)
    plan(machine, f"gpus: [{{name: a, select: {{address: '{LONE}'}}, use: passthrough}}]")
    assert hooks[2] == []


def test_one_that_says_no_refuses_the_change(machine, hooks):
    first, second, called = hooks
    second.says = {"before": "not during the night"}
    with pytest.raises(Refused, match=f"the hook {SECOND} says no: not during the night"):
        app.bind(machine, LONE)
    assert machine.driver(LONE) == "bochs-drm"
    assert machine.open_journals() == []
    assert [call[:3] for call in called[2:]] == [(FIRST, "bind", "after")]
    assert first.given["results"][0]["ending"] == "refused"


def test_one_that_fails_afterwards_is_a_warning(machine, hooks):
    hooks[0].says = {"after": "no such mail host"}
    report = app.bind(machine, LONE)
    assert [finding.message for finding in report.warnings] == [
        f"the hook {FIRST} has failed: no such mail host"
    ]
    assert machine.driver(LONE) == "vfio-pci"
    assert hooks[2][-1][0] == SECOND, "the next one is run nevertheless"


def test_they_hear_of_failures(machine, hooks):
    machine.faults["unbind", LONE] = 16
    with pytest.raises(GpupassError):
        app.bind(machine, LONE)
    assert hooks[0].given["results"][0]["ending"] == "failed"


def test_one_that_calls_back_is_told_so(machine, hooks, monkeypatch):
    """In its own process the lock's owner is itself: as a hook sees its gpupass among its parents."""
    told = []

    def call_back(action, phase, given):
        monkeypatch.setattr(locks, "runs_under", lambda owner: True)
        for what in (LONE, GPU):
            try:
                with hold(machine.state, (what,), wait=60.0):
                    told.append(f"{what} is free")
            except Busy as busy:
                told.append(busy.message)

    machine.programs = {FIRST: call_back}
    app.bind(machine, LONE)
    holds = f"cannot change {LONE}: the change that runs this hook holds it"
    assert told == [holds, f"{GPU} is free"] * 2
