"""A machine, what happened to it, a profile → its plan, as data in <case>/; `--regenerate` writes it anew.

case.json: `before` as in tests/plans, for the simulated machine or one of tests/machines_in_parts, or the recorded
`host` of tests/hosts. With slots.txt and export.yaml it is told, too, how such a machine is seen before. The
examples in profiles/ are planned on the recorded host that each is for: examples/<name>.json.
"""

import json
from pathlib import Path

import pytest
from msgspec import to_builtins

from gpupass import app, inspect
from gpupass.app.export import export
from gpupass.app.export import foreign as made_elsewhere
from gpupass.app.profile_file import load_file
from gpupass.cli.tables import print_slots
from gpupass.errors import GpupassError
from gpupass.model.domain import QEMU
from gpupass.profiles import write_profile
from gpupass.system import RecordedHost
from tests import machines_in_parts
from tests.plans.test_golden_plans import Before, trimmed
from tests.profile_trips import apply, kinds, plan, told

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CASES = sorted(path.parent for path in HERE.glob("*/case.json"))
SEEN = sorted(path.parent for path in HERE.glob("*/slots.txt"))
HOSTS = ROOT / "tests/hosts"
EXAMPLES = sorted((ROOT / "profiles").glob("*.yaml"))


class Past(Before):
    """And profiles, drivers, and what others make."""

    def apply(self, text):
        apply(self.machine, text, allow_disruption=True, allow_reset=True)

    def adopt(self, device):
        app.adopt(self.machine, device)

    def driver(self, device, driver):
        self.machine.register_driver(driver)
        self.machine.set_driver(device, driver)

    def others(self, what, *arguments):
        getattr(machines_in_parts, f"others_{what}")(self.machine, *arguments)

    def foreign(self, device):
        """What gpupass remembers of it is lost."""
        for kind in ("origin", "claim", "sriov.made"):
            self.machine.forgets(kind, device)


def as_data(made):
    found = {
        "plans": [
            {
                "title": one.title,
                "steps": [trimmed(to_builtins(step)) for step in one.steps],
                "findings": [trimmed(to_builtins(finding)) for finding in one.findings],
                "disruptions": [trimmed(to_builtins(disruption)) for disruption in one.disruptions],
                "waits": list(one.waits),
                "devices": list(one.devices),
            }
            for one in made.plans
        ],
        "foreign": list(made.foreign),
    }
    return {
        "plans": [{k: v for k, v in one.items() if v} for one in found["plans"]],
        **{k: v for k, v in found.items() if v and k != "plans"},
    }


def compare(made, golden, regenerate):
    if regenerate:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    assert made == json.loads(golden.read_text())


@pytest.fixture
def past(case, machine, new_state, request):
    """The machine, after what has happened to it."""
    told = json.loads((case / "case.json").read_text())
    if "machine" in told:
        machine = machines_in_parts.MACHINES[told["machine"]](new_state())
        if told["machine"].startswith("vgpu"):
            request.getfixturevalue("nvml")
    elif "host" in told:
        machine = RecordedHost(str(HOSTS / told["host"]))
    for what, *arguments in told.get("before", ()):
        options = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
        getattr(Past(machine), what)(*arguments, **options)
    return machine


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_plan(case, past, regenerate):
    try:
        planned = plan(past, (case / "profile.yaml").read_text())
        made = as_data(planned)
        assert all(step.words() and step.seconds() >= 0 for one in planned.plans for step in one.steps)
    except GpupassError as error:
        made = {"refused": told(error).splitlines()}
    compare(made, case / "plan.json", regenerate)


@pytest.mark.parametrize("case", SEEN, ids=lambda path: path.name)
def test_as_it_is(case, past, regenerate, capsys):
    profile, host = export(past)
    print_slots(inspect.list_slots(past, None, QEMU))
    table = "".join(f"{line.rstrip()}\n" for line in capsys.readouterr().out.splitlines())
    notes = "".join(f"# {note}\n" for note in made_elsewhere(host))
    assert kinds(plan(past, profile)) == []
    for name, text in (("slots.txt", table), ("export.yaml", write_profile(profile) + notes)):
        if regenerate:
            (case / name).write_text(text)
        assert text == (case / name).read_text()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_on_its_recorded_host(path, regenerate):
    system = RecordedHost(str(HOSTS / path.stem))
    try:
        made = as_data(plan(system, load_file(system, str(path), "h")))
    except GpupassError as error:
        made = {"refused": [line.replace(f"{ROOT}/", "") for line in told(error).splitlines()]}
    compare(made, HERE / "examples" / f"{path.stem}.json", regenerate)


def test_there_are_cases():
    assert len(CASES) >= 15 and len(EXAMPLES) >= 4
