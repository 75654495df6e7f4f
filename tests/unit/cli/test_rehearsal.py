"""`--host DIR` of the verbs that change: their plan for a recorded host, as --dry-run tells it of this one."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

HOSTS = Path(__file__).parents[2] / "hosts"


def typed(*words: str) -> tuple[int, dict]:
    argv = [sys.executable, "-m", "gpupass", *words, "--json"]
    done = subprocess.run(argv, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


def files(host: Path) -> str:
    found = sorted(path for path in host.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(str(path).encode() + path.read_bytes() for path in found)).hexdigest()


@pytest.mark.parametrize(
    ("host", "words", "last"),
    [
        ("lab-simple", ["bind", "01:00.0"], "BindDriver"),
        ("lab-sriov", ["attach", "vm1", "01:10.2"], "AttachDevice"),
        ("desktop", ["bind", "01:00.0"], "BindDriver"),
    ],
)
def test_the_plan_for_a_record(host, words, last):
    before = files(HOSTS / host)
    status, said = typed(*words, "--host", str(HOSTS / host))
    assert (status, said["changed"]) == (0, True)
    assert {step["status"] for step in said["steps"]} == {"planned"} and said["steps"][-1]["step"] == last
    assert files(HOSTS / host) == before


@pytest.mark.parametrize(
    ("host", "words", "why"),
    [
        ("lab-simple", ["attach", "nobody", "01:00.0"], "cannot find the domain nobody"),
        ("lab-simple", ["attach", "nobody", "0a:00.0"], "cannot find a device 0a:00.0"),
        ("no-iommu", ["bind", "01:00.0"], "no IOMMU"),
        ("desktop", ["move", "01:00.0", "--to", "x"], "cannot tell which domain has what"),
    ],
)
def test_refused_like_the_deed(host, words, why):
    status, said = typed(*words, "--host", str(HOSTS / host))
    assert status in (2, 4) and why in json.dumps(said["error"])


@pytest.mark.parametrize("verb", [["unbind", "02:00.0"], ["adopt", "02:00.0"], ["detach", "vm1", "01:10.2"]])
def test_nothing_to_do_is_said(verb):
    status, said = typed(*verb, "--host", str(HOSTS / "lab-sriov"))
    assert (status, said["changed"], said["steps"]) == (0, False, [])
