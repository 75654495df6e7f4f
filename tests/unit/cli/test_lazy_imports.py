"""What a verb does not need, it does not import; and what is said of it without importing it is true."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gpupass.cli import outline
from gpupass.cli.main import VERBS, cli
from gpupass.model.address import Address
from gpupass.model.mark import Origin, Quarantine
from gpupass.store import store_of
from gpupass.store.marks import set_marks
from gpupass.system import System

GPU = Address("0000:01:00.0")
HOST = Path(__file__).parents[2] / "hosts/desktop"
DEAR = (
    "rich",
    "pyudev",
    "libvirt",
    "pynvml",
    "yaml",
    "subprocess",
    "asyncio",
    "xml",
    "logging",
    "json",
    "dataclasses",
    "sqlite3",
)
LISTS_ALL = (
    *DEAR,
    *(f"gpupass.cli.{where.partition(':')[0]}" for where, _ in VERBS.values()),
)
OUTLINED = tuple(name for name in (*LISTS_ALL, "msgspec") if name != "json")
CASES = {
    "list": (["list", "--json", "--host", str(HOST)], {}, DEAR),
    "version": (["--version"], {}, LISTS_ALL),
    "help": (["--help"], {}, LISTS_ALL),
    "completion": ([], {"COMP_WORDS": "gpupass li", "COMP_CWORD": "1"}, LISTS_ALL),
    "completion of an option": ([], {"COMP_WORDS": "gpupass apply --de", "COMP_CWORD": "2"}, OUTLINED),
}


@pytest.mark.parametrize("name", CASES)
def test_dear_modules_stay_out(name: str) -> None:
    arguments, words, dear = CASES[name]
    completing = {"_GPUPASS_COMPLETE": "zsh_complete", **words} if words else {}
    code = (
        "import sys\nfrom gpupass.cli.main import run\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try: run()\nfinally:\n"
        f"    print([name for name in {dear!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | completing
    )
    assert done.stdout and done.stderr.strip() == "[]"


def test_a_look_without_any_state_needs_no_database() -> None:
    code = (
        "import sys\nimport gpupass.inspect, gpupass.observe.remembered, gpupass.store\n"
        f"print([name for name in {(*DEAR, 'sqlite3', 'hashlib')!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_marks_of_everybody_are_read_without_any_way(tmp_path: Path) -> None:
    """What was bound and lent is remembered on every host that gpupass works on."""
    system = System(tmp_path / "state")
    set_marks(
        store_of(system), (Origin(carrier=GPU, driver="nvidia"), Quarantine(carrier=GPU, why="it hung"))
    )
    system.close()
    code = (
        "import sys\nfrom pathlib import Path\nfrom gpupass.store import store_of\n"
        "from gpupass.store.marks import read_marks\nfrom gpupass.system import System\n"
        f"found = read_marks(store_of(System(Path({str(tmp_path / 'state')!r}))))\n"
        "print(len(found), [name for name in ('gpupass.methods', 'gpupass.kinds', 'hashlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 []"


def test_the_list_of_verbs_says_what_each_says_of_itself() -> None:
    context = click.Context(cli)
    real = {name: cli.get_command(context, name) for name in VERBS}
    assert {name: verb.get_short_help_str(200) for name, verb in real.items()} == {
        name: help for name, (_, help) in VERBS.items()
    }
    assert [name for name, verb in real.items() if verb.name != name or verb.hidden or verb.deprecated] == []


def test_what_a_shell_is_told_of_each_verb_is_so(regenerate: bool) -> None:
    """`pytest --regenerate` writes it anew."""
    context = click.Context(cli)
    real = {name: outline.outline(cli.get_command(context, name)) for name in VERBS}
    if regenerate:
        lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(its)}" for name, its in real.items())
        outline.OUTLINES.write_text(f"{{\n{lines}\n}}\n")
    assert json.loads(outline.OUTLINES.read_text()) == real


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("gpupass apply --de", ["plain,--devices-only"]),
        ("gpupass lab up --fr", ["plain,--from-snapshot"]),
        ("gpupass quarantine cl", ["plain,clear"]),
        ("gpupass list --host ", ["dir,"]),
        ("gpupass nosuch --x", [""]),
    ],
)
def test_completions(words: str, told: list[str]) -> None:
    environment = {
        "_GPUPASS_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    argv = [sys.executable, "-m", "gpupass"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=os.environ | environment)
    assert done.stdout.splitlines() == told


def test_what_root_pays_before_any_verb() -> None:
    code = (
        "import sys\nfrom gpupass.cli import main\nfrom gpupass.system.environment import only_ours\n"
        "print([name for name in ('msgspec', 'pathlib', 'gpupass.system.door') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
