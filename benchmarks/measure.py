"""Two things in turns, so that a machine that changes its speed hits both; ratios are of one run."""

import os
import resource
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Goal:
    """What a ratio is to be at most, or at least."""

    most: float | None = None
    least: float | None = None

    def words(self, value: float) -> str:
        if self.most is not None:
            return f"  goal ≤ {self.most:g}: {'met' if value <= self.most else 'NOT met'}"
        if self.least is not None:
            return f"  goal ≥ {self.least:g}: {'met' if value >= self.least else 'NOT met'}"
        return ""


NONE = Goal()


def cpu_seconds(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    """User and system time of a process and all it started and waited for."""
    before = _children()
    done = subprocess.run(
        argv, env=environment and {**os.environ, **environment}, capture_output=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(argv)} ended with {done.returncode}:\n{done.stderr.decode()}")
    return _children() - before


def own_cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def wall_seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def turns(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> tuple[float, float, float]:
    """Medians of both and of their ratio; a first turn warms the caches and does not count."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return median(a for a, _ in pairs), median(b for _, b in pairs), median(a / b for a, b in pairs)


def tell(name: str, mine: float, other: float, ratio: float, kind: str, goal: Goal = NONE) -> None:
    print(
        f"{name:<58} {ratio:6.2f} x  ({mine * 1000:.0f} / {other * 1000:.0f} ms {kind}){goal.words(ratio)}",
        flush=True,
    )


def told(name: str, value: float, goal: Goal = NONE) -> None:
    """What is no ratio."""
    print(f"{name:<58} {value:6.1f}{goal.words(value)}", flush=True)


def unmeasured(what: str, why: str) -> None:
    print(f"{what:<58} not measured: {why}", flush=True)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def environment(short: bool) -> Iterator[Path]:
    """Of gpupass alone: packages of the system or of the tests would be searched and imported, too."""
    if short:
        yield Path(sys.prefix)
        return
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, with_pip=True)
        pip = (f"{directory}/bin/pip", "install", "--quiet", "--disable-pip-version-check", str(ROOT))
        subprocess.run(pip, check=True)
        yield Path(directory)
