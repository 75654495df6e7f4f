"""Any vGPU profile on a card in any state: reached or refused, taken back again, and nothing foreign or in use touched.

GPUPASS_EXAMPLES says how many cards are tried.
"""

import os
from collections import Counter

from hypothesis import HealthCheck, given, settings

from gpupass.errors import GpupassError
from gpupass.methods.vgpu.rule import VgpuRule
from gpupass.profiles import write_profile
from tests.profile_files import load
from tests.profile_trips import apply, endings, exported, kinds, plan, rollback, told
from tests.properties.vgpu_machines import ALLOWED, cases, machine_of
from tests.simulated_vgpu import CARD, KINDS, UNITS, VFS

KIND = {kind.name: kind for kind in KINDS}

EXAMPLES = settings(
    max_examples=int(os.environ.get("GPUPASS_EXAMPLES", "60")),
    deadline=None,
    derandomize="GPUPASS_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)


def spared(machine, rule):
    """VFs with a vGPU that is in use, or that gpupass did not make and may not take over."""
    known = {name.split()[1][:12] for name in machine.records() if name.startswith(("vgpu.", "mdev."))}
    vgpu = machine.vgpu
    return {
        vf: one
        for vf, one in vgpu.vgpus.items()
        if vgpu.in_use(vf) or (vf not in known and not rule.take_over)
    }


def spared_instances(machine, rule):
    """GPU instances that gpupass did not make and may not take over."""
    names = {name for name, _ in machine.vgpu.instances()}
    of_mig = (name.removeprefix(f"mig.made {CARD}+") for name in machine.records())
    return set() if rule.take_over else names - set(of_mig)


def facts(machine):
    """The card without what has no say in a profile: which VF has which vGPU, sizes side by side."""
    found = machine.snapshot()
    parts = found["parts"]
    return {
        "drivers": found["drivers"],
        "vfs": found["vfs"],
        "live": found["live"],
        "mig": parts["mig"],
        "types": Counter(name for name, _, _ in parts["vgpus"].values()),
    }


def same(found, old):
    """`use: vgpu` has no word for functions without a vGPU: there are as many as there are."""
    told = set(old) - ({"vfs", "drivers"} if old["mig"][0] or old["types"] else set())
    return all(found[key] == old[key] for key in told)


def fits(rule, sparing):
    """Is there room for all of it, whatever the driver lists at present?"""
    if not isinstance(rule, VgpuRule):
        return True
    units = sum(KIND[count.type].units * count.count for count in rule.types)
    return not sparing and units <= UNITS and sum(count.count for count in rule.types) <= VFS


@EXAMPLES
@given(case=cases())
def test_reached_or_refused_and_back(case, nvml, new_state):
    *kind, past, profile = case
    (rule,) = profile.gpus
    machine = machine_of(*kind, past, new_state())
    before, old = machine.snapshot(), facts(machine)
    sparing, uncut = spared(machine, rule), spared_instances(machine, rule)
    try:
        applied = apply(machine, profile, **ALLOWED)
    except GpupassError as error:
        assert machine.log == [] and machine.snapshot() == before
        assert past or getattr(rule, "layout", None) or not fits(rule, {}), told(error)
        return
    assert machine.open_journals() == []
    assert sparing.items() <= machine.vgpu.vgpus.items()
    assert uncut <= {name for name, _ in machine.vgpu.instances()}
    if endings(applied) == ["failed"]:
        assert not fits(rule, sparing), [report.note for report in applied.reports]
        assert machine.snapshot() == before
        return
    assert set(endings(applied)) <= {"done"}, [report.note for report in applied.reports]
    again = plan(machine, profile)
    assert kinds(again) == [] and again.refusals == ()
    if isinstance(rule, VgpuRule):
        wanted = Counter({count.type: count.count for count in rule.types if count.count})
        assert (
            wanted <= facts(machine)["types"] <= wanted + Counter(one.kind.name for one in sparing.values())
        )
    if applied.reports:
        try:
            taken_back = rollback(machine, **ALLOWED)
        except GpupassError as error:
            assert not machine.vgpu.tells_types, told(error)  # what is on a full card has a number only
            return
        assert set(endings(taken_back)) <= {"done"}, [report.note for report in taken_back.reports]
        assert sparing.items() <= machine.vgpu.vgpus.items()
        assert same(facts(machine), old)


@EXAMPLES
@given(case=cases())
def test_an_exported_host_is_already_so(case, nvml, new_state):
    *kind, past, _ = case
    machine = machine_of(*kind, past, new_state())
    made = plan(machine, load(write_profile(exported(machine))))
    assert (kinds(made), made.refusals, made.waits) == ([], (), ())
