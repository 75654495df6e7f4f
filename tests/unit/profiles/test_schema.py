"""The published schema says what the loader says, as far as a schema can."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from gpupass.model.profile import Profile
from gpupass.profiles import profile_schema, write_profile
from tests.profile_files import findings
from tests.profile_strategy import profiles

jsonschema = pytest.importorskip("jsonschema", reason="pip install -e '.[dev]'")
EXAMPLES = sorted((Path(__file__).parents[3] / "profiles").glob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(profile_schema())
RULE = "version: 1\ngpus: [{name: a, select: {slot: '3'}, use: sriov, vfs: 4}]\n"


def as_json(value: Any) -> Any:
    """JSON has text keys only."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, list) else value


def accepts(text: str) -> bool:
    return bool(VALIDATOR.is_valid(as_json(yaml.safe_load(text))))


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(profile_schema())
    assert "$id" not in profile_schema()


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.name for path in EXAMPLES])
def test_examples(path: Path) -> None:
    assert accepts(path.read_text())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(profiles())
def test_what_is_written(profile: Profile) -> None:
    assert accepts(write_profile(profile))


@pytest.mark.parametrize(
    "change",
    [
        ("version: 1", "version: 2"),
        ("version: 1", "version: true"),
        ("version: 1\n", ""),
        ("gpus", "gpu"),
        ("name: a, ", ""),
        ("name: a", "name: 1st"),
        ("name: a", "name: 3"),
        ("{slot: '3'}", "{}"),
        ("{slot: '3'}", "{sloth: '3'}"),
        ("{slot: '3'}", "{slot: ''}"),
        ("{slot: '3'}", "{slot: [3]}"),
        ("{slot: '3'}", "{address: '01:00'}"),
        ("{slot: '3'}", "{vendor: matrox}"),
        ("{slot: '3'}", "{numa: -1}"),
        ("{slot: '3'}", "{numa: x}"),
        ("use: sriov", "use: sr-iov"),
        ("use: sriov, ", ""),
        ("use: sriov", "use: passthrough"),
        (", vfs: 4", ""),
        ("vfs: 4", "vfs: -1"),
        ("vfs: 4", "vfs: four"),
        ("vfs: 4", "vfs: 4, vf_count: 4"),
        ("vfs: 4", "vfs: 4, vf: {drivers: {a: b}}"),
        ("vfs: 4", "vfs: 4, vf: {drivers: {1: a b}}"),
        ("vfs: 4", "vfs: 4, optional: 1"),
        ("vfs: 4", "vfs: 4, count: 0"),
        ("vfs: 4", "vfs: 4, take_over: true"),
        ("}]\n", "}]\nattachments: [{domain: a}]\n"),
        ("}]\n", "}]\ninclude: [[a]]\n"),
        ("}]\n", "}]\nhosts: {a: {version: 1}}\n"),
        ("}]\n", "}]\nhosts: {a b: {}}\n"),
        ("}]\n", "}]\nhosts: {a: {gpus: [{}]}}\n"),
    ],
    ids=str,
)
def test_both_refuse(change: tuple[str, str]) -> None:
    text = RULE.replace(*change)
    assert accepts(RULE) and not findings(RULE)
    assert text != RULE and findings(text) and not accepts(text)


def test_every_key_is_described() -> None:
    bare = [
        path for path, schema in _properties(profile_schema()) if not schema.keys() & {"description", "const"}
    ]
    assert bare == []


def _properties(schema: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(schema, list):
        return [found for item in schema for found in _properties(item, path)]
    if not isinstance(schema, dict):
        return []
    here = [(f"{path}.{name}", item) for name, item in schema.get("properties", {}).items()]
    return here + [
        found
        for name, item in schema.items()
        if name != "if"
        for found in _properties(item, f"{path}.{name}")
    ]
