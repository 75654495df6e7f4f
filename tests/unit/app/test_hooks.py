"""The administrator's programs before and after a change: what they are given, and what they can say."""

import json

import pytest

from gpupass import app
from gpupass.app.hooks import left
from gpupass.errors import Busy, GpupassError, Pending, Refused
from gpupass.store import store_of
from gpupass.system import locks
from gpupass.system.locks import hold
from tests.profile_trips import apply, plan
from tests.simulated import GPU, LONE
from tests.simulated_libvirt import REFUSES

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


def killed(machine, verb, killed_at_every_line):
    """Each machine that a kill leaves, with a hook of its own that notes how it is run by `recover`."""
    machine.programs = {FIRST: lambda action, phase, given: None}
    for point, twin in killed_at_every_line(machine, verb).items():
        heard = []
        twin.programs = {
            FIRST: lambda *how, heard=heard: heard.append((how[0], str(how[1]), json.loads(how[2])))
        }
        yield point, twin, heard


def test_killed_at_every_line(machine, killed_at_every_line):
    """Whoever has heard of its beginning hears of its end, once and truly."""
    endings = set()
    for point, twin, heard in killed(machine, lambda m: app.attach(m, "vm1", LONE), killed_at_every_line):
        begun = hooks_of(twin)
        app.recover(twin)
        app.recover(twin)
        assert [call[:2] for call in heard if call[0] == "attach"] == [("attach", "after")] * begun, point
        assert hooks_of(twin) == 0, point
        for _, _, given in heard[:begun]:
            (result,) = given["results"]
            there = twin.libvirt.holders(LONE) == ["vm1"]
            assert (result["ending"] == "done") == there, (point, result)
            assert given["phase"] == "after" and given["plans"], point
            endings.add(result["ending"])
    assert endings == {"done", "rolled back", "interrupted"}


def test_the_next_change_tells_what_a_crash_left(machine, killed_at_every_line):
    for point, twin, heard in killed(machine, lambda m: app.bind(m, LONE), killed_at_every_line):
        begun = hooks_of(twin)
        twin.libvirt.plug("vm2", GPU)
        app.attach(twin, "vm1", LONE)
        assert [call[:2] for call in heard] == [
            *([("bind", "after")] * begun),
            ("attach", "before"),
            ("attach", "after"),
        ], point


def test_after_a_reboot_nobody_is_told(machine, killed_at_every_line):
    for point, twin, heard in killed(machine, lambda m: app.bind(m, LONE), killed_at_every_line):
        twin.reboot()
        app.recover(twin)
        assert (heard, hooks_of(twin)) == ([], 0), point


def test_a_guest_that_lets_go_late_is_told_of_again(machine, hooks):
    first, _, called = hooks
    app.attach(machine, "vm1", LONE)
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    with pytest.raises(Pending):
        app.detach(machine, "vm1", LONE)
    assert first.given["results"][0]["ending"] == "pending"
    app.recover(machine)
    assert first.given["results"][0]["ending"] == "pending", "there is no news"
    del called[:]
    machine.libvirt.reboot("vm1")
    app.recover(machine)
    assert [call[1:3] for call in called] == [("detach", "after")] * 2
    assert first.given["results"][0]["ending"] == "done"
    assert hooks_of(machine) == 0


def test_one_that_has_gone_meanwhile_is_not_run(machine, killed_at_every_line):
    for point, twin, heard in killed(machine, lambda m: app.bind(m, LONE), killed_at_every_line):
        twin.programs = {}
        app.recover(twin)
        assert (heard, hooks_of(twin)) == ([], 0), point


def hooks_of(machine):
    return len(left(store_of(machine)))
