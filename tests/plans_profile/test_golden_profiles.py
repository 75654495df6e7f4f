"""A machine, what happened to it, a profile → its plan, as data in <case>/; `--regenerate` writes it anew.

case.json: `before` as in tests/plans, for the simulated machine or one of tests/machines_in_parts, or the recorded
`host` of tests/hosts. The examples in profiles/ are planned on the recorded host that each is for:
examples/<name>.json.
"""

import json
from pathlib import Path

import pytest
from msgspec import to_builtins

from gpupass.app.profile_file import load_file
from gpupass.errors import GpupassError
from gpupass.system import RecordedHost
from tests import machines_in_parts
from tests.plans.test_golden_plans import Before, trimmed
from tests.profile_trips import apply, plan, told
from tests.simulated_nvml import NvmlMachine

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CASES = sorted(path.parent for path in HERE.glob("*/case.json"))
HOSTS = ROOT / "tests/hosts"
EXAMPLES = sorted((ROOT / "profiles").glob("*.yaml"))


class Past(Before):
    """And profiles, drivers, and what others make."""

    def apply(self, text):
        apply(self.machine, text, allow_disruption=True, allow_reset=True)

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


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_plan(case, machine, new_state, request, regenerate):
    past = json.loads((case / "case.json").read_text())
    if "machine" in past:
        machine = machines_in_parts.MACHINES[past["machine"]](new_state())
        if isinstance(machine, NvmlMachine):
            request.getfixturevalue("nvml")
    elif "host" in past:
        machine = RecordedHost(str(HOSTS / past["host"]))
    for what, *arguments in past.get("before", ()):
        options = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
        getattr(Past(machine), what)(*arguments, **options)
    try:
        made = as_data(plan(machine, (case / "profile.yaml").read_text()))
    except GpupassError as error:
        made = {"refused": told(error).splitlines()}
    compare(made, case / "plan.json", regenerate)


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
