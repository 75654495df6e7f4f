"""A host whose GPUs are the double's: gpupass on it as separate processes, and what a test does to its GPUs."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gpupass.engine import journal
from gpupass.methods.mig.ownership import Made
from gpupass.store import Store
from gpupass.store.marks import read_marks_of
from tests.nvml.double import Double, library_directory

PROGRAM = Path(__file__).parent / "host_process.py"


@dataclass(frozen=True)
class Ended:
    """How one gpupass ended, and what it said on both its streams."""

    status: int  # negative: killed by that signal
    text: str


@dataclass
class Server:
    """Forks a child for each gpupass: the start of Python and all imports are paid once."""

    python: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        environment = {**os.environ, "LD_LIBRARY_PATH": str(library_directory())}
        self.python = subprocess.Popen(
            [sys.executable, str(PROGRAM), "--serve"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, state: Path, arguments: tuple[str, ...], environment: dict[str, str], output: Path) -> int:
        self.python.stdin.write(json.dumps([str(state), arguments, environment, str(output)]) + "\n")
        self.python.stdin.flush()
        return int(self.python.stdout.readline())


@contextmanager
def server() -> Iterator[Server]:
    running = Server()
    try:
        yield running
    finally:
        running.python.stdin.close()
        running.python.wait(30)
        running.python.stdout.close()


@dataclass
class Host:
    """`directory` holds everything: the GPUs' state, gpupass's own, profiles."""

    directory: Path
    server: Server
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def double(self) -> Double:
        return Double(self.directory / "nvml", "")

    @property
    def state(self) -> Path:
        return self.directory / "gpupass"

    def run(self, *arguments: str, **environment: str) -> Ended:
        """In a child of the server; no time for a start of its own."""
        output = self.directory / "output"
        status = self.server.run(self.state, arguments, self._told(environment), output)
        return Ended(status, output.read_text())

    def process(self, *arguments: str, **environment: str) -> Ended:
        """In a process of its own from the beginning."""
        done = subprocess.run(
            [sys.executable, str(PROGRAM), str(self.state), *arguments],
            env={**os.environ, "LD_LIBRARY_PATH": str(library_directory()), **self._told(environment)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return Ended(done.returncode, done.stdout)

    def _told(self, environment: dict[str, str]) -> dict[str, str]:
        return {"FAKE_NVML_STATE": str(self.double.state), **self.environment, **environment}

    def profile(self, text: str) -> str:
        """Written to a file: its name."""
        with tempfile.NamedTemporaryFile("w", dir=self.directory, suffix=".yaml", delete=False) as file:
            file.write(f"version: 1\n{text}")
        return file.name

    def gpus(self) -> dict[int, tuple[str, tuple[str, ...]]]:
        """By number: mode ("on", "off", "off>on" while pending), and "GI-PROFILE@START:CI-SIZE@START,…"."""
        lines = [line.split() for line in self.double.lines()]
        found = {}
        for _, gpu, _, _, now, pending, _ in (words for words in lines if words[0] == "gpu"):
            mode = {"0": "off", "1": "on"}[now] + (
                "" if now == pending else f">{'on' if pending == '1' else 'off'}"
            )
            instances = []
            for _, _, number, profile, start, _ in (words for words in lines if words[:2] == ["gi", gpu]):
                parts = [f"{w[6]}@{w[5]}" for w in lines if w[:3] == ["ci", gpu, number]]
                instances.append(f"{profile}@{start}:{','.join(sorted(parts))}")
            found[int(gpu)] = (mode, tuple(sorted(instances)))
        return found

    def ids(self) -> dict[str, str]:
        """Instances by GPU, profile and place → the serial number of their first compute instance."""
        lines = [line.split() for line in self.double.lines()]
        places = {(w[1], w[2]): f"{w[1]} {w[3]}@{w[4]}" for w in lines if w[0] == "gi"}
        return {places[w[1], w[2]]: w[7] for w in lines if w[0] == "ci"}

    def instance_at(self, start: int) -> int:
        """The number of the GPU instance of the first GPU that begins at this memory slice."""
        lines = (line.split() for line in self.double.lines())
        return next(int(words[2]) for words in lines if words[:2] == ["gi", "0"] and words[4] == str(start))

    def records(self) -> dict[str, object]:
        """By GPU: the GPU instances that gpupass has made, and whether it has switched its MIG mode on."""
        with closing(Store(self.state)) as store:
            marks = read_marks_of(store, Made)
        found: dict[str, object] = {}
        for gpu in {mark.carrier for mark in marks}:
            parts = [mark.part for mark in marks if mark.carrier == gpu]
            found[gpu] = (tuple(part for part in parts if part), "" in parts)
        return found

    def snapshot(self) -> object:
        persistence = tuple(line.split()[6] for line in self.double.lines() if line.startswith("gpu "))
        return self.gpus(), self.records(), persistence

    def open_journals(self) -> list[str]:
        with closing(Store(self.state)) as store:
            return [operation.id for operation in journal.open_operations(store)]


def make(directory: Path, running: Server, *gpus: str) -> Host:
    """GPUs as "A100-40", "H100-80 on", "A100-40 on persistent", at 0000:07:00.0, 0000:0f:00.0, …"""
    directory.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, gpu in enumerate(gpus):
        board, *words = gpu.split()
        on, persistent = int("on" in words), int("persistent" in words)
        lines.append(f"gpu {number} {board} 0000:{number * 8 + 7:02x}:00.0 {on} {on} {persistent}")
    (directory / "nvml").write_text("".join(f"{line}\n" for line in [*lines, "serial 0"]))
    return Host(directory, running)


def rules(*wishes: str) -> str:
    """ "mig, layout: balanced" of the first GPU, "host" of the second, …: rules a, b, …"""
    lines = [
        f"  - {{name: {'abcdefgh'[number]}, select: {{address: '0000:{number * 8 + 7:02x}:00.0'}}, use: {wish}}}"
        for number, wish in enumerate(wishes)
    ]
    return "\n".join(["gpus:", *lines]) + "\n"
