"""The journal: what is appended is read back, a torn tail is cut, every kind of step survives the trip."""

import json
import os
import string
from types import NoneType, UnionType
from typing import Union, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct, convert
from msgspec.structs import fields

from gpupass.engine import journal
from gpupass.errors import GpupassError, Refused
from gpupass.kinds import STEPS as STEP_KINDS
from gpupass.kinds import AnyStep
from gpupass.model.address import BOOT, Address
from gpupass.model.record import Record
from gpupass.model.wire import from_json, to_json
from gpupass.plan import Plan
from gpupass.steps.attribute import SetAttribute
from gpupass.steps.bind import BindDriver, Binding
from gpupass.steps.file import WriteFile
from gpupass.steps.vfs import SetVfs
from tests.simulated import GPU, LONE

TEXT = st.text(string.printable + "äß\u2028\0", max_size=8)
FILE = f"/sys/bus/pci/devices/{GPU}/sriov_admin/vf1/profile/vram_quota"
RESTRICTED = {
    SetAttribute: {"address": st.just(GPU), "path": st.just(FILE), "value": st.from_regex(r"\A[A-Z0-9]*\Z")},
    SetVfs: {"address": st.just(GPU), "keep": st.lists(st.just(FILE), max_size=2).map(tuple)},
}


def values(kind):
    """Any value of a type that a step or a record has."""
    if kind is Address:
        return st.sampled_from([GPU, LONE, BOOT])
    kind = getattr(kind, "__supertype__", kind)
    if get_origin(kind) in (Union, UnionType):
        return st.one_of(values(arm) for arm in get_args(kind))
    if get_origin(kind) is tuple:
        return st.lists(values(get_args(kind)[0]), max_size=3).map(tuple)
    if isinstance(kind, type) and issubclass(kind, Struct):
        found = {field.name: values(field.type) for field in fields(kind)}
        return st.builds(kind, **found | RESTRICTED.get(kind, {}))
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


@given(values(Record))
@settings(max_examples=25, deadline=None)
def test_records_survive_json(record):
    assert from_json(to_json(record), Record) == record


@pytest.mark.parametrize("kind", STEP_KINDS, ids=lambda kind: kind.__name__)
def test_a_step_without_a_field_or_with_a_strange_one_is_refused(kind):
    for data in ({"step": kind.__name__}, {"step": kind.__name__, "colour": "red"}, {"step": "Explode"}, {}):
        with pytest.raises(ValueError):
            convert(data, AnyStep)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(line=JSON, second=JSON)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_content_of_a_journal_is_a_traceback(line, second, machine):
    directory = machine.state / "journal"
    directory.mkdir(parents=True, exist_ok=True)
    good = {"schema": 1, "begin": "x", "plan": [], "devices": [], "boot_id": "", "time": ""}
    for number, first in enumerate((line, good)):
        path = directory / f"{number}.jsonl"
        path.write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
        operation = journal.read(path)
        assert operation is None or (operation.title, operation.steps) == ("x", ())


NOTHING = Binding(driver=None, override=None)
STEPS = tuple(BindDriver(address=a, driver="vfio-pci", override="vfio-pci") for a in (GPU, LONE))


def begun(machine):
    return journal.begin(machine, Plan(title="a plan", steps=STEPS, devices=(GPU, LONE)))


def test_what_is_appended_is_read_back(machine):
    operation = begun(machine)
    assert journal.read(operation.path) == operation
    for append in (
        lambda o: journal.intent(o, 0, NOTHING),
        lambda o: journal.pending(o, 0, "not yet"),
        lambda o: journal.done(o, 0),
        lambda o: journal.intent(o, 1, NOTHING),
        lambda o: journal.rolling_back(o, "why"),
        lambda o: journal.undone(o, 0),
    ):
        operation = append(operation)
        assert journal.read(operation.path) == operation
    assert (operation.lines, operation.pending, operation.rolling_back) == (7, None, True)
    ended = journal.end(operation, "rolled-back", "why")
    assert list(journal.open_operations(machine)) == []
    assert journal.read(ended.path).end == "rolled-back"


def test_a_torn_tail_is_cut_before_the_next_line(machine):
    operation = begun(machine)
    with operation.path.open("ab") as file:
        file.write(b'{"intent": 0, "before": {"driver": "nouveau", "override": null, "and so o')
    (found,) = journal.open_operations(machine)
    assert (found.lines, found.before) == (1, {})
    journal.intent(found, 0, NOTHING)
    assert len(operation.path.read_text().splitlines()) == 2
    (found,) = journal.open_operations(machine)
    assert found.before == {0: NOTHING}


def test_oldest_first_and_only_for_root_to_read(machine):
    first, second = begun(machine), begun(machine)
    assert [o.path for o in journal.open_operations(machine)] == [first.path, second.path]
    assert first.path.stat().st_mode & 0o777 == 0o600
    assert first.path.parent.stat().st_mode & 0o777 == 0o700


def test_an_ordinary_user_is_told_to_use_sudo(machine, monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.listdir", closed)
    with pytest.raises(Refused, match="Permission denied") as refused:
        list(journal.open_operations(machine))
    assert "sudo" in refused.value.hint


def test_two_processes_cannot_begin_under_one_name(machine):
    """Nothing that another gpupass looking for open operations could take for damaged is ever seen."""
    seen = []
    operation = begun(machine)
    for path in operation.path.parent.iterdir():
        seen.append(path.suffix)
    assert seen == [".jsonl"]


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


def test_half_a_line_is_not_taken_for_a_whole_one(machine, monkeypatch):
    """A disk that fills up takes what fits and reports no error."""
    operation = begun(machine)
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:5], offset))
    with pytest.raises(GpupassError, match="No space left"):
        journal.intent(operation, 0, None)
    with pytest.raises(GpupassError, match="No space left"):
        begun(machine)
    monkeypatch.setattr(os, "pwrite", real)
    assert [found.before for found in journal.open_operations(machine)] == [{}]
    assert len(list(operation.path.parent.iterdir())) == 1


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
