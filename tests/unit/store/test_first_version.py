"""State directories that gpupass 0.1 has written (first_version/): taken over whole, once, whatever dies in between."""

import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from gpupass import app
from gpupass.engine import journal
from gpupass.errors import Damaged
from gpupass.store import Store, database
from gpupass.store.applies import read_applies
from gpupass.store.marks import read_marks, set_mark
from tests.simulated import GPU, LONE, Machine

RECORDED = Path(__file__).parent / "first_version"
CASES = sorted(path.name for path in RECORDED.iterdir())


def told(name):
    """What the first version told of it; its records as the marks that they are today.

    `taken_back`: those that there are once the open operation is rolled back.
    """
    return json.loads((RECORDED / name / "told.json").read_text())


@pytest.fixture
def old(new_state):
    def make(name):
        state = new_state()
        shutil.copytree(RECORDED / name / "state", state)
        for directory in (state, *(path for path in state.iterdir())):
            directory.chmod(0o700)
        return state

    return make


def found(state):
    with closing(Store(state)) as store:
        return {
            "open": [_operation(one) for one in journal.open_operations(store)],
            "ended": [_operation(one) for one in journal.ended_operations(store)],
            "marks": [_shown(mark) for mark in read_marks(store)],
            "applies": [as_json(apply) for apply in read_applies(store)],
        }


def as_json(value):
    return json.loads(msgspec.json.encode(value))


def _operation(one):
    return {
        "id": one.id,
        "title": one.title,
        "steps": [type(step).__name__ for step in one.steps],
        "devices": list(one.devices),
        "boot_id": one.boot_id,
        "time": one.time,
        "user": one.user,
        "apply": one.apply,
        "continues": one.continues,
        "before": {str(number): as_json(before) for number, before in one.before.items()},
        "done": sorted(one.done),
        "rolling_back": one.rolling_back,
        "undone": sorted(one.undone),
        "pending": one.pending,
        "end": one.end,
    }


def _shown(mark):
    return in_order(
        {key: value for key, value in as_json(mark).items() if value not in (None, "", False, [])}
    )


def in_order(mark):
    return dict(sorted(mark.items()))


def same(state, name):
    """As the first version told it; of what is over, not with which steps."""
    wanted, now = told(name), found(state)
    for operation in wanted["ended"]:
        operation["steps"] = []
    for which in ("open", "ended", "applies"):
        known = [{key: one[key] for key in old} for old, one in zip(wanted[which], now[which], strict=True)]
        assert known == wanted[which], which
    assert sorted(map(str, now["marks"])) == sorted(map(str, map(in_order, wanted["marks"])))


def write_something(state):
    with closing(Store(state)) as store, store.writing():
        pass


def names(state):
    return sorted(path.name for path in state.iterdir())


@pytest.mark.parametrize("name", CASES)
def test_all_of_it_is_there_before_and_after(name, old):
    state = old(name)
    before = names(state)
    same(state, name)
    assert names(state) == before, "who only reads takes nothing over"
    write_something(state)
    same(state, name)
    assert names(state)[:3] == ["first-version", "head", "store.db"]
    assert sorted(path.name for path in (state / "first-version").iterdir()) == before
    write_something(state)
    same(state, name)


@pytest.mark.parametrize("name", CASES)
def test_killed_between_any_two_steps_of_it(name, old, new_state, monkeypatch):
    state, moments, copying = old(name), [], []

    def before_each(call):
        def called(*arguments, **more):
            if not copying:
                copying.append(True)
                moments.append(new_state())
                shutil.copytree(state, moments[-1])
                copying.clear()
            return call(*arguments, **more)

        return called

    with monkeypatch.context() as patch:
        for call in ("rename", "fsync", "unlink", "mkdir"):
            patch.setattr(os, call, before_each(getattr(os, call)))
        patch.setattr(database, "at_commit", before_each(lambda point: None))
        write_something(state)
    assert len(moments) > 8
    for moment in moments:
        same(moment, name)
        write_something(moment)
        same(moment, name)
        assert not any((moment / kind).exists() for kind in ("journal", "history", "claim", "origin"))


