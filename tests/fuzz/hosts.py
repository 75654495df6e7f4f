"""Recorded hosts, domain XML and saved plans through the mincer: an answer or a refusal in words, soon and small."""

import os
import random
import re
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import click

from gpupass.app.consent import require_same
from gpupass.app.reach import Reach
from gpupass.app.saved_plan import is_plan, plan_text, read_plan
from gpupass.cli.main import cli
from gpupass.errors import GpupassError, Usage
from gpupass.lending.domain_xml import parse_domain
from gpupass.observe.secrets import without_secrets
from gpupass.plan import HostPlan
from gpupass.system import RecordedHost
from tests.fuzz.profiles import MUTATIONS
from tests.profile_files import load

HOSTS = Path(__file__).parents[1] / "hosts"
SECONDS, MEMORY = 20, 200 << 20  # of one input; of all that they make it grow by
_EXITS = {0, 1, 2, 3, 4}
_VERBS = (
    ("list", "--all"),
    ("groups", "--all"),
    ("slots",),
    ("export",),
    ("show", "DEVICE"),
    ("plan", "WISH"),
)
_NASTY = (
    *(
        b"",
        b"0",
        b"-1",
        b"0xffffffffffffffff",
        b"99999999999999999999",
        b"9" * 5000,
        b"0x",
        b"1e9",
        b"0-4000000000",
    ),
    *(
        b"\xff" * 64,
        b"\x00",
        b"\n",
        b":",
        b"=",
        b"[" * 2000,
        b"{" * 2000,
        b'"',
        b"null",
        b"../../../../etc/passwd",
    ),
    *(b"\x1b[2J", "\u202e".encode(), b"\xed\xa0\x80", b"0000:01:00.0", b"/dev/zero", b"(null)", b"NaN"),
    *(b"<a>" * 500, b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&lt;", b"<hostdev/>", b"\\ud800"),
)
_said = StringIO()
_TOKEN = re.compile(rb"[\w.-]+|\s+|.", re.DOTALL)


@dataclass
class Minced:
    """What became of them, and by how many bytes the process has grown."""

    answered: int = 0
    refused: int = 0
    grown: int = 0


def fuzz_hosts(count: int, where: Path, seed: int = 0) -> Minced:
    """One to eight files of a recorded host, then a verb that reads it."""
    chance = random.Random(seed)
    roots = _copies(where)
    wishes = {name: _wish(root, where) for name, root in roots.items()}
    files = {
        name: sorted(p for p in root.rglob("*") if p.is_file() and not p.is_symlink())
        for name, root in roots.items()
    }
    named = sorted({path.name for paths in files.values() for path in paths})
    by_name = {name: _by_name(paths) for name, paths in files.items()}

    def one(number: int) -> bool:
        name = chance.choice(sorted(roots))
        chosen = {_some(chance, by_name[name], named) for _ in range(chance.choice((1, 1, 1, 2, 8)))}
        before = {path: path.read_bytes() for path in sorted(chosen)}
        verb = chance.choice(_VERBS)
        device = chance.choice(sorted(os.listdir(roots[name] / "sys/bus/pci/devices")))  # noqa: PTH208
        words = [{"DEVICE": device, "WISH": str(wishes[name])}.get(word, word) for word in verb]
        words += ["--host", str(roots[name]), *(["--json"] if chance.random() < 0.5 else [])]
        for path, data in before.items():
            path.write_bytes(mince(chance, data))
        with _told(lambda: f"seed {seed}, number {number}: {words}: {_differing(before)}"):
            status = _run(words)
            assert status in _EXITS, _said.getvalue()
        for path, data in before.items():
            path.write_bytes(data)
        return status in (0, 3)

    return _all(count, one)


def fuzz_domains(count: int, seed: int = 0) -> Minced:
    """Domain definitions, as libvirt or a record has them: read, and stored without their secrets."""
    chance = random.Random(seed)
    corpus = [path.read_bytes() for path in sorted(HOSTS.glob("*/gpupass/domains/*.xml"))]

    def one(number: int) -> bool:
        text = mince(chance, chance.choice(corpus)).decode(errors="replace")
        with _told(lambda: f"seed {seed}, number {number}: {text!r}"):
            without_secrets(text)
            try:
                parse_domain(
                    name="vm",
                    uuid="u",
                    state="running",
                    autostart=False,
                    live=text,
                    config=text,
                    job=None,
                    resident=None,
                )
            except ValueError:
                return False
        return True

    return _all(count, one)


def fuzz_plans(count: int, seed: int = 0) -> Minced:
    """Saved plans: what reads as one is the plan that would be made, or refused."""
    chance = random.Random(seed)
    made = [_planned(name) for name in ("desktop", "lab-groups", "server-sriov")]

    def one(number: int) -> bool:
        fresh, text = chance.choice(made)
        data = mince(chance, text.encode())
        with _told(lambda: f"seed {seed}, number {number}: {data!r}"):
            try:
                changed = data.decode()
                if not is_plan(changed):
                    return False
                _, shown = read_plan("plan.json", changed)
                require_same(shown, fresh)
            except (UnicodeDecodeError, GpupassError):
                return False
        return True

    return _all(count, one)


def mince(chance: random.Random, data: bytes) -> bytes:
    for _ in range(chance.choice((1, 1, 2, 3))):
        data = chance.choice((_put, _put, *MUTATIONS))(chance, data)
    return data


def _put(chance: random.Random, data: bytes) -> bytes:
    """Something nasty in place of a word."""
    found = list(_TOKEN.finditer(data))
    if not found:
        return chance.choice(_NASTY)
    match = chance.choice(found)
    return data[: match.start()] + chance.choice(_NASTY) + data[match.end() :]


def _all(count: int, one: Callable[[int], bool]) -> Minced:
    minced, before = Minced(), _resident()
    for number in range(count):
        answered = one(number)
        minced.answered += answered
        minced.refused += not answered
    minced.grown = _resident() - before
    return minced


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@contextmanager
def _told(which: Callable[[], str]) -> Iterator[None]:
    """With a limit of time, and whatever went wrong by which input."""

    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error} by {which()}") from error
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _copies(where: Path) -> dict[str, Path]:
    names = sorted(path.name for path in HOSTS.iterdir() if (path / "sys").is_dir())
    return {name: Path(shutil.copytree(HOSTS / name, where / name, symlinks=True)) for name in names}


