"""What the README promises is held: each safety rule by tests that exist, its command by the launcher it installs."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
RULES = README.partition("## Safety rules")[2].partition("\n## ")[0]


def test_every_safety_rule_has_tests():
    rules = re.findall(r"^(\d+)\. ", RULES, re.MULTILINE)
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", RULES, re.MULTILINE))
    assert rules == list(rows) and len(rules) >= 14
    for rule, tests in rows.items():
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests)
        assert named and len(named) == tests.count("`") // 2, rule
        for path, name in named:
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), (
                f"{rule}: {path}::{name}"
            )


def test_the_command_it_installs_obeys_no_environment(tmp_path):
    """PYTHONPATH=. sudo -E gpupass: whatever lies there would run as root."""
    script = re.search(r"printf '(#!.*)' \|", README)
    assert script is not None
    text = script[1].replace("\\n", "\n").replace("/opt/gpupass/bin/python3", sys.executable)
    command = tmp_path / "gpupass"
    command.write_text(text)
    command.chmod(0o755)
    for name in ("yaml", "click", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(77)\n")
    profile = tmp_path / "p.yaml"
    profile.write_text("version: 1\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    argv = [str(command), "profile", "validate", str(profile)]
    done = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "valid" in done.stdout) == (0, True), done.stderr
