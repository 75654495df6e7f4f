"""`gpupass schema`: every verb that prints JSON has one, and what it prints in earnest is as it says."""

import json
import pkgutil
import shlex
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

import gpupass.cli
from gpupass.cli import main
from gpupass.cli.documents.changes import Envelope, History, Quarantined
from gpupass.cli.documents.devices import Grouped, Listed, Recorded, Shown
from gpupass.cli.documents.doctor import Examined
from gpupass.cli.documents.document import Failed
from gpupass.cli.documents.domains import CheckedDomain
from gpupass.cli.documents.lab import LabStatus, Topologies
from gpupass.cli.documents.profiles import Compared, Exported, ExportedFor, Imported, Specified, Validated
from gpupass.cli.documents.slots import Promised, Slotted
from gpupass.cli.schema import DOCUMENTS, schema_of
from gpupass.model.wire import from_json
from gpupass.store import store_of
from gpupass.system import System
from tests.simulated import DISK, GPU, LONE

HOSTS = Path(__file__).parents[2] / "hosts"
NAMES = sorted(path.name for path in HOSTS.iterdir() if (path / "sys").is_dir())
FILES = {
    "lend.yaml": f"version: 1\ngpus: [{{name: a, select: {{address: '{LONE}'}}, use: passthrough}}]\n"
    "attachments: [{domain: vm1, device: a}]\n",
    "keep.yaml": f"version: 1\ngpus: [{{name: a, select: {{address: '{LONE}'}}, use: host}}]\n",
    "wrong.yaml": "version: 1\nzebra: 1\n",
    "mig.yaml": "version: v1\nmig-configs:\n  one:\n  - devices: all\n    mig-enabled: true\n    mig-devices: {1g.5gb: 7}\n",
}
ATTACHED = f"attach vm1 {LONE}"

# what was typed before, the line, what it prints
LINES = [
    ((), "list", Listed),
    ((), "list --all", Listed),
    ((), f"show {GPU}", Shown),
    ((ATTACHED,), f"show {LONE}", Shown),
    ((), "show nonsense", Failed),
    ((), "groups --all", Grouped),
    ((ATTACHED,), "slots", Slotted),
    ((), "record stored", Recorded),
    ((), f"bind {LONE} --dry-run", Envelope),
    ((), f"bind {LONE}", Envelope),
    ((), f"bind {DISK}", Envelope),
    ((), f"unbind {LONE}", Envelope),
    ((), ATTACHED, Envelope),
    ((), f"attach vm9 {LONE}", Envelope),
    ((ATTACHED,), f"detach vm1 {LONE}", Envelope),
    ((ATTACHED,), f"move {LONE} --to vm2", Envelope),
    ((), f"{ATTACHED} --at-start", Envelope),
    ((f"{ATTACHED} --at-start",), f"detach vm1 {LONE} --at-start", Envelope),
    ((f"{ATTACHED} --at-start",), "promises", Promised),
    ((f"{ATTACHED} --at-start",), "slots", Slotted),
    ((f"{ATTACHED} --at-start",), f"show {LONE}", Shown),
    ((), "recover", Envelope),
    ((), "recover --dry-run", Envelope),
    ((), "quarantine list", Quarantined),
    ((), f"quarantine clear {LONE}", Envelope),
    ((), f"adopt {LONE}", Envelope),
    ((), "plan lend.yaml", Envelope),
    ((), "plan wrong.yaml", Envelope),
    ((), "apply lend.yaml --yes", Envelope),
    ((), "apply lend.yaml", Envelope),
    ((), "check lend.yaml", Envelope),
    (("apply lend.yaml --yes",), "rollback --dry-run", Envelope),
    (("apply lend.yaml --yes",), "rollback --yes --allow-disruption", Envelope),
    ((ATTACHED,), "export", Exported),
    ((ATTACHED,), "export --as nova", ExportedFor),
    ((), "diff lend.yaml keep.yaml", Compared),
    (("apply lend.yaml --yes", f"unbind {LONE}"), "history", History),
    ((), "profile validate lend.yaml wrong.yaml", Validated),
    ((), f"profile import-mig mig.yaml --host {HOSTS / 'mig-server'}", Imported),
    ((), "enable lend.yaml --yes", Envelope),
    ((), "disable", Envelope),
    ((), "cdi --dry-run", Envelope),
    ((), "cdi --print", Specified),
    ((), f"host early-bind {GPU} --yes", Envelope),
    ((), "doctor", Examined),
    ((), "doctor --fix --dry-run", Envelope),
    ((), "domain check vm1", CheckedDomain),
    ((), "domain prepare vm1 --slots 6 --yes", Envelope),
    ((), "lab --name of-nobody status", LabStatus),
    ((), "lab topologies", Topologies),
]


