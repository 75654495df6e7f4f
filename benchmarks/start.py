"""What a cold gpupass costs; the unit is importing click, which any command of its kind pays."""

import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Goal, cpu_seconds, tell, turns

ROOT = Path(__file__).resolve().parents[1]
CASES: dict[str, tuple[tuple[str, ...], dict[str, str], Goal]] = {
    "--version": (("--version",), {}, Goal(most=1.1)),
    "--help": (("--help",), {}, Goal(most=1.3)),
    "completion of a verb": (
        (),
        {"_GPUPASS_COMPLETE": "bash_complete", "COMP_WORDS": "gpupass li", "COMP_CWORD": "1"},
        Goal(most=1.3),
    ),
    "list --json": (("list", "--json"), {}, Goal(most=1.6)),
}


def measure(rounds: int, short: bool) -> None:
    with _environment(short) as directory:
        unit = (str(directory / "bin/python"), "-c", "import click")
        for name, (arguments, environment, goal) in CASES.items():
            argv = (str(directory / "bin/gpupass"), *arguments)
            times = turns(
                lambda argv=argv, told=environment: cpu_seconds(argv, told), lambda: cpu_seconds(unit), rounds
            )
            tell(f"gpupass {name} / python -c 'import click'", *times, "CPU", goal)


@contextmanager
def _environment(short: bool) -> Iterator[Path]:
    """Of gpupass alone: packages of the system or of the tests would be searched and imported, too."""
    if short:
        yield Path(sys.prefix)
        return
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, with_pip=True)
        pip = (f"{directory}/bin/pip", "install", "--quiet", "--disable-pip-version-check", str(ROOT))
        subprocess.run(pip, check=True)
        yield Path(directory)
