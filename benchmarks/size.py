"""How time grows with the host: lists, verdicts, plans; and what is changed at once."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from unittest.mock import patch

from benchmarks.measure import Goal, cpu_seconds, own_cpu_seconds, tell, turns, unmeasured, wall_seconds
from gpupass.app.apply import apply_profile
from gpupass.app.consent import Consent, Patience
from gpupass.app.reach import Reach
from gpupass.app.session import Session
from gpupass.devices.verdict import group_verdict
from gpupass.model.profile import Profile
from gpupass.observe import observe
from gpupass.profiles import load_profile
from gpupass.system import RecordedHost
from tests import slow_machine
from tests.synthetic_host import GPU_EVERY, address, build


def measure(rounds: int, short: bool) -> None:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # 250,000 small files
    lists, verdicts, plans = (
        (512, (256, 2_048), (200, 2_000)) if short else (4_096, (1_024, 8_192), (1_000, 10_000))
    )
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        roots = {size: build(Path(directory) / str(size), size) for size in {lists, *verdicts, *plans}}
        _lists(roots[lists], lists, rounds)
        _grows("verdicts of", {size: lambda root=roots[size]: _verdicts(root) for size in verdicts}, rounds)
        _grows(
            "plan for",
            {size: lambda root=roots[size], size=size: _plan(root, size) for size in plans},
            rounds,
        )
    _at_once(0.05 if short else 0.5)


def _lists(root: Path, functions: int, rounds: int) -> None:
    name = f"of {functions:,} functions / lspci -nnk"
    if shutil.which("lspci") is None:
        unmeasured(f"list {name}", "no lspci")
        return
    lspci = ("lspci", "-nnk", "-O", f"sysfs.path={root}/sys/bus/pci")
    for words in (("list",), ("list", "--all")):
        argv = (sys.executable, "-m", "gpupass", *words, "--host", str(root))
        times = turns(lambda argv=argv: cpu_seconds(argv), lambda: cpu_seconds(lspci), rounds)
        tell(f"{' '.join(words)} {name}", *times, "CPU")


def _grows(what: str, work: dict, rounds: int) -> None:
    """CPU of the larger host in the smaller one's; linear: the ratio of their sizes, and what caches miss."""
    (few, small), (many, large) = work.items()
    times = turns(large, small, rounds)
    tell(f"{what} {many:,} functions / {few:,}", *times, "CPU", Goal(most=1.5 * many / few))


def _verdicts(root: Path) -> float:
    host = observe(RecordedHost(root), cuts=False)
    return own_cpu_seconds(lambda: [group_verdict(number, host) for number in host.groups])


def _plan(root: Path, functions: int) -> float:
    system = RecordedHost(root)
    reach = Reach(profile=_rules(map(address, range(1, functions, GPU_EVERY))))
    return own_cpu_seconds(lambda: reach.plan(reach.look(system)))


def _rules(addresses: Iterable[str]) -> Profile:
    lines = [
        f'  - {{name: g{n}, select: {{address: "{a}"}}, use: passthrough}}' for n, a in enumerate(addresses)
    ]
    text = "\n".join(["version: 1", "gpus:", *lines])
    return load_profile("bench", lambda _: text, "")


def _at_once(probe: float) -> None:
    one_by_one, at_once = (_apply(workers, probe) for workers in (1, 8))
    name = "apply of 8 GPUs one after another / at once"
    tell(name, one_by_one, at_once, one_by_one / at_once, "wall, simulated", Goal(least=5))


def _apply(workers: int, probe: float) -> float:
    """Steps that take as long as a GPU driver's, on a machine that is otherwise simulated."""
    with (
        tempfile.TemporaryDirectory() as state,
        patch.object(os, "geteuid", lambda: 0),
        patch("gpupass.system.names.pci_names", lambda ids: {}),
        patch.object(slow_machine, "PROBE", probe),
    ):
        session = Session(slow_machine.make(Path(state)))
        reach, patience = Reach(profile=_rules(slow_machine.GPUS)), Patience(workers=workers)
        return wall_seconds(lambda: apply_profile(session, reach, Consent(), patience))
