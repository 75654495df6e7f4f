"""A place of its own for programs that know nothing of tests: the double's GPUs in /sys and /proc, an empty /var/lib.

`python stage.py DIRECTORY COUNT`, in a new mount namespace: carries out the commands it reads as JSON, [[ARGV, ENVIRONMENT], …],
and answers the CPU and wall seconds of each, or what the first one said that failed.
"""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.host_tree import Function, HostTree
from tests.nvml.double import Double, library_directory

Command = tuple[list[str], dict[str, str]]
Took = tuple[float, float]


@dataclass(frozen=True)
class Stage:
    """`count` GPUs in MIG mode; everything it holds is below `directory`."""

    directory: Path
    count: int

    @property
    def addresses(self) -> list[str]:
        return [f"0000:{number * 8 + 7:02x}:00.0" for number in range(self.count)]

    def build(self, board: str) -> None:
        tree = HostTree(self.directory)
        for number, address in enumerate(self.addresses):
            gpu = Function(
                address=address, ids="10de:20b0", class_code=0x030200, driver="nvidia", group=100 + number
            )
            tree.function(gpu)
            text = f"GPU UUID: \t GPU-unknown\nDevice Minor: \t {number}\n"
            tree.file(f"/proc/driver/nvidia/gpus/{address}/information", text)
        tree.file("/proc/modules", "nvidia 56000000 10 - Live 0x0\n")
        lines = [f"gpu {number} {board} {address} 1 1 0" for number, address in enumerate(self.addresses)]
        (self.directory / "nvml").write_text("".join(f"{line}\n" for line in (*lines, "serial 0")))
        self._mirror_proc()

    def _mirror_proc(self) -> None:
        """What else is in /proc is the real one's."""
        for name in ("self", *(path.name for path in Path("/proc").iterdir())):
            link = self.directory / "proc" / name
            if not link.is_symlink() and not link.exists():
                link.symlink_to(self.directory / "real-proc" / name)
        (self.directory / "real-proc").mkdir()

    def run(self, commands: list[Command]) -> list[Took]:
        """CPU seconds of each, the library's own included, and those on the wall. Needs root."""
        double = Double(self.directory / "nvml", "")
        done = subprocess.run(
            ["unshare", "--mount", sys.executable, __file__, str(self.directory)],
            input=json.dumps(commands),
            env={**os.environ, **double.environment},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        answer = json.loads(done.stdout) if done.stdout else {"error": f"ended with {done.returncode}"}
        if "error" in answer:
            raise SystemExit(f"bench: {answer['error']}")
        return [(cpu, wall) for cpu, wall in answer["seconds"]]


def may_enter() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


def enter(directory: Path) -> None:
    for what, where in (
        ("/proc", directory / "real-proc"),
        (directory / "sys", "/sys"),
        (directory / "proc", "/proc"),
    ):
        subprocess.run(["mount", "--bind", what, where], check=True)
    for where in ("/var/lib", "/run"):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", where], check=True)


def carry_out(commands: list[Command]) -> dict[str, object]:
    seconds: list[Took] = []
    for argv, environment in commands:
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            argv,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            return {"error": f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout.decode()}"}
        seconds.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall))
    return {"seconds": seconds}


if __name__ == "__main__":
    library_directory()
    enter(Path(sys.argv[1]))
    print(json.dumps(carry_out(json.loads(sys.stdin.read()))))  # noqa: T201
