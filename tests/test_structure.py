"""The import rules of the house (pyproject.toml, tool.importlinter) hold."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MACHINE = {"subprocess", "libvirt", "libvirt_qemu", "pynvml", "pyudev", "ctypes", "fcntl"}


def test_imports_go_down_the_house_only():
    pytest.importorskip("importlinter", reason="pip install -e '.[dev]'")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(
        [*command, "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Contracts: " in done.stdout and "0 kept" not in done.stdout


def test_only_the_door_knows_the_machine():
    """subprocess, libvirt, NVML and udev are imported by system/ alone; the lab drives its own machines."""
    package = ROOT / "gpupass"
    found = set()
    for path in package.rglob("*.py"):
        where = path.relative_to(package).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            if {name.partition(".")[0] for name in names} & MACHINE:
                found.add(where)
    assert found - {"lab"} == {"system"}