def test_what_was_open_is_taken_back(old, hidden):
    """By the recover of this version."""
    machine = Machine(old("pending"))
    machine.libvirt.guests["vm1"].lets_go = 0.0
    assert app.recover(machine)[0].title == "move 0000:02:00.0 from vm1 to vm2"
    assert machine.open_journals() == []


@pytest.fixture
def moving(old, hidden):
    """The host of the pending move."""

    def make(holder):
        machine = Machine(old("pending"))
        machine.register_driver("vfio-pci")
        machine.set_driver(LONE, "vfio-pci")
        if holder is not None:
            machine.libvirt.plug(holder, LONE, alias="ua-gpupass-0000-02-00-0")
        return machine

    return make


def append(state, *events):
    (path,) = (state / "journal").iterdir()
    with path.open("a") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)


def test_a_pending_move_is_completed(moving):
    machine = moving("vm1")
    assert app.recover(machine, wait=True)[0].ending == "done"
    assert (
        LONE in machine.libvirt.guests["vm2"].live and machine.records()[f"claim {LONE}"]["domain"] == "vm2"
    )


@pytest.mark.parametrize("written", [False, True], ids=["before the record", "after the record"])
def test_killed_at_the_record_of_a_claim(written, moving):
    """0.1 wrote the record after the intent and before the done: what goes to vm2 is claimed for it."""
    machine = moving(None)
    claim = machine.state / "claim" / f"{LONE}.json"
    (begin, *_) = map(json.loads, next((machine.state / "journal").iterdir()).read_text().splitlines())
    had = json.loads(claim.read_text())
    del had["schema"]
    released = [event for n in (1, 2) for event in ({"intent": n, "before": None}, {"done": n})]
    forgotten = ({"intent": 3, "before": had}, {"done": 3})
    append(machine.state, {"done": 0}, *released, *forgotten, {"intent": 4, "before": None})
    claim.unlink()
    if written:
        claim.write_text(json.dumps({"schema": 1} | begin["plan"][4]["record"]))
    assert app.recover(machine)[0].ending == "done"
    assert LONE in machine.libvirt.guests["vm2"].live
    assert machine.records()[f"claim {LONE}"]["domain"] == "vm2"


@pytest.mark.parametrize("name", [name for name in CASES if told(name)["open"]])
def test_its_rollback_puts_back_what_was_remembered(name, old):
    """Each step undone, last first, as the engine does: the records that its journal has from before."""
    with closing(Store(old(name))) as store:
        for operation in journal.open_operations(store):
            for number in sorted(operation.before.keys() - operation.undone, reverse=True):
                operation = journal.undone(store, operation, number)
        marks = sorted(str(_shown(mark)) for mark in read_marks(store))
    assert marks == sorted(map(str, map(in_order, told(name)["taken_back"])))


@pytest.mark.parametrize(
    "text", [b"", b"{", b"hello\n", b"[]\n", b'{"schema": 99, "begin": "x"}\n', bytes(range(256)) + b"\n"]
)
@pytest.mark.parametrize("kind", ["journal", "claim"])
def test_what_cannot_be_read_is_damage(kind, text, old):
    state = old("pending")
    path = next((state / kind).iterdir())
    path.write_bytes(text)
    with closing(Store(state)) as store:
        for ask in (
            journal.open_operations,
            read_marks,
            Store.require_sound,
            lambda store: set_mark(store, None),
        ):
            with pytest.raises(Damaged, match=path.name) as damaged:
                ask(store)
            assert damaged.value.exit_code == 5 and "recover --forget" in damaged.value.hint
    assert "store.db" not in names(state)


