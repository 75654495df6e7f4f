"""The doctor's findings for people, by subject: what is wrong, and below it what to type."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from rich.console import Console
from rich.padding import Padding

from gpupass.app.doctor import Examination
from gpupass.cli.tables import draw, escape
from gpupass.doctor.check import Level
from gpupass.doctor.checks.owners import UNSEEN
from gpupass.doctor.examine import Diagnosis, counted
from gpupass.doctor.fix import fixable
from gpupass.model.ground import Ground

_STYLES = {Level.FAIL: "bold red", Level.WARN: "yellow", Level.UNKNOWN: "cyan", Level.PASS: "green"}
_SHOWN = (Level.FAIL, Level.WARN)
_INDENT = 8
_MANY = "gpupass doctor --all"


def print_examination(seen: Examination, everything: bool) -> None:
    draw(lambda console: _examination(console, seen, everything))


def _examination(console: Console, seen: Examination, everything: bool) -> None:
    console.print(f"[bold]{escape(_ground(seen.sight.ground))}[/]", soft_wrap=True)
    shown = [one for one in seen.found if everything or one.level in _SHOWN]
    for subject, found in groupby(shown, key=lambda one: one.subject):
        console.print(f"\n[bold]{subject}[/]")
        for one, abouts in _alike(found):
            _one(console, one, abouts)
    if not everything:
        _unknown(console, [one for one in seen.found if one.level is Level.UNKNOWN])
    _end(console, seen, everything)


def _ground(ground: Ground) -> str:
    loader = ground.loader.kind.value if ground.loader is not None else ""
    name = ground.distribution.name or ground.distribution.id or "an unknown distribution"
    parts = [name, f"Linux {ground.kernel.release}" if ground.kernel.release else ""]
    return ", ".join(part for part in (*parts, f"boots by {loader}" if loader else "") if part)


def _alike(found: Iterable[Diagnosis]) -> Iterator[tuple[Diagnosis, tuple[str, ...]]]:
    """What is said of several devices in the same words is said once."""
    abouts: dict[tuple[str, Level, str, str], tuple[Diagnosis, list[str]]] = {}
    for one in found:
        _, whom = abouts.setdefault((one.id, one.level, one.why, one.remedy), (one, []))
        whom += [one.about] if one.about and one.about not in one.why else []
    for one, whom in abouts.values():
        yield one, tuple(whom)


def _one(console: Console, one: Diagnosis, abouts: tuple[str, ...]) -> None:
    about = f"{', '.join(abouts)}: " if abouts else ""
    console.print(f"  [{_STYLES[one.level]}]{one.level.value:<4}[/]  {escape(one.title)} [dim]({one.id})[/]")
    console.print(Padding(escape(f"{about}{one.why}"), (0, 0, 0, _INDENT)))
    if one.level is not Level.PASS:
        _remedy(console, one.remedy)


def _remedy(console: Console, text: str) -> None:
    """In one line, however long: it is to be copied."""
    if text:
        console.print(f"{' ' * _INDENT}[bold]→[/] {escape(text)}", soft_wrap=True)


def _unknown(console: Console, found: list[Diagnosis]) -> None:
    """Together: what to do about them is mostly the same."""
    by_remedy: dict[str, list[str]] = {}
    for one in found:
        by_remedy.setdefault(one.remedy, []).append(one.why if one.id == UNSEEN else one.id)
    if found:
        console.print("\n[bold]not to be seen[/]")
    for remedy, names in by_remedy.items():
        end = "\n" if remedy in {one.remedy for one in found if one.id == UNSEEN} else ", "
        console.print(Padding(escape(end.join(dict.fromkeys(names))), (0, 0, 0, 2)))
        _remedy(console, remedy)


def _end(console: Console, seen: Examination, everything: bool) -> None:
    counts = counted(seen.found)
    words = ", ".join(f"{counts[level]} {level.value}" for level in _STYLES if counts[level])
    hint = f" ({_MANY} shows them)" if counts[Level.PASS] and not everything else ""
    console.print(f"\n{words or 'nothing to check here'}{hint}", soft_wrap=True)
    mends = _mended(seen)
    if mends:
        does = f"gpupass doctor --fix does {mends} of them"
        console.print(f"{does}, and says when to reboot; --dry-run shows what", soft_wrap=True)


def _mended(seen: Examination) -> int:
    found: Iterable[Diagnosis] = seen.found
    return sum(one.level in _SHOWN and fixable(one.cure, seen.sight.ground) for one in found)
