"""kill -9 at every commit of every verb, then `recover` or the same verb again: look at the host."""

import pytest

from gpupass import app
from gpupass.errors import Pending
from gpupass.model.options import BarSize, Options
from gpupass.store import store_of
from gpupass.system.locks import hold
from tests.simulated import (
    ACCEL,
    BUS_AUDIO,
    BUS_GPU,
    DISK,
    FUNCTIONS,
    GPU,
    GPU_AUDIO,
    LONE,
    NVIDIA,
    PF,
    SPARE,
    USB,
    VF0,
    VF1,
    Machine,
)
from tests.simulated_libvirt import REFUSES

ROM = "/usr/share/vgabios/card.rom"
SET = Options(reset_method="bus", disable_idle_d3=True, bar=(BarSize(index=1, size="16G"),))
SET_ANEW = Options(reset_method="flr", bar=(BarSize(index=1, size="1G"),))
LINK = Options(mac="52:54:00:12:34:56", vlan=100, trust=True)
CARD, BUS_CARD, SEVERAL = (GPU, GPU_AUDIO), (BUS_GPU, BUS_AUDIO), (ACCEL, USB, SPARE)


def served(machine):
    """A service has the NVIDIA GPU open."""
    machine.systemd.add("nvidia-dcgm.service", "nv-hostengine", {NVIDIA: "/dev/nvidia0"})


def drawn_on(machine):
    """A desktop is on the lone display."""
    machine.node_of(LONE, "drm", "card0")
    machine.draw(LONE)
    machine.systemd.display_manager("sddm.service", {LONE: "/dev/dri/card0"})


def with_rom(machine):
    machine.put(ROM, b"\x55\xaa")


def connected(machine):
    machine.links.add(PF, "enp5s0", 2)


def bind_alone(machine):
    app.bind(machine, NVIDIA, stop=("dcgm",))


# what was before, the verb, whom it may touch
SCENARIOS = {
    "bind a card": ([], lambda m: app.bind(m, GPU), CARD),
    "bind a lone display": ([], lambda m: app.bind(m, LONE), (LONE,)),
    "bind a group of slots": ([], lambda m: app.bind(m, ACCEL, agreed=(USB,)), SEVERAL),
    "bind an nvidia GPU": ([], lambda m: app.bind(m, NVIDIA), (NVIDIA,)),
    "bind what a service holds": ([served], bind_alone, (NVIDIA,)),
    "unbind what a service held": ([served, bind_alone], lambda m: app.unbind(m, NVIDIA), (NVIDIA,)),
    "attach the display of a desktop": (
        [drawn_on],
        lambda m: app.attach(m, "vm1", LONE, stop=("display-manager", "console")),
        (LONE,),
    ),
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
    "detach what virt-manager plugged": (
        [lambda m: m.libvirt.plug("vm1", LONE, managed=True)],
        lambda m: app.detach(m, "vm1", LONE),
        (LONE,),
    ),
    "attach a companion that was hidden": (
        [lambda m: app.attach(m, "vm1", GPU)],
        lambda m: app.attach(m, "vm1", GPU_AUDIO),
        CARD,
    ),
    "detach from a guest that crashed": (
        [lambda m: app.attach(m, "vm1", GPU), lambda m: m.libvirt.stop("vm1")],
        lambda m: app.detach(m, "vm1", GPU),
        CARD,
    ),
    "move": ([lambda m: app.attach(m, "vm1", GPU)], lambda m: app.move(m, GPU, "vm2"), CARD),
    "attach with options": (
        [with_rom],
        lambda m: app.attach(m, "vm1", LONE, options=Options(rom=ROM, guest_address="0000:03:00.0")),
        (LONE,),
    ),
    "attach with other options": (
        [with_rom, lambda m: app.attach(m, "vm1", GPU, options=Options(rom="none"))],
        lambda m: app.attach(m, "vm1", GPU, options=Options(rom=ROM), disruption=True),
        CARD,
    ),
    "attach with settings of the card": ([], lambda m: app.attach(m, "vm1", GPU, options=SET), CARD),
    "detach what was set": (
        [lambda m: app.attach(m, "vm1", GPU, options=SET)],
        lambda m: app.detach(m, "vm1", GPU),
        CARD,
    ),
    "attach with other settings of the card": (
        [lambda m: app.attach(m, "vm1", GPU, options=SET)],
        lambda m: app.attach(m, "vm1", GPU, options=SET_ANEW, disruption=True),
        CARD,
    ),
    "attach a VF with its link": ([connected], lambda m: app.attach(m, "vm1", VF1, options=LINK), (PF, VF1)),
    "detach a VF with its link": (
        [connected, lambda m: app.attach(m, "vm1", VF1, options=LINK)],
        lambda m: app.detach(m, "vm1", VF1),
        (PF, VF1),
    ),
    "move with its options": (
        [lambda m: app.attach(m, "vm1", LONE, options=Options(rom="none"))],
        lambda m: app.move(m, LONE, "vm2"),
        (LONE,),
    ),
    "move, reset by slot": (
        [lambda m: app.attach(m, "vm1", BUS_GPU)],
        lambda m: app.move(m, BUS_GPU, "vm2"),
        BUS_CARD,
    ),
    "move the lone display": (
        [lambda m: app.attach(m, "vm1", LONE)],
        lambda m: app.move(m, LONE, "vm2"),
        (LONE,),
    ),
    "unbind what a crashed guest had": (
        [lambda m: app.attach(m, "vm1", GPU), lambda m: m.libvirt.stop("vm1")],
        lambda m: app.unbind(m, GPU),
        CARD,
    ),
}


