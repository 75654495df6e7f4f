"""Plays of the collection as it stands in this checkout, on simulated machines with the real gpupass as a process."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests import machine_process
from tests.simulated import Machine

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Played:
    """How a play ended, what it printed, and each result: by task, or by host and task."""

    status: int
    text: str
    results: list[dict]

    def of(self, task: str, host: str | None = None) -> dict:
        found = [one["result"] for one in self.results if one["task"] == task and host in (None, one["host"])]
        assert found, f"{task} has no result:\n{self.text}"
        return found[-1]

    def in_order(self) -> list[dict]:
        return [one["result"] for one in self.results]


@dataclass
class Controller:
    """Where `ansible-playbook` runs; everything it writes is below `directory`."""

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        configuration = self.directory / "ansible.cfg"
        configuration.write_text("[defaults]\n")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "gpupass"),
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "results",
            "ANSIBLE_CONNECTION_PLUGINS": str(Path(__file__).parent / "connection_plugins"),
            "ANSIBLE_HOME": str(self.directory / "home"),
            "ANSIBLE_CONFIG": str(configuration),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_INTERPRETER_PYTHON": sys.executable,
            "RESULTS": str(self.directory / "results"),
            "LC_ALL": "C.UTF-8",
            **self.environment,
        }

    def run(
        self, *argv: str | Path, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess:
        return subprocess.run(
            [BIN / argv[0], *argv[1:]],
            cwd=cwd or self.directory,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def play(self, playbook: Path, *arguments: str | Path, **environment: str) -> Played:
        results = self.directory / "results"
        results.unlink(missing_ok=True)
        done = self.run("ansible-playbook", playbook, *arguments, **environment)
        lines = results.read_text().splitlines() if results.exists() else []
        return Played(done.returncode, done.stdout, [json.loads(line) for line in lines])

    def tasks(self, inventory: dict, *tasks: dict, **environment: str) -> Played:
        """One play of these tasks on all hosts of `inventory` (host → variables)."""
        hosts = {"all": {"hosts": {name: LOCAL | more for name, more in inventory.items()}}}
        (self.directory / "hosts.yml").write_text(yaml.safe_dump(hosts))
        named = [{"name": str(number), "ignore_errors": True, **task} for number, task in enumerate(tasks)]
        play = {
            "hosts": "all",
            "gather_facts": False,
            "module_defaults": {"group/gpupass.kvm.gpupass": {"executable": "{{ gpupass_executable }}"}},
            "tasks": named,
        }
        (self.directory / "play.yml").write_text(yaml.safe_dump([play], sort_keys=False))
        return self.play(self.directory / "play.yml", "-i", "hosts.yml", **environment)


LOCAL = {
    "ansible_connection": "local",
    "ansible_python_interpreter": sys.executable,
    "ansible_become": False,
    "ansible_remote_tmp": "{{ lookup('env', 'ANSIBLE_HOME') }}/tmp",
}


@pytest.fixture
def controller(tmp_path):
    (tmp_path / "controller").mkdir()
    return Controller(tmp_path / "controller")


@dataclass(frozen=True)
class Simulated:
    """A machine on which only processes work, and the command `gpupass` there."""

    directory: Path

    @property
    def machine(self) -> Machine:
        return machine_process.load(self.directory)

    def happens(self, event) -> None:
        """From outside."""
        machine = self.machine
        event(machine)
        machine_process.save(machine, self.directory)

    def command(self, **environment: str) -> dict[str, str]:
        """Variables of a host of an inventory."""
        return {"gpupass_executable": str(machine_process.program(self.directory, **environment))}


@pytest.fixture
def simulated(tmp_path):
    """`simulated("a")` → a machine of its own."""

    def make(name="host"):
        directory = tmp_path / name
        machine = Machine(directory / "state")
        machine.debian()
        machine_process.save(machine, directory)
        return Simulated(directory)

    return make