def verb_of(line: str) -> str:
    words = [word for word in shlex.split(line.replace("--name of-nobody ", "")) if not word.startswith("-")]
    return " ".join(words[:2]) if " ".join(words[:2]) in DOCUMENTS else words[0]


@pytest.fixture
def typed(machine, monkeypatch, capsys, tmp_path):
    """Run a command line on the simulated machine; its output."""
    machine.debian()
    for module in pkgutil.iter_modules(gpupass.cli.__path__, "gpupass.cli."):
        if not module.ispkg and hasattr(found := import_module(module.name), "System"):
            monkeypatch.setattr(found, "System", lambda root="": System(root) if root else machine)
    monkeypatch.setattr("gpupass.cli.boot.own_executable", lambda: "/usr/bin/gpupass")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)

    def run(line: str) -> str:
        monkeypatch.setattr(sys, "argv", ["gpupass", *shlex.split(line)])
        with pytest.raises(SystemExit):
            main.run()
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(("before", "line", "document"), LINES, ids=[line for _, line, _ in LINES])
def test_what_is_printed_is_as_the_schema_says(before, line, document, typed) -> None:
    for earlier in before:
        typed(earlier)
    printed = typed(f"{line} --json")
    Draft202012Validator(schema_of(verb_of(line))).validate(json.loads(printed))
    from_json(printed, document)
    assert printed.isascii()


def test_what_is_printed_when_a_damaged_store_is_forgotten(typed, machine) -> None:
    typed(ATTACHED)
    store_of(machine).close()
    (machine.state / "head").write_bytes(b"")
    printed = typed("recover --forget --json")
    Draft202012Validator(schema_of("recover")).validate(json.loads(printed))
    told = from_json(printed, Envelope)
    assert told.changed and (LONE,) in {change.devices for change in told.changes}


@pytest.mark.parametrize("line", ["list --all", "groups --all", "slots", "export"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_printed_of_a_recorded_host(name: str, line: str) -> None:
    done = CliRunner().invoke(main.cli, [*line.split(), "--json", "--host", str(HOSTS / name)])
    Draft202012Validator(schema_of(verb_of(line))).validate(json.loads(done.stdout))
    from_json(done.stdout, DOCUMENTS[verb_of(line)][0])


def test_every_document_has_been_printed() -> None:
    printed = {(verb_of(line), document) for _, line, document in LINES}
    assert {(verb, one) for verb, kinds in DOCUMENTS.items() for one in kinds} <= printed


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{before}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")


def test_every_verb_with_json_has_a_schema() -> None:
    with_json = {
        name
        for name, command in commands(main.cli)
        for option in command.params
        if isinstance(option, click.Option) and "--json" in option.opts and not option.hidden
    }
    assert with_json == DOCUMENTS.keys()


@pytest.mark.parametrize("verb", DOCUMENTS)
def test_the_schema_is_one(verb: str) -> None:
    done = CliRunner().invoke(main.cli, ["schema", *verb.split()])
    schema = json.loads(done.stdout)
    Draft202012Validator.check_schema(schema)
    assert "discriminator" not in done.stdout
    for wrong in ({}, {"schema": 2}, {"schema": 1}, {"schema": 2, "error": {"message": "x"}}, []):
        assert not Draft202012Validator(schema).is_valid(wrong)


def test_which_there_are(typed) -> None:
    assert typed("schema").splitlines() == list(DOCUMENTS)


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("lst", "no such verb prints JSON, did you mean 'list'?"),
        ("quarantine", "did you mean 'quarantine list' or 'quarantine clear'?"),
        ("quarantine lst", "did you mean 'quarantine list'?"),
        ("zebra", "cannot tell the schema of zebra: no such verb prints JSON"),
        ("lab up", "cannot tell the schema of lab up"),
    ],
)
def test_no_such_schema(verb: str, words: str, typed, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpupass", "schema", *verb.split()])
    with pytest.raises(SystemExit) as ended:
        main.run()
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "") and words in told.err
    assert "hint: gpupass schema" in told.err


def test_a_name_from_elsewhere_does_nothing_to_a_terminal(typed) -> None:
    text = typed("diff 'n\u202eo\u009b\U0001f600.yaml' lend.yaml --json")
    assert text.isascii() and "\u202e" in json.loads(text)["error"]["message"]
