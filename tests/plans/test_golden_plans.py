"""A machine, what happened to it, a request → the plan, as data in <case>/; `--regenerate` writes it anew.

case.json: `before`, a list of [what, arguments…] done to the simulated machine; `request`, a verb with its
arguments. plan.json: the steps and findings, without what is the same in every plan.
"""

import json
from pathlib import Path

import pytest
from msgspec import to_builtins

from gpupass import app
from gpupass.app.report import Came
from gpupass.errors import GpupassError
from gpupass.model.domain import DomainState
from gpupass.profiles.options import read_options

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/case.json"))
_SAME = ("connect", "uuid", "boot_id", "since")


class Before:
    """What can have happened, by the name it has in case.json."""

    def __init__(self, machine):
        self.machine = machine
        self.guests = machine.libvirt.guests

    def bind(self, device, **options):
        app.bind(self.machine, device, **options)

    def attach(self, domain, device, **typed):
        app.attach(self.machine, domain, device, options=read_options(typed))

    def plug(self, domain, device, **options):
        self.machine.libvirt.plug(domain, device, **options)

    def guest(self, domain, **values):
        for name, value in values.items():
            setattr(self.guests[domain], name, DomainState(value) if name == "state" else value)

    def stop(self, domain):
        self.machine.libvirt.stop(domain)

    def quarantine(self, device):
        self.machine.faults["reset", device] = 5
        with pytest.raises(GpupassError):
            app.attach(self.machine, "vm1", device)

    def stuck(self, device):
        self.machine.faults["unbind", device] = "hang"
        with pytest.raises(GpupassError):
            app.bind(self.machine, device)

    def dead(self, device):
        self.machine.break_config(device)

    def process(self, name, node):
        self.machine.process(name, node)

    def memory(self, kib):
        self.machine.put("/proc/meminfo", f"MemTotal: 65830220 kB\nMemAvailable: {kib} kB\n")

    def file(self, path, text):
        self.machine.put(path, text)

    def rom(self, path):
        self.machine.put(path, b"\x55\xaa\x80")

    def conventional(self, device):
        self.machine.files.remove(f"{self.machine.tree.path(device)}/max_link_speed")

    def reboot(self):
        self.machine.reboot()
        for guest in self.guests.values():
            guest.state = DomainState.RUNNING


def trimmed(data):
    """Without empty fields and what is the same everywhere."""
    if isinstance(data, dict):
        return {
            key: trimmed(value) for key, value in data.items() if key not in _SAME and value not in (None, "")
        }
    return [trimmed(item) for item in data] if isinstance(data, list | tuple) else data


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_plan(case, machine, monkeypatch, regenerate):
    text = json.loads((case / "case.json").read_text())
    for what, *arguments in text["before"]:
        options = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
        getattr(Before(machine), what)(*arguments, **options)
    plans = []

    def rehearse(session, intent, consent):
        """Also what would be refused."""
        made = intent.plan(session.look(intent))
        plans.extend(made.plans)
        return Came(reports=(), made=made)

    monkeypatch.setattr("gpupass.app.verbs.rehearse", rehearse)
    verb, *arguments = text["request"]
    options = arguments.pop() if isinstance(arguments[-1], dict) else {}
    if "options" in options:
        typed = options["options"].items()
        options["options"] = read_options({n: tuple(v) if isinstance(v, list) else v for n, v in typed})
    getattr(app, verb)(machine, *arguments, dry_run=True, **options)
    (plan,) = plans
    found = {
        "title": plan.title,
        "steps": [trimmed(to_builtins(step)) for step in plan.steps],
        "findings": [trimmed(to_builtins(finding)) for finding in plan.findings],
        "devices": list(plan.devices),
    }
    golden = case / "plan.json"
    if regenerate:
        golden.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert found == json.loads(golden.read_text())


def test_there_are_cases():
    assert len(CASES) > 30
