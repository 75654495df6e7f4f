"""Names that others choose move no cursor; JSON stays exact."""

import json
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpupass.cli.failed import print_failure
from gpupass.cli.output import show_error, tell
from gpupass.cli.printable import printable, printable_lines
from gpupass.errors import GpupassError

ROOT = Path(__file__).parents[3]
OBEYED = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Grafikkarte für vm-1 …", "Grafikkarte für vm-1 …"),
        ("\x1b[7A\x1b[2K", r"\x1b[7A\x1b[2K"),
        ("\x9b2J", r"\x9b2J"),
        ("vm\u202egnp.exe", r"vm\u202egnp.exe"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\udcff", r"\udcff"),
    ],
)
def test_one_line(name, shown):
    assert printable(name) == shown


@given(st.text())
def test_nothing_that_a_terminal_obeys(text):
    assert not any(unicodedata.category(sign) in OBEYED for sign in printable(text))
    kept = set(printable_lines(text)) - {"\n", "\t"}
    assert not any(unicodedata.category(sign) in OBEYED for sign in kept)


def test_errors_and_lines(capsys):
    tell("domain \x1bc")
    show_error(GpupassError("cannot \u202e", "virsh \x07", (("a\nb", "c\x1b"),)))
    out, err = capsys.readouterr()
    assert out == "domain \\x1bc\n"
    assert err == "cannot \\u202e\n  - a\\nb\n    c\\x1b\nhint: virsh \\x07\n"
    print_failure(GpupassError("cannot \u202e"), ["list", "--json"])
    assert json.loads(capsys.readouterr().out)["error"]["message"] == "cannot \u202e"


def test_there_is_one_exit():
    """Whoever calls click.echo himself says why here."""
    mine = {
        "output.py": 4,
        "main.py": 1,
        "profile.py": 1,
        "schema.py": 2,
    }  # the exit; usage errors; the schema, which is ours
    for path in (ROOT / "gpupass/cli").glob("*.py"):
        if path.name != "lab.py":
            calls = len(re.findall(r"click\.s?echo|(?<![.\w])print\(", path.read_text()))
            assert calls == mine.get(path.name, 0), path


def test_what_is_typed_is_not_obeyed_either():
    line = [sys.executable, "-m", "gpupass", "sh\x1bcow"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 2 and "\x1b" not in done.stderr and "sh\\x1bcow" in done.stderr
