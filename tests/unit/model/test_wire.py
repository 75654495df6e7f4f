"""The model as JSON text: what is written is read, whatever bytes a name has; addresses have one spelling."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import ValidationError, convert

from gpupass.model.address import Address, parent_address
from gpupass.model.wire import from_json, to_json
from gpupass.steps.file import WriteFile

STEP = WriteFile(path="/etc/x", text="ä\u2028\x1b", why="because")


@pytest.mark.parametrize("text", ["plain", "ä\u2028\0", "\udcff\n", "\ud800", "", "\\ud800"])
@pytest.mark.parametrize("indent", [0, 1, 2])
def test_what_is_written_is_read(text, indent):
    step = WriteFile(path="/etc/x", text=text)
    written = to_json({"schema": 1, "steps": (step,)}, indent)
    assert from_json(written, dict[str, int | tuple[WriteFile, ...]])["steps"] == (step,)
    assert json.loads(written)["steps"][0]["text"] == text
    assert (b"\n" in written) == bool(indent)


@pytest.mark.parametrize("text", ["{", "", '{"step": "WriteFile"}', "\udcff", "[1]", '"\\ud800"', "null"])
def test_nonsense_is_a_value_error(text):
    with pytest.raises(ValueError):
        from_json(text, WriteFile)


@given(
    st.text(max_size=8)
    | st.from_regex(r"[0-9a-fA-F]{1,9}:[0-9a-fA-F]{1,3}:[0-9a-f]{1,3}\.[0-9]", fullmatch=True)
    | st.from_regex(r"[A-Za-z0-9_.-]{1,70}", fullmatch=True)
)
@example("0000:01:00.0")
@example("0000:01:00.0\n")
@example("boot")
@example("10000:e1:1f.7")
@example("00000:01:00.0")
def test_only_what_is_spelled_as_an_address_is_read_as_one(text):
    try:
        read = convert(text, Address)
    except ValidationError:
        read = None
    assert (read is not None) == (parent_address(text) == text)
