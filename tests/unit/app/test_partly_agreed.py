"""A profile that takes more than was agreed to for some devices does the others, and says which it has left."""

import json

import pytest
from click.testing import CliRunner

from gpupass.app.consent import Consent, allowed
from gpupass.cli import plan as cli
from gpupass.errors import Refused
from gpupass.methods.mig.mode import SetMigMode
from gpupass.plan import Finding, HostPlan, Plan
from gpupass.steps.bind import BindDriver
from tests.profile_trips import apply
from tests.simulated import GPU, LONE

LENT = f"""
gpus: [{{name: lone, select: {{address: '{LONE}'}}, use: passthrough}}]
attachments: [{{domain: vm1, device: lone}}]
"""
BACK = f"""version: 1
gpus:
  - {{name: lone, select: {{address: '{LONE}'}}, use: host}}
  - {{name: card, select: {{address: '{GPU}'}}, use: passthrough}}
"""


@pytest.fixture
def profile(machine, monkeypatch, tmp_path):
    apply(machine, LENT)
    monkeypatch.setattr(cli, "System", lambda: machine)
    monkeypatch.setattr("gpupass.system.trusted._require_nobody_elses", lambda *_: None)
    file = tmp_path / "back.yaml"
    file.write_text(BACK)
    return str(file)


RESET = Plan(title="a", steps=(SetMigMode(address=LONE, uuid="GPU-1", on=True, reset=True),))
OTHER = Plan(title="b", steps=(BindDriver(address=GPU, driver="vfio-pci", override="vfio-pci"),))


@pytest.mark.parametrize(
    ("plans", "consent", "done"),
    [
        ((RESET, OTHER), Consent(), (OTHER,)),
        ((RESET, OTHER), Consent(reset=True), (RESET, OTHER)),
        ((OTHER,), Consent(), (OTHER,)),
        ((), Consent(), ()),
    ],
)
def test_resets_that_are_not_allowed_are_left(plans, consent, done):
    assert allowed(HostPlan(plans=plans), consent, "apply") == done


def test_what_cannot_be_is_still_refused_whole():
    never = Plan(title="c", steps=OTHER.steps, findings=(Finding(message="no", remedy=""),))
    with pytest.raises(Refused, match="cannot apply: no"):
        allowed(HostPlan(plans=(OTHER, never)), Consent(), "apply")
    with pytest.raises(Refused, match="it resets"):
        allowed(HostPlan(plans=(RESET,)), Consent(), "apply")


def run(*words):
    return CliRunner().invoke(cli.apply, words, standalone_mode=False)


def test_the_others_are_done(machine, profile):
    result = run(profile, "--yes")
    assert result.return_value == Refused.exit_code
    assert (machine.driver(GPU), machine.libvirt.holders(LONE)) == ("vfio-pci", ["vm1"])
    assert (
        "left undone: lone: host 0000:02:00.0: it disrupts domain vm1, which takes --allow-disruption"
        in result.output
    )
    assert "cannot: domain vm1 would lose 0000:02:00.0" in result.output
    again = run(profile, "--yes", "--allow-disruption")
    assert again.return_value == 0
    assert machine.driver(LONE) == "bochs-drm"


def test_programs_are_told_what_was_left(machine, profile):
    result = run(profile, "--yes", "--json")
    document = json.loads(result.stdout)
    assert [one["result"] for one in document["changes"]] == ["not-run", "done"]
    assert document["refused"][0]["message"] == "domain vm1 would lose 0000:02:00.0"


def test_where_nothing_is_left_it_is_refused(machine, profile):
    run(profile, "--yes")
    result = run(profile, "--yes")
    assert isinstance(result.exception, Refused)
    assert "it disrupts domain vm1" in result.exception.message
