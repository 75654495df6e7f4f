"""The journal: what is appended is read back, marks come and go with their steps, every kind survives."""

import errno
import string
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Union, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, convert
from msgspec.structs import fields, replace

from gpupass.definition.preparation import Preparation, RootPort, Window
from gpupass.engine import journal
from gpupass.engine.run import Result, execute
from gpupass.errors import GpupassError
from gpupass.kinds import STEPS as STEP_KINDS
from gpupass.kinds import AnyMark, AnyStep
from gpupass.model.address import BOOT, Address, Name
from gpupass.model.mark import Claim, Origin
from gpupass.model.wire import from_json, to_json
from gpupass.plan import Plan
from gpupass.steps.attribute import SetAttribute
from gpupass.steps.bind import BindDriver, Binding
from gpupass.steps.file import WriteFile
from gpupass.steps.kernel_arguments import SetKernelArguments
from gpupass.steps.module import LoadModule
from gpupass.steps.tuning import _FILES as TUNINGS
from gpupass.steps.tuning import Tune
from gpupass.steps.vf_link import _WORDS as OF_VFS
from gpupass.steps.vf_link import SetVf
from gpupass.steps.vfs import SetVfs
from gpupass.store import marks, operations, store_of
from gpupass.system.identity import read_identity
from tests.simulated import GPU, LONE

TEXT = st.text(string.printable + "äß\u2028\0", max_size=8)
FILE = f"/sys/bus/pci/devices/{GPU}/sriov_admin/vf1/profile/vram_quota"
WORDS = st.lists(st.from_regex(r"\A[a-z_.]+=[a-z0-9,]+\Z"), min_size=1, max_size=2).map(tuple)
RESTRICTED = {
    Tune: {"setting": st.sampled_from(sorted(TUNINGS)), "value": st.from_regex(r"\A[ -~]*\Z")},
    SetVf: {"setting": st.sampled_from(sorted(OF_VFS)), "value": st.from_regex(r"\A[ -~]*\Z")},
    RootPort: {"index": st.integers(1, 255), "slot": st.integers(1, 31), "function": st.integers(0, 7)},
    Window: {"index": st.integers(1, 255), "kept": st.sampled_from(["mem-reserve", "pref64-reserve"])},
    Preparation: {"cold": st.lists(st.integers(1, 255), max_size=3).map(tuple)},
    SetAttribute: {"address": st.just(GPU), "path": st.just(FILE), "value": st.from_regex(r"\A[A-Z0-9]*\Z")},
    SetKernelArguments: {"add": WORDS, "remove": WORDS},
    SetVfs: {"address": st.just(GPU), "keep": st.lists(st.just(FILE), max_size=2).map(tuple)},
}