def _run(words: list[str]) -> int:
    """The exit status; always into the same file, for click keeps each that it has written to."""
    _said.seek(0)
    _said.truncate()
    with redirect_stdout(_said), redirect_stderr(_said):
        try:
            return cli.main(words, prog_name="gpupass", standalone_mode=False) or 0
        except GpupassError as error:
            return error.exit_code
        except click.ClickException as error:
            return error.exit_code


def _by_name(paths: list[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(path.name, []).append(path)
    return found


def _some(chance: random.Random, files: dict[str, list[Path]], named: list[str]) -> Path:
    """Each name as often as any other: there is one meminfo, and a hundred files `device`."""
    name = chance.choice([name for name in named if name in files])
    return chance.choice(files[name])


def _wish(root: Path, where: Path) -> Path:
    """What the host has, as a profile: so that a plan looks at all of it."""
    assert _run(["export", "--host", str(root)]) == 0
    path = where / f"{root.name}.yaml"
    path.write_text(_said.getvalue().partition("\nnot seen: ")[0])
    return path


def _differing(before: dict[Path, bytes]) -> str:
    return "; ".join(f"{path}: {path.read_bytes()!r:.300}" for path in before)


_WISHES = {
    "desktop": "0000:01:00.0",
    "lab-groups": "0000:01:00.0",
    "server-sriov": "0000:21:00.0",
}


def _planned(name: str) -> tuple[HostPlan, str]:
    wish = f"version: 1\ngpus: [{{name: a, select: {{address: '{_WISHES[name]}'}}, use: passthrough}}]\n"
    reach = Reach(profile=load(wish))
    try:
        made = reach.plan(reach.look(RecordedHost(HOSTS / name)))
    except Usage as error:
        raise AssertionError(f"{name}: {error.message}") from None
    return made, plan_text(made, reach)