_USED = tuple(
    f for f in FUNCTIONS if f.address in {*CARD, *BUS_CARD, *SEVERAL, LONE, NVIDIA, DISK, PF, VF0, VF1}
)
SMALL = tuple(f for f in FUNCTIONS if f in _USED or f.address in {used.parent for used in _USED})


@pytest.fixture
def prepared(hidden, new_state):
    def make(before):
        machine = Machine(new_state(), SMALL)
        for step in before:
            step(machine)
        machine.log.clear()
        return machine

    return make


def settled(machine, touchable):
    """Nothing open, nothing locked, nobody else's device touched."""
    assert machine.open_journals() == []
    with hold(machine.state, touchable, wait=0.0):
        pass
    assert machine.touched() <= set(touchable)


def tear(machine):
    """The next commit was being written."""
    store_of(machine).close()
    for path in machine.state.glob("store.db-wal"):
        with path.open("ab") as file:
            file.write(path.read_bytes()[32:1000])


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_host_is_as_before_or_as_wanted(name, prepared, new_state, killed_at_every_line):
    before, verb, touchable = SCENARIOS[name]
    machine = prepared(before)
    old = machine.snapshot()
    cleaned = machine.clone(new_state())  # recover also ends what a crashed guest left before the verb
    app.recover(cleaned)
    left = killed_at_every_line(machine, verb)
    new = machine.snapshot()
    assert old != new
    settled(machine, touchable)
    assert len(left) >= 8, "there were no commits to be killed at"
    for number, (point, killed) in enumerate(left.items()):
        again = killed.clone(new_state())
        verb(again)
        assert again.snapshot() == new, f"killed at {point}, same verb again"
        settled(again, touchable)
        if number % 2:
            tear(killed)
        app.recover(killed)
        assert killed.snapshot() in (old, new, cleaned.snapshot()), f"killed at {point}, recover"
        settled(killed, touchable)
        if number % 3 == 0:
            verb(killed)
            assert killed.snapshot() == new, f"killed at {point}, recover, same verb again"
            settled(killed, touchable)


