"""Which programs are hooks, how they are run, and that one is known by whom it was started."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from gpupass.errors import GpupassError, Refused
from gpupass.system import hooks
from gpupass.system.hooks import find_hooks, run_hook
from gpupass.system.locks import runs_under

NOBODY = pwd.getpwnam("nobody").pw_uid
SAYS = "#!/bin/sh\necho $1 $2; cat >&2; exit 3\n"


@pytest.fixture
def program(tmp_path, monkeypatch):
    """As where no systemd runs."""
    monkeypatch.setattr(hooks, "_BOOTED", str(tmp_path / "none"))

    def make(name, text=SAYS, mode=0o755):
        path = tmp_path / "hooks.d" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    return make


def test_none(tmp_path):
    assert find_hooks(str(tmp_path / "none")) == ()


def test_by_name_and_only_programs(program, tmp_path):
    wanted = [program("10-a"), program("20-b.sh")]
    for name in (".hidden", "30-c~", "40-d.dpkg-new", "50-e.bak", "60 f"):
        program(name)
    program("README", mode=0o644)
    os.mkfifo(tmp_path / "hooks.d" / "70-fifo")
    (tmp_path / "hooks.d" / "80-directory").mkdir()
    assert find_hooks(str(tmp_path / "hooks.d")) == tuple(wanted)


@pytest.mark.skipif(os.geteuid() != 0, reason="root is who is to be protected")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: os.chown(path, NOBODY, NOBODY),
        lambda path: Path(path).chmod(0o775),
        lambda path: Path(path).parent.chmod(0o777),
    ],
    ids=["another's", "of a group", "in a directory of all"],
)
def test_whose_others_can_change_refuses_the_change(program, spoil, monkeypatch):
    path = program("10-a")
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    spoil(path)
    with pytest.raises(Refused, match="it is a hook"):
        find_hooks(str(Path(path).parent))


def test_it_reads_and_speaks(program):
    with pytest.raises(GpupassError, match=r"^the plan$"):
        run_hook(program("10-a"), ("bind", "before"), b"a line\nthe plan\n")
    with pytest.raises(GpupassError, match=r"^bind before$"):
        run_hook(program("10-a"), ("bind", "before"), b"")
    with pytest.raises(GpupassError, match="exit status 9"):
        run_hook(program("10-a", "#!/bin/sh\nexit 9\n"), (), b"")
    run_hook(program("10-a", "#!/bin/sh\nexit 0\n"), (), b"x" * 1_000_000)


def test_one_without_end_is_ended(program):
    with pytest.raises(GpupassError, match="no end within"):
        run_hook(program("10-a", "#!/bin/sh\nexec sleep 600\n"), (), b"", 0.2)


def test_its_own_unit(monkeypatch, tmp_path):
    monkeypatch.setattr(hooks, "_BOOTED", str(tmp_path))
    command = hooks._command("/etc/gpupass/hooks.d/10-a", ("bind", "before"), 60.0)
    assert command[:5] == ("systemd-run", "--wait", "--collect", "--pipe", "--quiet")
    assert f"--unit=gpupass-hook-{os.getpid()}-" in command[5]
    assert "RuntimeMaxSec=60" in command
    assert command[-4:] == ("--", "/etc/gpupass/hooks.d/10-a", "bind", "before")


def test_whose_hook_we_are():
    ask = "import sys; from gpupass.system.locks import runs_under; print(*map(runs_under, map(int, sys.argv[1:])))"
    answer = subprocess.run(
        ["sh", "-c", '"$@"; true', "sh", sys.executable, "-c", ask, str(os.getpid()), "999999"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split() == ["True", "False"]
    assert not runs_under(None)


def test_whose_unit_we_are_in(monkeypatch):
    monkeypatch.setattr(
        "gpupass.system.locks._read", lambda path: "0::/system.slice/gpupass-hook-42-0.service\n"
    )
    assert runs_under(42)
    assert not runs_under(4)
