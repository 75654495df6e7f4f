"""A card is pulled out and another one has its address: nothing of the plan, nor of the past, is done to that."""

import errno
from contextlib import suppress

import pytest
from msgspec.structs import replace

from gpupass import app
from gpupass.app.consent import require_same
from gpupass.engine import journal
from gpupass.engine.run import Result, execute
from gpupass.errors import NeedsPerson, Refused
from gpupass.model.identity import Identity
from gpupass.model.mark import Claim, Origin, Quarantine
from gpupass.observe import observe
from gpupass.store import store_of
from gpupass.store.marks import read_marks, set_mark, set_marks
from gpupass.system.identity import read_identity
from tests.profile_trips import apply, endings, plan
from tests.simulated import GPU, GPU_AUDIO, LONE, NIC, NVIDIA, PF, VF0

CARD = {"ids": "8086:1572", "class_code": 0x020000, "driver": "i40e"}  # a network card
WISH = f"gpus: [{{name: a, select: {{address: '{LONE}'}}, use: passthrough}}]"
TWO = f"gpus: [{{name: a, select: {{address: '{GPU}'}}, use: passthrough}}]"  # its sound goes along
SAME_MODEL = {"driver": "nouveau"}  # by its serial number alone it is told from the other one


def swapped(machine, address, other=CARD):
    """A hook that puts another card there before the first step that is told of it."""

    def swap(*_):
        if machine.functions[address].ids != other.get("ids", "") and not swap.done:
            swap.done = True
            machine.replug(address, **other)

    swap.done = False
    return swap


def on_step(machine, wanted, swap):
    """When the step of this kind is about to begin."""
    return lambda title, step: swap() if type(step).__name__ == wanted else None


@pytest.mark.parametrize("when", ["LoadModule", "the look"])
def test_what_comes_after_the_look_is_left_alone(when, machine, monkeypatch):
    swap = swapped(machine, LONE)
    if when == "the look":
        begin = journal.begin
        monkeypatch.setattr(journal, "begin", lambda *args, **more: [swap(), begin(*args, **more)][1])
    came = apply(machine, WISH, on_step=on_step(machine, when, swap))
    assert swap.done and machine.driver(LONE) == "i40e" and machine.override(LONE) is None
    assert endings(came) == ["failed"] and isinstance(came.reports[0].error, Refused)
    assert "0000:02:00.0 is 8086:1572 now, the plan was for 1234:1111" in came.reports[0].note
    assert not [line for line in machine.log if LONE in line[0] or LONE in line[1]]
    assert machine.records() == {} and app.unfinished(machine) == ()


def test_nothing_is_put_back_on_another_device(machine):
    """The first function is bound, then gone; the second one is refused: what was begun needs a person."""
    swap = swapped(machine, GPU_AUDIO)
    machine.faults["drivers_probe", GPU] = errno.EIO
    seen = observe(machine)
    made = plan(machine, TWO).plans[0]
    turned = replace(made, steps=tuple(sorted(made.steps, key=lambda step: GPU in step.carriers)))
    outcome = execute(turned, machine, 0, on_step=lambda step: swap() if GPU in step.carriers else None)
    assert outcome.result is Result.NEEDS_PERSON and isinstance(outcome.error, NeedsPerson)
    assert f"{GPU_AUDIO} is 8086:1572 now, it was {seen.device(GPU_AUDIO).ids}" in outcome.error.message
    assert machine.driver(GPU_AUDIO) == "i40e" and machine.driver(GPU) == "nouveau"
    assert machine.override(GPU_AUDIO) is None


def test_a_board_of_the_same_model_is_another_device(machine):
    made = plan(machine, TWO).plans[0]
    machine.replug(GPU, serial="00-01-02-03-04-05-06-08", **SAME_MODEL)
    outcome = execute(made, machine, 0)
    assert outcome.result is Result.ROLLED_BACK
    told = outcome.error.message
    assert all(f"10de:2204 (serial 00-01-02-03-04-05-06-{end})" in told for end in ("07", "08"))
    assert machine.driver(GPU) == "nouveau"


def test_a_crashed_change_is_not_taken_up_with_another_device(machine):
    """Neither on nor back."""

    def crash(title, step):
        raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        apply(machine, WISH, on_step=lambda title, step: crash(title, step) if step.carriers else None)
    machine.set_driver(LONE, None)  # it had come so far
    machine.replug(LONE, **CARD)
    before = machine.snapshot()
    (report,) = app.recover(machine)
    assert report.ending == "needs a person" and "8086:1572 now, it was 1234:1111" in report.note
    assert {**machine.snapshot(), "records": {}} == {**before, "records": {}}


def test_what_a_step_makes_is_known_from_its_first_step_on(machine):
    """A virtual function that is not there yet when it is planned."""
    profile = f"gpus: [{{name: n, select: {{address: '{PF}'}}, use: sriov, vfs: 3, take-over: true}}]"
    seen = []
    apply(machine, profile, on_step=lambda title, step: seen.extend(step.carriers))
    operations = journal.ended_operations(store_of(machine))
    known = operations[-1].identities
    assert known[PF] == read_identity(machine, PF) and set(known) >= set(seen)


