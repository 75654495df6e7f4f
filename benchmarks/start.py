"""What a cold gpupass costs; the unit is importing click, which any command of its kind pays."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Goal, cpu_seconds, environment, tell, turns, unmeasured
from gpupass.model.address import Address
from gpupass.model.mark import Claim, Origin
from gpupass.store import Store
from gpupass.store.marks import set_marks
from tests.nvml.stage import may_enter

LIST = Goal(most=1.6)
CASES: dict[str, tuple[tuple[str, ...], dict[str, str], Goal]] = {
    "--version": (("--version",), {}, Goal(most=1.1)),
    "--help": (("--help",), {}, Goal(most=1.3)),
    "completion of a verb": ((), {"COMP_WORDS": "gpupass li", "COMP_CWORD": "1"}, Goal(most=1.3)),
    "completion of an option": ((), {"COMP_WORDS": "gpupass apply --de", "COMP_CWORD": "2"}, Goal(most=1.3)),
    "list --json": (("list", "--json"), {}, LIST),
}


def measure(rounds: int, short: bool) -> None:
    with environment(short) as directory:
        unit = (str(directory / "bin/python"), "-c", "import click")
        for name, (arguments, words, goal) in CASES.items():
            argv = (str(directory / "bin/gpupass"), *arguments)
            told = words and {"_GPUPASS_COMPLETE": "bash_complete", **words}
            times = turns(
                lambda argv=argv, told=told: cpu_seconds(argv, told), lambda: cpu_seconds(unit), rounds
            )
            tell(f"gpupass {name} / python -c 'import click'", *times, "CPU", goal)
        _list_with_marks(directory, unit, rounds)


def _list_with_marks(directory: Path, unit: tuple[str, ...], rounds: int) -> None:
    """What was bound and lent is remembered: where it can be seen, /var/lib is ours alone."""
    name = "gpupass list --json, with a store and marks"
    if not may_enter():
        unmeasured(name, "needs root and a mount namespace")
        return
    with tempfile.TemporaryDirectory() as state:
        store = Store(Path(state) / "gpupass")
        set_marks(store, _marks())
        store.close()
        enter = ("unshare", "--mount", "sh", "-c", f'mount --bind {state} /var/lib && exec "$@"', "sh")
        argv = (*enter, str(directory / "bin/gpupass"), "list", "--json")
        times = turns(lambda: cpu_seconds(argv), lambda: cpu_seconds((*enter, *unit)), rounds)
        tell(f"{name} / import click", *times, "CPU", LIST)


def _marks() -> Iterator[Origin | Claim]:
    for number in range(8):
        address = Address(f"0000:{number:02x}:00.0")
        yield Origin(carrier=address, boot_id="x", driver="nvidia")
        yield Claim(carrier=address, boot_id="x", domain=f"vm{number}", uuid=str(number))
