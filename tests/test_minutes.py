"""scripts/minutes: what the suites of scripts/test may take."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def judged(text):
    argv = [sys.executable, str(ROOT / "scripts/minutes")]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    return done.returncode, [line.split() for line in done.stdout.splitlines()], done.stderr


@pytest.mark.parametrize(
    ("seconds", "status", "over"),
    [(60, 0, []), (30 * 60 + 1, 0, []), (46 * 60, 0, ["lab"]), (60 * 60 + 1, 1, ["lab", "all"])],
)
def test_a_slow_suite_is_named_and_a_far_too_slow_run_fails(seconds, status, over):
    code, rows, said = judged(f"style and types 30\nlab tests {seconds - 30}\n")
    assert code == status
    assert [row[0] for row in rows if row[-1] == "over"] == over
    assert [row[0] for row in rows] == ["style", "lab", "all"]
    assert ("at most" in said) is bool(status)


def test_every_suite_has_its_minutes():
    suites = re.findall(r'suite "([^"]+)"', (ROOT / "scripts/test").read_text())
    assert len(suites) >= 5
    code, rows, said = judged("".join(f"{name} 1\n" for name in suites))
    assert code == 0 and len(rows) == len(suites) + 1, said
    assert judged("unheard of 1\n")[0] == 1
