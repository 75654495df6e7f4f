"""kill -9 at every commit of a change to vGPUs: recovered, the card is as before or as asked for."""

import pytest

from gpupass import app
from gpupass.errors import GpupassError
from tests.crash.test_kill_at_every_line import tear
from tests.machines_in_parts import vgpu_machine
from tests.profile_trips import apply, endings, kinds, plan
from tests.simulated_vgpu import CARD

ALLOWED = {"allow_disruption": True, "allow_reset": True}


def rule(wish):
    return f"gpus: [{{name: a, select: {{address: '{CARD}'}}, use: {wish}}}]"


SLICED = rule("vgpu, types: {A100-5C: 2}, params: {frame_rate_limiter: 0}, scheduler: equal-share")
MIXED = rule("vgpu, types: {A100-5C: 1, A100-10C: 1, A100-20C: 1}")
TOLD_LESS = rule("vgpu, types: {A100-5C: 2}, scheduler: equal-share")
LARGER = rule("vgpu, types: {A100-20C: 2}, params: {frame_rate_limiter: 0}")
BACKED = rule("vgpu, types: {A100-1-5C: 2}, layout: [1g.5gb, 1g.5gb]")
RECUT = rule("vgpu, types: {A100-3-20C: 1, A100-1-5C: 1}, layout: [3g.20gb, 1g.5gb]")
HOST = rule("host")
LENT = f"{SLICED}\nattachments: [{{domain: vm1, device: a/A100-5C-0}}]"
TRIPS = {
    "types": (SLICED, LARGER),
    "of several sizes": (LARGER, MIXED),
    "told nothing any more": (SLICED, TOLD_LESS),
    "lent": (SLICED, LENT),
    "taken back from a guest": (LENT, SLICED),
    "given up": (MIXED, HOST),
    "GPU instances given up": (BACKED, HOST),
    "from nothing": (None, MIXED),
    "GPU instances from nothing": (None, BACKED),
    "other GPU instances": (BACKED, RECUT),
    "GPU instances in the place of slices": (SLICED, BACKED),
    "slices in the place of GPU instances": (BACKED, SLICED),
}
MEDIATED = (
    "types",
    "told nothing any more",
    "lent",
    "taken back from a guest",
    "given up",
    "slices in the place of GPU instances",
)
CASES = [*((name, "vendor") for name in TRIPS), *((name, "mdev") for name in MEDIATED)]


def made(new_state, framework, before):
    machine = vgpu_machine(new_state(), framework)
    if before is not None:
        assert set(endings(apply(machine, before, **ALLOWED))) == {"done"}
    machine.log.clear()
    return machine


@pytest.mark.parametrize(("name", "framework"), CASES)
def test_as_before_or_as_asked_for(name, framework, nvml, new_state, killed_at_every_line):
    before, wanted = TRIPS[name]
    machine = made(new_state, framework, before)
    old = machine.snapshot()
    left = killed_at_every_line(machine, lambda machine: apply(machine, wanted, **ALLOWED))
    new = machine.snapshot()
    assert len(left) > 5 and old != new and kinds(plan(machine, wanted)) == []
    for number, (point, killed) in enumerate(left.items()):
        if number % 2:
            tear(killed)
        for report in app.recover(killed):
            assert report.ending in ("done", "rolled back"), f"killed at {point}: {report.note}"
        assert killed.open_journals() == []
        assert killed.snapshot() in (old, new), f"killed at {point}"


@pytest.mark.parametrize(
    ("name", "framework"),
    [("of several sizes", "mdev"), ("other GPU instances", "vendor"), ("GPU instances from nothing", "mdev")],
)
def test_the_same_apply_again_settles_what_was_left(name, framework, nvml, new_state, killed_at_every_line):
    before, wanted = TRIPS[name]
    machine = made(new_state, framework, before)
    for point, killed in list(killed_at_every_line(machine, lambda m: apply(m, wanted, **ALLOWED)).items())[
        ::3
    ]:
        apply(killed, wanted, **ALLOWED)
        assert kinds(plan(killed, wanted)) == [], f"killed at {point}"
        assert killed.vgpu.snapshot() == machine.vgpu.snapshot(), f"killed at {point}"


@pytest.mark.parametrize(("name", "framework"), CASES)
def test_an_error_before_each_step_takes_everything_back(name, framework, nvml, new_state):
    """Of the first round."""
    before, wanted = TRIPS[name]
    machine = made(new_state, framework, before)
    old, steps = machine.snapshot(), len(kinds(plan(machine, wanted)))
    for number in range(1, steps):
        failing, left = machine.clone(new_state()), iter(range(steps))

        def fail(title, step, left=left, number=number):
            if next(left) == number:
                raise GpupassError("the disk of the host is on fire")

        assert endings(apply(failing, wanted, on_step=fail, **ALLOWED)) == ["failed"]
        assert failing.snapshot() == old, f"failed before step {number}"