@pytest.mark.parametrize("name", ["attach what is bound", "move the lone display"])
def test_a_second_kill_during_recover(name, prepared, killed_at_every_line):
    """Recover itself dies at every commit."""
    before, verb, touchable = SCENARIOS[name]
    machine = prepared(before)
    old = machine.snapshot()
    left = killed_at_every_line(machine, verb)
    new = machine.snapshot()
    for first, killed in list(left.items())[::2]:
        for second, twice in killed_at_every_line(killed, app.recover).items():
            app.recover(twice)
            assert twice.snapshot() in (old, new), f"killed at {first}, then at {second}"
            settled(twice, touchable)


def test_a_move_that_libvirt_breaks_in_two(prepared, new_state, killed_at_every_line):
    """What it gives to the host in between is there, nobody's and not claimed, or with one of the two."""
    machine = prepared([lambda m: m.libvirt.plug("vm1", LONE, managed=True)])
    home = machine.clone(new_state())
    app.detach(home, "vm1", LONE)
    old, between = machine.snapshot(), home.snapshot()
    for point, killed in killed_at_every_line(machine, lambda m: app.move(m, LONE, "vm2")).items():
        app.recover(killed)
        assert killed.snapshot() in (old, between, machine.snapshot()), f"killed at {point}"
        settled(killed, (LONE,))


@pytest.mark.parametrize("verb", ["detach", "move"])
def test_a_guest_that_is_destroyed(verb, prepared, killed_at_every_line):
    """Asked for, it is destroyed by whoever finishes the change, and by nobody before it was asked."""

    def run(machine):
        if verb == "detach":
            app.detach(machine, "vm1", LONE, timeout=5, force=True)
        else:
            app.move(machine, LONE, "vm2", timeout=5, force=True)

    machine = prepared([lambda m: app.attach(m, "vm1", LONE)])
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    old = machine.snapshot()
    left = killed_at_every_line(machine, run)
    new = machine.snapshot()
    for point, killed in left.items():
        begun = killed.libvirt.guests["vm1"].asks > 0
        app.recover(killed)
        assert killed.snapshot() in ((new,) if begun else (old, new)), f"killed at {point}"
        settled(killed, (LONE,))


@pytest.mark.parametrize("verb", ["detach", "move"])
def test_a_guest_that_will_not_let_go(verb, prepared, killed_at_every_line):
    """The order survives kill -9: it is pending after recover, and finished once the guest has let go."""

    def run(machine):
        with pytest.raises(Pending):
            if verb == "detach":
                app.detach(machine, "vm1", LONE, timeout=5)
            else:
                app.move(machine, LONE, "vm2", timeout=5)

    machine = prepared([lambda m: app.attach(m, "vm1", LONE)])
    machine.libvirt.guests["vm1"].lets_go = REFUSES
    old = machine.snapshot()
    for point, killed in killed_at_every_line(machine, run).items():
        ordered = bool(killed.open_journals()) and killed.libvirt.guests["vm1"].asks > 0
        app.recover(killed)
        assert killed.snapshot() == old, f"killed at {point}: the guest still has it"
        asked = killed.libvirt.guests["vm1"].asks > 0
        assert len(killed.open_journals()) == asked >= ordered, f"killed at {point}"
        if asked:
            killed.libvirt.reboot("vm1")
            app.recover(killed)
            assert LONE not in killed.libvirt.guests["vm1"].live
            assert (LONE in killed.libvirt.guests["vm2"].live) == (verb == "move"), f"killed at {point}"
            settled(killed, (LONE,))


@pytest.mark.parametrize("name", ["bind a card", "unbind", "attach from the host", "move, reset by slot"])
def test_a_crash_and_then_a_reboot(name, prepared, killed_at_every_line):
    """The journal of another boot is closed; no device of the freshly booted host is touched for it."""
    before, verb, _ = SCENARIOS[name]
    fresh = prepared([]).snapshot()["drivers"]
    for point, killed in killed_at_every_line(prepared(before), verb).items():
        killed.reboot()
        killed.log.clear()
        app.recover(killed)
        assert killed.open_journals() == []
        assert killed.snapshot()["drivers"] == fresh
        assert killed.log == [], f"killed at {point}, rebooted, then written to {killed.log}"
        assert not [record for record in killed.records() if record.startswith("claim")]
