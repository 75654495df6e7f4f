"""The real gpupass, in a process of its own, on a simulated machine that lives on between the processes.

`python machine_process.py DIRECTORY ARGS…`; whatever is imported after `prepare` takes that machine for the real one.
"""

import copyreg
import os
import pickle
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import gpupass.system  # noqa: E402
from gpupass.system.kept import Kept  # noqa: E402
from tests import killed  # noqa: E402
from tests.simulated import Machine  # noqa: E402

USER = "MACHINE_USER"  # another one than root: a number
copyreg.pickle(Kept, lambda kept: (Kept, ()))  # what a process keeps open ends with it


class KeptMachine(Machine):
    """What `System()` is in this process: always the same machine."""

    kept: Machine

    def __init__(self) -> None:
        self.__dict__ = self.kept.__dict__


def load(directory: Path) -> Machine:
    return pickle.loads((directory / "machine").read_bytes())


def save(machine: Machine, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "machine.new").write_bytes(pickle.dumps(machine))
    (directory / "machine.new").rename(directory / "machine")


def program(directory: Path, **environment: str) -> Path:
    """A command `gpupass` of this machine."""
    path = directory / "gpupass"
    words = "".join(f"{name}='{value}' " for name, value in environment.items())
    path.write_text(f"#!/bin/sh\n{words}exec '{sys.executable}' '{__file__}' '{directory}' \"$@\"\n")
    path.chmod(0o755)
    return path


def prepare(directory: Path) -> None:
    """A machine outlives the gpupass that is killed on it."""
    KeptMachine.kept = load(directory)
    main = os.getpid()

    def saved(end):
        def ends(*arguments):
            if os.getpid() == main:
                save(KeptMachine.kept, directory)
            end(*arguments)

        return ends

    os.kill, os._exit = saved(os.kill), saved(os._exit)
    killed.install()
    os.geteuid = lambda: int(os.environ.get(USER, "0"))
    gpupass.system.System = KeptMachine
    from gpupass.system import names

    names.pci_names = lambda ids: {}


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
    del sys.argv[1]
    from gpupass.cli.main import main

    main()
