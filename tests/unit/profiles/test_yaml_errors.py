"""Text that is no YAML, or YAML that a profile must not use: each with its place."""

import pytest
import yaml

from gpupass.profiles import load_profile, tree
from gpupass.profiles.findings import ProfileInvalid
from tests.profile_files import findings

EMPTY = ["1:1: the file is empty"]
TAB = "a tab cannot indent YAML: use spaces"
CASES = [
    ("", EMPTY),
    ("# nothing yet\n", EMPTY),
    ("---\n...\n", EMPTY),
    ("~", EMPTY),
    ("version: 1\ngpus:\n\t- name: a\n", [f"3:1: {TAB}"]),
    ("\tversion: 1", [f"1:1: {TAB}"]),
    ("version: 1\ngpus:\n  - name: a\n  \tuse: host\n", [f"4:3: {TAB}"]),
    ("version: 1\n---\nversion: 1\n", ["2:1: a second document begins here"]),
    ("version: 1\nversion: 1\n", ["2:1: the key 'version' stands twice: first at p.yaml:1:1"]),
    ('version: 1\n"version": 1\n', ["2:1: the key 'version' stands twice: first at p.yaml:1:1"]),
    ("version: 1\x00", ["1:11: the character U+0000 cannot stand in YAML"]),
    ("version: 1\n# \ud800", ["2:3: the character U+D800 cannot stand in YAML"]),
    ("version: 1\nhosts: {a: {}}\n<<: {include: b}\n", ["3:1: merging with '<<' is not supported"]),
    ("version: 1\ngpus: *rules\n", ["2:7: the alias *rules names no anchor before it"]),
    ("version: 1\ngpus: &a [*a]\n", ["2:11: the alias *a stands inside of what it names"]),
    (
        "version: !!python/name:os.system 1",
        ["1:10: the tag '!!python/name:os.system' means nothing in a profile"],
    ),
    ("version: 1\ngpus: !!set {a}\n", ["2:7: the tag '!!set' means nothing in a profile"]),
    ("version: !bad 1", ["1:10: the tag '!bad' means nothing in a profile"]),
    ("version: 1\n? [a]\n: b\n", ["2:3: a key must be a word, not a list or mapping"]),
    ("[" * 500, ["1:52: the file is nested deeper than 50 levels here"]),
    ("{a: " * 100_000, ["1:202: the file is nested deeper than 50 levels here"]),
    ("- " * 100_000, ["1:103: the file is nested deeper than 50 levels here"]),
    ("version: 1 #" + "x" * (1 << 20), ["1:1: the file is larger than 1 MiB"]),
    ("version: 1\ngpus: [" + "1," * 200_000 + "]", ["2:199998: the file grows beyond 100000 values here"]),
]


@pytest.mark.parametrize("text, expected", CASES, ids=[repr(text[:30]) for text, _ in CASES])
def test_message_and_place(text: str, expected: list[str]) -> None:
    assert findings(text) == expected


def test_brackets_beyond_what_the_parser_itself_takes() -> None:
    """PyYAML 6.0.4 looks ahead, and has a limit of its own."""
    (finding,) = findings("[" * 100_000)
    assert "nest" in finding


SYNTAX = [
    ("version: [1\n", "2:1: this is no YAML: "),
    ("version: 1\n  gpus: []\n", "2:7: this is no YAML: "),
    ("version: 'a", "1:12: this is no YAML: "),
    ("%YAML 3.0\n---\nversion: 1\n", "1:1: this is no YAML: "),
]


@pytest.mark.parametrize("text, beginning", SYNTAX)
def test_syntax(text: str, beginning: str) -> None:
    (found,) = findings(text)
    assert found.startswith(beginning)


def test_the_loader_in_python_sees_the_same_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "LOADER", yaml.SafeLoader)
    small = [(text, expected) for text, expected in CASES if len(text) < 1000]
    assert [(text, findings(text)) for text, _ in small] == small


def test_billion_laughs() -> None:
    lines = ["version: 1", "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 12)]
    assert findings("\n".join(lines)) == ["7:10: the file grows beyond 100000 values here"]


def test_a_chain_of_aliases_is_not_deeper_than_its_writing() -> None:
    chain = ["version: 1", "a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 200))]
    assert findings("\n".join(chain)) == ["51:12: the file is nested deeper than 50 levels here"]


def test_an_unquoted_star_is_explained() -> None:
    with pytest.raises(ProfileInvalid) as raised:
        load_profile("p.yaml", lambda name: "version: 1\ngpus:\n  - select: {model: *A100*}\n", "h")
    assert raised.value.hint == "a text that begins with '*' needs quotes: \"*A100*\""


def test_endless_errors_end() -> None:
    found = findings("version: 1\n" + "".join(f"key{n}: 1\n" for n in range(5000)))
    assert (len(found), found[-1]) == (101, " there may be more")
