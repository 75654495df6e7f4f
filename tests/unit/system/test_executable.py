"""What systemd may run as root."""

import sys
from pathlib import Path

import pytest

from gpupass.errors import Refused
from gpupass.system import executable
from gpupass.system.executable import own_executable
from gpupass.system.trusted import changeable_by_others


def test_every_part_of_the_way_counts(tmp_path):
    assert changeable_by_others("/usr/bin/env") is None
    program = tmp_path / "gpupass"
    program.write_text("#!/bin/sh\n")
    assert changeable_by_others(str(program)) == "/tmp"  # anyone may put something else there


def test_refused_where_others_can_write(tmp_path, monkeypatch):
    program = tmp_path / "gpupass"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    with pytest.raises(Refused, match="others can change") as refused:
        own_executable()
    assert str(program) in refused.value.message and "venv" in refused.value.hint


def test_the_way_it_was_called(monkeypatch):
    monkeypatch.setattr(executable, "changeable_by_others", lambda path: None)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{Path(name).name}")
    for called in ("gpupass", "/usr/bin/gpupass", "/usr/lib/python3/gpupass/__main__.py"):
        monkeypatch.setattr(sys, "argv", [called])
        assert own_executable() == "/usr/bin/gpupass"


def test_a_name_systemd_does_not_take_and_none_at_all(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: "/opt/my tools/gpupass")
    with pytest.raises(Refused, match="special characters"):
        own_executable()
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(Refused, match="not in the PATH"):
        own_executable()
