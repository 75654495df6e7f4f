"""`use: mig`: a layout as a name, as profiles, or with places and compute instances; and what is wrong with one."""

import pytest
import yaml

from gpupass.methods.mig.rule import MigRule
from gpupass.model.mig import LayoutEntry
from gpupass.model.profile import Profile, Select
from gpupass.profiles import profile_schema, write_profile
from tests.profile_files import findings, load

jsonschema = pytest.importorskip("jsonschema", reason="pip install -e '.[dev]'")
VALIDATOR = jsonschema.Draft202012Validator(profile_schema())


def rule(layout):
    return f"version: 1\ngpus: [{{name: a, select: {{slot: '3'}}, use: mig, layout: {layout}}}]\n"


def accepts(text):
    return VALIDATOR.is_valid(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("balanced", "balanced"),
        ("all-1g.5gb+me", "all-1g.5gb+me"),
        ("[]", ()),
        ("3g.20gb", (LayoutEntry(profile="3g.20gb"),)),
        (
            "[3g.20gb, 2g.10gb, 1g.5gb, 1g.5gb+me]",
            tuple(LayoutEntry(profile=name) for name in ("3g.20gb", "2g.10gb", "1g.5gb", "1g.5gb+me")),
        ),
        (
            "[{profile: 3g.20gb, start: 4}, {profile: 4g.20gb, compute: [2c, 2c]}, 1g.24gb-me]",
            (
                LayoutEntry(profile="3g.20gb", start=4),
                LayoutEntry(profile="4g.20gb", compute=(2, 2)),
                LayoutEntry(profile="1g.24gb-me"),
            ),
        ),
        ("[{profile: 7g.40gb, compute: []}]", (LayoutEntry(profile="7g.40gb", compute=()),)),
        ("{profile: 7g.40gb}", None),
    ],
)
def test_layouts(text, layout):
    if layout is None:
        (found,) = findings(rule(text))
        assert "layout: expected a list, not a mapping" in found
        assert not accepts(rule(text))
        return
    wanted = Profile(gpus=(MigRule(name="a", select=Select(slot="3"), layout=layout),))
    assert load(rule(text)) == wanted
    assert load(write_profile(wanted)) == wanted
    assert accepts(rule(text)) and accepts(write_profile(wanted))


def test_as_it_is_written():
    layout = (LayoutEntry(profile="3g.20gb", start=4, compute=(2, 1)), LayoutEntry(profile="1g.5gb+me"))
    text = write_profile(Profile(gpus=(MigRule(name="a", select=Select(slot="3"), layout=layout),)))
    assert "  layout: [{profile: 3g.20gb, start: 4, compute: [2c, 1c]}, 1g.5gb+me]\n" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "layout: expected a list, not nothing"),
        ("[[]]", "layout: expected a mapping, not a list"),
        ("[balanced]", "profile: 'balanced' does not fit: a profile like 1g.5gb, 1g.5gb+me or 3g.20gb"),
        ("[{start: 4}]", "missing key 'profile': profile of the GPU instance, 3g.20gb"),
        ("[{profile: 3g.20gb, stat: 4}]", "unknown key 'stat', did you mean 'start'?"),
        ("[{profile: 3g.20gb, start: -1}]", "start: must be at least 0, not -1"),
        ("[{profile: 3g.20gb, compute: [2]}]", "compute: expected a number like 1c, not the number 2"),
        ("[{profile: 3g.20gb, compute: [0c]}]", "compute: expected a number like 1c, not the text '0c'"),
        ("on", "profile: 'on' does not fit: a profile like 1g.5gb, 1g.5gb+me or 3g.20gb"),
    ],
)
def test_what_is_wrong(text, message):
    (found,) = findings(rule(text))
    assert found.endswith(message)
    assert not accepts(rule(text))
