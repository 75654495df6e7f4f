"""kill -9 at every journal line of every verb, then `recover` or the same verb again: look at the host."""

import pytest

from gpupass import app
from gpupass.errors import GpupassError
from gpupass.system.locks import hold
from tests.machines import Killed
from tests.simulated import (
    ACCEL,
    BUS_AUDIO,
    BUS_GPU,
    GPU,
    GPU_AUDIO,
    LONE,
    NVIDIA,
    SPARE,
    USB,
)
from tests.simulated_libvirt import REFUSES

CARD, BUS_CARD, SEVERAL = (GPU, GPU_AUDIO), (BUS_GPU, BUS_AUDIO), (ACCEL, USB, SPARE)

# what was before, the verb, whom it may touch
SCENARIOS = {
    "bind a card": ([], lambda m: app.bind(m, GPU), CARD),
    "bind a lone display": ([], lambda m: app.bind(m, LONE), (LONE,)),
    "bind a group of slots": ([], lambda m: app.bind(m, ACCEL, agreed=(USB,)), SEVERAL),
    "bind an nvidia GPU": ([], lambda m: app.bind(m, NVIDIA), (NVIDIA,)),
    "unbind": ([lambda m: app.bind(m, GPU)], lambda m: app.unbind(m, GPU), CARD),
    "attach from the host": ([], lambda m: app.attach(m, "vm1", GPU), CARD),
    "attach what is bound": ([lambda m: app.bind(m, LONE)], lambda m: app.attach(m, "vm1", LONE), (LONE,)),
    "attach, reset by slot": ([], lambda m: app.attach(m, "vm1", BUS_GPU), BUS_CARD),
    "detach": ([lambda m: app.attach(m, "vm1", GPU)], lambda m: app.detach(m, "vm1", GPU), CARD),
    "detach what virsh attached": (
        [lambda m: app.bind(m, LONE), lambda m: m.libvirt.plug("vm1", LONE)],
        lambda m: app.detach(m, "vm1", LONE),
        (LONE,),
    ),
    "detach from a guest that crashed": (
        [lambda m: app.attach(m, "vm1", GPU), lambda m: m.libvirt.stop("vm1")],
        lambda m: app.detach(m, "vm1", GPU),
        CARD,
    ),
    "move": ([lambda m: app.attach(m, "vm1", GPU)], lambda m: app.move(m, GPU, "vm2"), CARD),
    "move, reset by slot": (
        [lambda m: app.attach(m, "vm1", BUS_GPU)],
        lambda m: app.move(m, BUS_GPU, "vm2"),
        BUS_CARD,
    ),
    "unbind what a crashed guest had": (
        [lambda m: app.attach(m, "vm1", GPU), lambda m: m.libvirt.stop("vm1")],
        lambda m: app.unbind(m, GPU),
        CARD,
    ),
}


def points():
    for line in range(1, 100):
        yield f"{line}-"
        yield str(line)


def prepared(new_machine, before):
    machine = new_machine()
    for step in before:
        step(machine)
    machine.log.clear()
    return machine


def crashed(machine, verb, point, crash_at):
    """True when the verb died at the point, False when it never came there."""
    crash_at(point)
    try:
        verb(machine)
    except Killed:
        return True
    finally:
        crash_at(None)
    return False


def settled(machine, touchable):
    """Nothing open, nothing locked, nobody else's device touched."""
    assert machine.open_journals() == []
    with hold(machine.state, machine.functions, wait=0.0):
        pass
    assert machine.touched() <= set(touchable)
    assert not list((machine.state / "journal").glob("*"))


@pytest.mark.parametrize("way", ["recover", "again", "recover, then again", "torn, then recover"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_the_host_is_as_before_or_as_wanted(name, way, new_machine, crash_at):
    before, verb, touchable = SCENARIOS[name]
    untouched = prepared(new_machine, before)
    old = untouched.snapshot()
    verb(untouched)
    new = untouched.snapshot()
    assert old != new
    settled(untouched, touchable)
    # an unfinished claim is ended by recover even where the verb itself was taken back
    cleaned = prepared(new_machine, before)
    app.recover(cleaned)
    allowed = [old, new, cleaned.snapshot()]
    count = 0
    for point in points():
        machine = prepared(new_machine, before)
        if not crashed(machine, verb, point, crash_at):
            break
        count += 1
        if way.startswith("torn"):
            for path in (machine.state / "journal").glob("*.jsonl"):
                with path.open("ab") as file:
                    file.write(b'{"intent": 1, "bef')
        if "recover" in way:
            app.recover(machine)
            assert machine.snapshot() in allowed, f"killed at {point}"
            settled(machine, touchable)
        if "again" in way:
            verb(machine)
            assert machine.snapshot() == new, f"killed at {point}"
            settled(machine, touchable)
    assert count >= 8, "the verb was killed at no line at all"


def test_a_second_kill_during_recover(new_machine, crash_at):
    """Recover itself dies at every line of the journal it goes on with."""
    before, verb, touchable = SCENARIOS["move"]
    wanted = prepared(new_machine, before)
    old = wanted.snapshot()
    verb(wanted)
    new = wanted.snapshot()
    for first in points():
        for second in (str(int(first.rstrip("-")) + ahead) + dash for ahead in (1, 2) for dash in ("-", "")):
            machine = prepared(new_machine, before)
            if not crashed(machine, verb, first, crash_at):
                return
            if crashed(machine, app.recover, second, crash_at):
                app.recover(machine)
            assert machine.snapshot() in (old, new), f"killed at {first}, then at {second}"
            settled(machine, touchable)


@pytest.mark.parametrize("verb", ["detach", "move"])
def test_a_guest_that_will_not_let_go(verb, new_machine, crash_at):
    """The order survives kill -9: it is pending after recover, and finished once the guest has let go."""

    def run(machine):
        if verb == "detach":
            return app.detach(machine, "vm1", GPU, timeout=5)
        return app.move(machine, GPU, "vm2", timeout=5)

    def refusing():
        machine = prepared(new_machine, [lambda m: app.attach(m, "vm1", GPU)])
        machine.libvirt.guests["vm1"].lets_go = REFUSES
        return machine

    old = refusing().snapshot()
    for point in points():
        machine = refusing()
        try:
            assert crashed(machine, run, point, crash_at)
        except GpupassError as pending:
            assert pending.exit_code == 6
            assert len(machine.open_journals()) == 1
            break
        app.recover(machine)
        assert machine.snapshot() == old, f"killed at {point}: the guest still has it"
        asked = machine.libvirt.guests["vm1"].asks > 0
        assert len(machine.open_journals()) == (1 if asked else 0), f"killed at {point}"
        if not asked:
            continue
        machine.libvirt.reboot("vm1")
        app.recover(machine)
        assert GPU not in machine.libvirt.guests["vm1"].live
        assert (GPU in machine.libvirt.guests["vm2"].live) == (verb == "move"), f"killed at {point}"
        settled(machine, CARD)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_crash_and_then_a_reboot(name, new_machine, crash_at):
    """The journal of another boot is closed; no device of the freshly booted host is touched for it."""
    before, verb, _ = SCENARIOS[name]
    for point in points():
        machine = prepared(new_machine, before)
        if not crashed(machine, verb, point, crash_at):
            return
        machine.reboot()
        machine.log.clear()
        app.recover(machine)
        assert machine.open_journals() == []
        assert machine.snapshot()["drivers"] == new_machine().snapshot()["drivers"]
        assert machine.log == [], f"killed at {point}, rebooted, then written to {machine.log}"
        assert not [record for record in machine.records() if record.startswith("claim")]
