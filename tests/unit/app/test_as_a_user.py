"""Every verb as an ordinary user, on a host where root has used gpupass: an answer that says what was not seen,
or a refusal; never a traceback, nor that there is nothing to do."""

import io
import os
import posix
import sys
from importlib import import_module
from pathlib import Path

import pytest

from gpupass import app
from gpupass.cli import main
from tests.simulated import GPU, LONE

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="takes root, to be somebody else")

WISH = f"version: 1\ngpus: [{{name: a, select: {{address: '{LONE}'}}, use: passthrough}}]\n"
ASKED = {  # words that say what depends on root's records; "": nothing does
    "list": "not seen",
    f"show {LONE}": "not seen",
    "show nosuch": "cannot read",
    "groups": "not seen",
    "slots": "not seen",
    "export": "not seen",
    "plan wish.yaml": "cannot read",
    "check wish.yaml": "cannot read",
    f"bind {LONE} --dry-run": "cannot read",
    f"bind {LONE}": "not root",
    "bind nosuch --dry-run": "cannot read",
    f"unbind {LONE} --dry-run": "cannot read",
    f"unbind {LONE}": "not root",
    f"attach vm1 {LONE} --dry-run": "cannot read",
    f"attach vm1 {LONE}": "not root",
    f"detach vm1 {LONE} --dry-run": "cannot read",
    f"move {LONE} --to vm2 --dry-run": "cannot read",
    f"adopt {LONE} --dry-run": "cannot read",
    "apply wish.yaml --yes": "not root",
    "rollback --dry-run": "cannot read",
    f"attach vm1 {LONE} --at-start": "not root",
    f"detach vm1 {LONE} --at-start": "not root",
    "promises": "not seen",
    "listen": "not root",
    "recover": "not root",
    "quarantine list": "cannot read",
    f"quarantine clear {LONE}": "not root",
    "history": "cannot read",
    "record his/record": "not seen",
    "cdi --dry-run": "",
    "enable wish.yaml --dry-run": "",
    "disable --dry-run": "",
    f"host early-bind {GPU} --dry-run": "",
    "profile validate wish.yaml": "",
    "profile schema": "",
    "diff wish.yaml wish.yaml": "",
    "doctor": "root",
    "domain check vm1": "",
    "domain prepare vm1 --slots 2 --dry-run": "cannot read",
    "domain prepare vm1 --slots 6 --yes": "cannot read",
    "schema list": "",
}


@pytest.fixture
def asked(machine, monkeypatch, tmp_path):
    """A line's exit status and all it says, typed by nobody: in a child, which has no way back to being root."""
    for unread in (
        "gpupass.cli.tables",
        "rich.table",
        "colorsys",
    ):  # root's own Python may not be nobody's to read
        import_module(unread)
    app.bind(machine, GPU)
    machine.state.chmod(0o700)
    for module in (
        "bind",
        "boot",
        "cdi",
        "export",
        "history",
        "hotplug",
        "inspect",
        "plan",
        "profile",
        "promises",
        "recover",
        "slots",
    ):
        monkeypatch.setattr(import_module(f"gpupass.cli.{module}"), "System", lambda: machine, raising=False)
    monkeypatch.chdir(tmp_path)
    for above in (tmp_path, *tmp_path.parents[:2], machine.state.parent):
        above.chmod(0o755)
    Path("wish.yaml").write_text(WISH)
    Path("his").mkdir()
    os.chown("his", NOBODY, NOBODY)

    def run(line):
        said, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            _become_nobody_and_run(machine, line, told)
        os.close(told)
        with os.fdopen(said) as output:
            text = output.read()
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text

    return run


def _become_nobody_and_run(machine, line, told):
    status = 99
    try:
        sys.stdout = sys.stderr = os.fdopen(told, "w")
        sys.stdin = io.StringIO()
        sys.argv = ["gpupass", *line.split()]
        machine.close()  # what root has opened
        os.geteuid = posix.geteuid
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        main.run()
    except SystemExit as end:
        status = end.code
    except BaseException as error:
        sys.stdout.write(f"Traceback: {type(error).__name__}: {error}")
    finally:
        sys.stdout.flush()
        os._exit(status)


@pytest.mark.parametrize("line", ASKED)
def test_as_nobody(line, asked):
    status, text = asked(line)
    assert "Traceback" not in text and status in (0, 2, 3, 4), text
    assert ASKED[line] in text, text
    if ASKED[line] in ("cannot read", "not root"):
        assert status == 4 and "sudo" in text, text


def test_every_verb_is_asked():
    assert {line.split()[0] for line in ASKED} == main.VERBS.keys() - {"lab"}