def test_what_is_only_history_is_left_where_it_is(old, caplog):
    state = old("killed-apply")
    for kind in ("history", "applies"):
        sorted((state / kind).iterdir())[0].write_bytes(b"{")
    wanted = told("killed-apply")
    now = found(state)
    assert (len(now["ended"]), len(now["applies"])) == (len(wanted["ended"]) - 1, len(wanted["applies"]) - 1)
    assert now["open"] == wanted["open"] and "it is not taken over" in caplog.text


def test_a_torn_last_line_was_not_there_yet(old):
    state = old("pending")
    path = next((state / "journal").iterdir())
    with path.open("ab") as file:
        file.write(b'{"intent": 1, "before": {"driver": "nouveau", "override": null, "and so o')
    same(state, "pending")


def test_what_has_ended_in_the_journals_place_is_history(old):
    """Killed between the last line and the renaming."""
    state = old("pending")
    path = next((state / "journal").iterdir())
    with path.open("ab") as file:
        file.write(b'{"end": "done", "why": ""}\n')
    now = found(state)
    assert now["open"] == [] and path.stem in [one["id"] for one in now["ended"]]


def test_another_device_in_the_name_of_a_mark_is_damage(old):
    state = old("pending")
    (state / "claim" / f"{LONE}.json").rename(state / "claim" / "0000:01:00.0.json")
    with closing(Store(state)) as store, pytest.raises(Damaged, match="no claim record"):
        read_marks(store)


UUID = "GPU-11111111-2222-3333-4444-555555555555"
RESET = {"step": "ResetGpu", "address": GPU, "uuid": UUID, "why": ""}
MODE = {"step": "SetMigMode", "address": GPU, "uuid": UUID, "on": True, "reset_follows": True, "why": ""}
FORGET = {"step": "WriteRecord", "kind": "mig", "address": GPU, "record": None, "mdev": None, "why": ""}


def journalled(state, steps, *events):
    begun = {
        "schema": 1,
        "begin": "a",
        "plan": steps,
        "devices": [GPU],
        "boot_id": "b",
        "time": "2026",
        "user": "",
    }
    (state / "journal").mkdir(mode=0o700, parents=True)
    lines = (json.dumps(event) + "\n" for event in (begun, *events))
    (state / "journal" / "one.jsonl").write_text("".join(lines))
    state.chmod(0o700)
    with closing(Store(state)) as store:
        (operation,) = journal.open_operations(store)
        return operation


def test_a_mig_mode_that_waits_for_its_reset_is_reset(new_state):
    """Ampere: 0.1 had switched the mode and waited, in a step of its own, for who holds the GPU."""
    operation = journalled(
        new_state(),
        [RESET | {"back": True}, MODE, RESET | {"back": False}],
        {"intent": 0, "before": True},
        {"done": 0},
        {"intent": 1, "before": {"on": False, "pending": False}},
        {"done": 1},
        {"intent": 2, "before": True},
        {"pending": 2, "why": "in use by python (pid 4711)"},
    )
    assert operation.steps[1].reset and operation.pending is not None
    assert 1 not in operation.done, "what is left of it is the reset"
    assert operation.before[1].persistent, "persistence mode is off while it is reset"


def test_a_mig_mode_that_was_reset_is_done(new_state):
    begun = [event for n in range(3) for event in ({"intent": n, "before": False}, {"done": n})]
    begun[2]["before"] = {"on": False, "pending": False}
    operation = journalled(new_state(), [RESET | {"back": True}, MODE, RESET | {"back": False}], *begun)
    assert operation.done == {0, 1, 2} and not operation.before[1].persistent


def test_all_gpu_instances_of_a_record_are_forgotten_with_it(old):
    """A step that had not begun when 0.1 was killed."""
    state = old("all-marks")
    carrier = json.loads(next((state / "mig").iterdir()).read_text())["address"]
    operation = journalled(state, [FORGET | {"address": carrier}])
    with closing(Store(state)) as store:
        there = {mark.key for mark in read_marks(store) if mark.key[0] == "mig.made"}
    assert len(there) == 3 and set(operation.steps[0].forgets) == there
