"""The reading verbs on recorded hosts, compared with golden files; `pytest --regenerate` writes them anew."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gpupass.cli.main import cli

HOSTS = Path(__file__).parents[2] / "hosts"
GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.name for path in HOSTS.iterdir() if (path / "sys").is_dir())
VERBS = {"list": ["list", "--all"], "groups": ["groups", "--all"], "slots": ["slots"], "export": ["export"]}
SHOWN = {
    "desktop": "1:0.0",
    "server-sriov": "slot:5",
    "mig-server": "07:00.0",
    "acs-less": "03:00.0",
    "no-iommu": "0000:01:00.0",
    "lab-simple": "04:00.0",
    "lab-groups": "01:00.0",
    "lab-sriov": "03:00.0",
    "intel-xe": "03:00.0",
    "intel-xe-debugfs": "03:00.0",
    "intel-i915": "03:00.0",
    "amd-mi300x": "26:00.0",
    "amd-gim": "05:00.0",
}
CASES = [(name, verb, words) for name in NAMES for verb, words in VERBS.items()]
CASES += [(name, "show", ["show", device]) for name, device in SHOWN.items()]


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize(("name", "verb", "words"), CASES, ids=[f"{n}-{v}" for n, v, _ in CASES])
def test_golden(name: str, verb: str, words: list[str], as_json: bool, regenerate: bool) -> None:
    arguments = [*words, "--host", str(HOSTS / name), *(["--json"] if as_json else [])]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    golden = GOLDEN / name / f"{verb}.{'json' if as_json else 'txt'}"
    if regenerate:
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(result.stdout)
    assert result.stdout == golden.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_json_carries_its_schema(name: str) -> None:
    for words in VERBS.values():
        result = CliRunner().invoke(cli, [*words, "--json", "--host", str(HOSTS / name)])
        assert json.loads(result.stdout)["schema"] == 2


@pytest.mark.parametrize("name", NAMES)
def test_what_is_exported_is_already_so(name: str) -> None:
    profile = str(GOLDEN / name / "export.txt")
    planned = CliRunner().invoke(cli, ["plan", profile, "--host", str(HOSTS / name), "--json"])
    made = json.loads(planned.stdout)
    assert made["steps"] == [] and made["matches"] and planned.exit_code == 0, made


@pytest.mark.parametrize("name", NAMES)
def test_lists_fit_a_terminal(name: str) -> None:
    result = CliRunner().invoke(cli, ["list", "--all", "--host", str(HOSTS / name)])
    rows = [line for line in result.stdout.splitlines() if line[:4] in ("ADDR", "0000")]
    assert max(map(len, rows)) <= 100
    assert "\x1b" not in result.stdout