MARKS = {
    "origin": Origin(carrier=LONE, driver="bochs-drm"),
    "claim": Claim(carrier=LONE, domain="vm1", uuid="1"),
}


@pytest.mark.parametrize("name", MARKS)
def test_what_is_remembered_is_of_one_device(name, machine):
    mark = replace(MARKS[name], boot_id=machine.boot_id(), identity=read_identity(machine, LONE))
    set_mark(store_of(machine), mark)
    assert [one.key for one in observe(machine).marks] == [mark.key]
    machine.replug(LONE, **CARD)
    assert observe(machine).marks == ()
    set_mark(store_of(machine), replace(mark, identity=None))  # of an earlier version: nobody can tell
    assert [one.key for one in observe(machine).marks] == [mark.key]


def test_a_device_does_not_get_the_driver_of_the_one_before(machine):
    app.bind(machine, LONE)
    machine.replug(LONE, **{**CARD, "driver": "vfio-pci"})
    app.unbind(machine, LONE)
    assert machine.driver(LONE) is None and machine.override(LONE) is None


def test_a_claim_of_what_has_gone_is_not_cleaned_off_another_device(machine):
    app.attach(machine, "vm1", LONE)
    machine.libvirt.stop_all()
    machine.replug(LONE, **CARD)
    before = len(machine.log)
    reports = app.recover(machine)
    assert [(report.ending, report.note) for report in reports] == [("done", "it is gone from the host")]
    assert not [line for line in machine.log[before:] if LONE in line[0] or LONE in line[1]]
    assert machine.driver(LONE) == "i40e" and machine.records() == {}


def quarantined(machine, address):
    return {mark.carrier: mark.why for mark in observe(machine).marks if isinstance(mark, Quarantine)}.get(
        address
    )


def test_a_quarantine_goes_where_its_device_goes(machine):
    """By its serial number; without one it stays where it was, and says whose it was."""
    mine = read_identity(machine, GPU)
    store = store_of(machine)
    set_marks(
        store,
        (
            Quarantine(carrier=GPU, why="not reset", identity=mine),
            Quarantine(carrier=NIC, why="not reset", identity=read_identity(machine, NIC)),
        ),
    )
    machine.replug(GPU, **CARD)
    machine.replug(NIC, **{**CARD, "sriov": None, "vf_layout": None})
    machine.replug(LONE, ids=mine.ids, serial=mine.serial, class_code=0x030000, driver="nouveau")
    assert quarantined(machine, GPU) is None
    assert quarantined(machine, LONE) == f"not reset (at {GPU}, where it was then)"
    assert {mark.carrier: mark.why.partition(" (")[2] for mark in app.quarantined(machine)} == {
        LONE: f"at {GPU}, where it was then)",
        NIC: "that was 8086:10c9, 8086:1572 is there now)",
    }
    with pytest.raises(Refused, match="quarantine"):
        app.bind(machine, LONE)
    app.quarantine_clear(machine, LONE)
    assert [mark.carrier for mark in read_marks(store)] == [NIC] and app.bind(machine, LONE).ending == "done"
    assert quarantined(machine, NIC) == "not reset (that was 8086:10c9, 8086:1572 is there now)"
    app.quarantine_clear(machine, NIC)
    assert quarantined(machine, NIC) is None


def test_a_plan_that_was_shown_is_for_the_devices_it_showed(machine):
    shown = plan(machine, TWO)
    machine.replug(GPU, serial="00-01-02-03-04-05-06-08", **SAME_MODEL)
    made = plan(machine, TWO)
    assert [one.steps for one in made.plans] == [one.steps for one in shown.plans]
    with pytest.raises(Refused, match="serial 00-01-02-03-04-05-06-08"):
        require_same(shown, made)


WHO = Identity(ids="10de:2204", subsystem="1043:87af", serial="00-01")
OTHERS = {
    "itself": (WHO, False),
    "another model": (replace(WHO, ids="10de:2206"), True),
    "another board": (replace(WHO, subsystem="1458:87af"), True),
    "another piece": (replace(WHO, serial="00-02"), True),
    "seen by an ordinary user": (replace(WHO, serial=""), False),
    "without a board": (replace(WHO, subsystem="", serial=""), False),
}


@pytest.mark.parametrize("name", OTHERS)
def test_who_is_another_one(name):
    other, differs = OTHERS[name]
    assert WHO.contradicts(other) is other.contradicts(WHO) is differs
    assert differs is (WHO.beside(other) != other.beside(WHO))


def test_who_is_told_apart_at_all(machine):
    """Every function of a host; nobody where there is none, and no parent of mediated devices by its name."""
    host = observe(machine)
    for address in (GPU, GPU_AUDIO, LONE, NVIDIA, PF, VF0):
        assert read_identity(machine, address) == host.device(address).identity
    assert read_identity(machine, "0000:42:00.0") is read_identity(machine, "mbochs") is None