@cache
def values(kind):
    """Any value of a type that a step or a mark has."""
    if kind is Address:
        return st.sampled_from([GPU, LONE, BOOT])
    if kind is Name:
        return st.sampled_from([GPU, LONE, f"{GPU}/3g.20gb@4", f"{GPU}/3g.20gb@4/lane0"])
    kind = getattr(kind, "__supertype__", kind)
    if get_origin(kind) is Annotated and kind is not Name:
        return values(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return st.one_of(values(arm) for arm in get_args(kind))
    if get_origin(kind) is tuple:
        first, *rest = get_args(kind)
        if rest != [Ellipsis]:
            return st.tuples(*map(values, (first, *rest)))
        return st.lists(values(first), max_size=3).map(tuple)
    if isinstance(kind, type) and issubclass(kind, Struct):
        found = {field.name: values(field.type) for field in fields(kind)}
        fitting = (RESTRICTED[one] for one in kind.__mro__ if one in RESTRICTED)
        return st.builds(kind, **found | next(fitting, {}))
    if kind is NoneType:
        return st.none()
    basics = {str: TEXT, int: st.integers(), bool: st.booleans()}
    return basics[kind] if kind in basics else st.sampled_from(list(kind))


@pytest.mark.parametrize("kind", STEP_KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_every_kind_of_step_survives_json(kind, data):
    step = data.draw(values(kind))
    assert from_json(to_json(step), AnyStep) == step


@pytest.mark.parametrize("kind", get_args(AnyMark), ids=lambda kind: kind.__struct_config__.tag)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_marks_survive_json(kind, data):
    mark = data.draw(values(kind))
    assert from_json(to_json(mark), AnyMark) == mark


@pytest.mark.parametrize("kind", STEP_KINDS, ids=lambda kind: kind.__name__)
def test_a_step_without_a_field_or_with_a_strange_one_is_refused(kind):
    for data in ({"step": kind.__name__}, {"step": kind.__name__, "colour": "red"}, {"step": "Explode"}, {}):
        with pytest.raises(ValueError):
            convert(data, AnyStep)


NOTHING = Binding(driver=None, override=None)
STEPS = tuple(BindDriver(address=a, driver="vfio-pci", override="vfio-pci") for a in (GPU, LONE))


def begun(store):
    plan = Plan(title="a plan", steps=STEPS, devices=(GPU, LONE))
    return journal.begin(store, plan, boot_id="b", time="2026-01-01T00:00:00+00:00", user="root")


@pytest.fixture
def store(machine):
    return store_of(machine)


def test_what_is_appended_is_read_back(store):
    operation = begun(store)
    assert journal.read(store, operation.id) == operation
    for append in (
        lambda o: journal.intent(store, o, 0, NOTHING),
        lambda o: journal.pending(store, o, 0, "not yet"),
        lambda o: journal.done(store, o, 0),
        lambda o: journal.intent(store, o, 1, NOTHING),
        lambda o: journal.rolling_back(store, o, "why"),
        lambda o: journal.undone(store, o, 0),
    ):
        operation = append(operation)
        assert journal.read(store, operation.id) == operation
    assert (operation.pending, operation.rolling_back) == (None, True)
    ended = journal.end(store, operation, "rolled-back", "why")
    assert journal.open_operations(store) == () and journal.read(store, ended.id) is None
    assert [(one.id, one.end, one.steps) for one in journal.ended_operations(store)] == [
        (ended.id, "rolled-back", ())
    ]


def test_what_another_has_ended_goes_no_further(store):
    operation = begun(store)
    journal.end(store, operation, "done")
    with pytest.raises(GpupassError, match="another gpupass has ended it"):
        journal.intent(store, operation, 0, NOTHING)


def test_oldest_first_and_the_oldest_of_the_history_go(store, monkeypatch):
    monkeypatch.setattr(operations, "KEPT", 2)
    first, second = begun(store), begun(store)
    assert [o.id for o in journal.open_operations(store)] == [first.id, second.id]
    for operation in (second, begun(store), first, begun(store)):
        journal.end(store, operation, "done")
    assert [o.id for o in journal.ended_operations(store)] == [first.id, operation.id]
    with store.reading() as rows:
        assert {name for name, *_ in rows.rows("events")} == {first.id, operation.id}


MARK = Origin(carrier=GPU, driver="nouveau")
OTHER = Origin(carrier=GPU, driver="nvidia")
CLAIM = Claim(carrier=LONE, domain="vm1", uuid="1")


def test_a_mark_comes_with_the_intent_and_goes_with_the_done(store):
    marks.set_marks(store, (OTHER, CLAIM))
    operation = journal.intent(store, begun(store), 0, NOTHING, (MARK,), (CLAIM.key,))
    assert marks.read_marks(store) == (CLAIM, MARK)
    operation = journal.done(store, operation, 0, (CLAIM.key,))
    assert marks.read_marks(store) == (MARK,)
    journal.undone(store, operation, 0)
    assert marks.read_marks(store) == (CLAIM, OTHER)


def test_a_mark_that_was_not_there_before_is_gone_when_its_step_is_undone(store):
    operation = journal.intent(store, begun(store), 0, NOTHING, (MARK, CLAIM))
    journal.undone(store, operation, 0)
    assert marks.read_marks(store) == ()


def test_steps_that_carry_marks(machine, store):
    """The engine hands them on: set with the intent, forgotten when it is done, back when it is undone."""
    bind = replace(STEPS[1], marks=(MARK,), forgets=(CLAIM.key,))
    marks.set_mark(store, CLAIM)
    plan = Plan(title="bind", steps=(LoadModule(module="vfio-pci"), bind), devices=(LONE,))
    machine.faults["unbind", LONE] = errno.EBUSY
    assert execute(plan, machine, 0).result is Result.ROLLED_BACK
    assert marks.read_marks(store) == (CLAIM,)
    assert execute(plan, machine, 0).result is Result.DONE
    whose = read_identity(machine, MARK.carrier)
    assert whose is not None and marks.read_marks(store) == (replace(MARK, identity=whose),)


def test_what_only_the_head_had_room_for_is_said_once_there_is_more(store):
    """With the marks of before, for which there was no room either."""
    marks.set_mark(store, CLAIM)
    operation = journal.intent(store, begun(store), 0, NOTHING, (MARK,), (CLAIM.key,))
    operation = journal.done(store, operation, 0, (CLAIM.key,))
    assert journal.unbegun(store, operation).end == "rolled-back"
    assert journal.open_operations(store) == ()
    another = begun(store)
    assert marks.read_marks(store) == (CLAIM,) and store.over() == ()
    assert [(o.id, o.end) for o in journal.ended_operations(store)] == [(operation.id, "rolled-back")]
    assert [o.id for o in journal.open_operations(store)] == [another.id]


def test_what_every_step_is_about():
    assert STEPS[0].carriers == (GPU,)
    assert {len(convert(sample, AnyStep).carriers) for sample in SAMPLES} == {0, 1, 2}


SAMPLES = (
    {"step": "LoadModule", "module": "vfio-pci"},
    {"step": "ResetDevice", "addresses": [GPU, LONE], "method": "bus"},
    {"step": "AwaitRelease", "addresses": [GPU], "group": 1},
    {"step": "SetPersistence", "address": GPU, "uuid": "u", "on": True},
)


FILES = {"file": {"text": "x", "mode": 420}, "missing": ["/etc/gpupass"]}


@pytest.mark.parametrize(
    "before, sound",
    [
        (FILES, True),
        (FILES | {"file": None}, True),
        (FILES | {"colour": "red"}, False),
        (FILES | {"file": {"text": "x", "mode": 420, "colour": "red"}}, False),
        (FILES | {"file": {"text": "x", "mode": True}}, False),
        ({"file": None}, False),
        (None, False),
    ],
)
def test_a_value_before_that_no_step_could_tell_is_damage(before, sound):
    step = WriteFile(path="/etc/gpupass/x", text="y")
    if sound:
        convert(before, step.Before)
    else:
        with pytest.raises(ValueError):
            convert(before, step.Before)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        f"/sys/bus/pci/devices/{LONE}/reset",
        f"/sys/bus/pci/devices/{GPU}/../{LONE}/reset",
        f"/sys/bus/pci/devices/{GPU}/a b",
        f"/sys/kernel/debug/dri/{GPU}",
        f"/proc/{GPU}/x",
        f"{FILE}\n",
    ],
)
def test_an_attribute_is_a_file_of_its_device(path):
    data = {"step": "SetAttribute", "address": GPU, "path": path, "value": "1", "why": ""}
    with pytest.raises(ValueError, match="no file of"):
        convert(data, AnyStep)
    with pytest.raises(ValueError, match="no file of"):
        convert({"step": "SetVfs", "address": GPU, "count": 0, "autoprobe": True, "keep": [path]}, AnyStep)
    with pytest.raises(ValueError, match="no value of"):
        convert(data | {"path": FILE, "value": "1; reboot"}, AnyStep)
