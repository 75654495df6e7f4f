"""A machine with NVIDIA GPUs that is none: a C library in the place of libnvidia-ml.so.1, its state a text file.

Whatever loads `libnvidia-ml.so.1` with `Double.environment` in its environment sees the double: real pynvml, gpupass
itself, mig-parted. `Session` is a Python process with pynvml to ask it from a test.
"""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = "libnvidia-ml.so.1"
_WARNINGS = ("-Wall", "-Wextra", "-Werror")
_FLAGS = ("-std=gnu11", "-O1", *_WARNINGS, "-fPIC", "-shared", "-fvisibility=hidden", "-pthread")


@cache
def library_directory() -> Path:
    """The directory of the compiled library: compiled once for each state of its source."""
    sources = sorted(HERE.glob("*.c"))
    content = b"".join(path.read_bytes() for path in (*sources, *sorted(HERE.glob("*.h"))))
    name = hashlib.sha256(content + " ".join(_FLAGS).encode()).hexdigest()[:16]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = caches / "gpupass" / "fake-nvml" / name
    if not (directory / LIBRARY).exists():
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, delete=False) as made:
            command = ["cc", *_FLAGS, f"-Wl,-soname,{LIBRARY}", *map(str, sources), "-o", made.name]
            subprocess.run(command, check=True)
        Path(made.name).chmod(0o755)
        Path(made.name).rename(directory / LIBRARY)  # two test runs at once: the later one wins, whole
    return directory


@dataclass(frozen=True)
class Double:
    """One machine; `boards` as "A100-40,H100-80@0000:3b:00.0" (T4, A30, A100-40, A100-80, H100-80, H200, RTX-PRO-6000)."""

    state: Path
    boards: str
    faults: str = (
        ""  # "nvmlGpuInstanceDestroy:2:19,…": CALL:NTH:ERROR; NTH * is each call, ERROR kill ends the process
    )
    delay_ms: int = 0  # of each change
    unprivileged: bool = False
    resets: bool = False  # on Ampere: the driver itself resets an idle GPU when its mode changes

    @property
    def environment(self) -> dict[str, str]:
        """To be added to a process's environment."""
        told = {
            "FAKE_NVML_FAULTS": self.faults,
            "FAKE_NVML_DELAY_MS": str(self.delay_ms or ""),
            "FAKE_NVML_UNPRIVILEGED": "1" if self.unprivileged else "",
            "FAKE_NVML_RESETS": "1" if self.resets else "",
        }
        return {
            "LD_LIBRARY_PATH": str(library_directory()),
            "FAKE_NVML_STATE": str(self.state),
            "FAKE_NVML_BOARDS": self.boards,
            **{name: value for name, value in told.items() if value},
        }

    def lines(self) -> list[str]:
        """The state as state.h spells it."""
        return self.state.read_text().splitlines()

    def starts(self, gpu: int, pid: int, gi: int = -1, ci: int = -1, mib: int = 256) -> None:
        """A process begins to use a GPU, or one instance."""
        with self._edited() as lines:
            lines.append(f"process {gpu} {gi} {ci} {pid} {mib}")

    def ends(self, pid: int) -> None:
        with self._edited() as lines:
            lines[:] = [line for line in lines if line.split()[0] != "process" or line.split()[4] != str(pid)]

    def boots(self, gpu: int, vm: str, gi: int = -1, vgpu: int = 1) -> None:
        """A guest, of that UUID, begins to use a vGPU: of one instance, or of the whole GPU."""
        with self._edited() as lines:
            lines.append(f"guest {gpu} {gi} {vgpu} {vm} {vgpu:08x}-0000-4000-9000-000000000000")

    def shuts_down(self, vm: str) -> None:
        with self._edited() as lines:
            lines[:] = [line for line in lines if line.split()[0] != "guest" or line.split()[4] != vm]

    def resets_gpu(self, gpu: int) -> None:
        """What a GPU reset does: the pending mode becomes the mode, instances are gone."""
        with self._edited() as lines:
            lines[:] = [line for line in map(_reset(gpu), lines) if line is not None]

    def reboots(self) -> None:
        """Instances are gone everywhere; Ampere keeps its mode, newer ones have none any more (MIG User Guide)."""
        with self._edited() as lines:
            gpus = [line.split() for line in lines if line.startswith("gpu ")]
            lines[:] = [
                " ".join((*words[:4], *([words[5]] * 2 if words[2].startswith("A") else ["0", "0"]), "0"))
                for words in gpus
            ]

    @contextmanager
    def _edited(self) -> Iterator[list[str]]:
        with Path(f"{self.state}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lines = self.lines()
            yield lines
            made = Path(f"{self.state}.edited")
            made.write_text("".join(f"{line}\n" for line in lines))
            made.rename(self.state)


def _reset(number: int):
    def after(line: str) -> str | None:
        kind, gpu, *rest = line.split()
        if gpu != str(number) or kind == "serial":
            return line
        if kind != "gpu":
            return None
        board, address, _, pending, persistence = rest
        return f"gpu {gpu} {board} {address} {pending} {pending} {persistence}"

    return after


class NvmlError(Exception):
    """An error code of the library."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Session:
    """A process with real pynvml on the double; every function of asked.py is one of its methods."""

    double: Double
    python: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.python = subprocess.Popen(
            [sys.executable, str(HERE / "asked.py")],
            env={**os.environ, **self.double.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.python.stdin.close()
        self.python.wait(30)
        self.python.stdout.close()

    def __getattr__(self, name: str):
        def ask(*arguments: object) -> object:
            self.python.stdin.write(json.dumps([name, arguments]) + "\n")
            self.python.stdin.flush()
            line = self.python.stdout.readline()
            if not line:
                raise ConnectionError(f"the process ended with {self.python.wait(30)}")
            answer = json.loads(line)
            if "error" in answer:
                raise NvmlError(answer["error"])
            return answer["value"]

        return ask
