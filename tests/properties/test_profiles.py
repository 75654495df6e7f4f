"""Any profile on any machine: reached or refused, taken back again, and nobody else's device touched.

GPUPASS_EXAMPLES says how many machines are tried.
"""

import os

from hypothesis import HealthCheck, given, settings

from gpupass.app.reach import Reach
from gpupass.errors import GpupassError
from gpupass.planner.selection import choose
from gpupass.profiles import write_profile
from tests.profile_files import load
from tests.profile_trips import apply, endings, exported, hardware, kinds, plan, rollback
from tests.properties.machines import cases, machine_of

EXAMPLES = settings(
    max_examples=int(os.environ.get("GPUPASS_EXAMPLES", "150")),
    deadline=None,
    derandomize="GPUPASS_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)


def may_touch(machine, profile):
    """The chosen devices, what shares a group with them, and their virtual functions."""
    host = Reach(profile=profile).look(machine)
    found = set()
    for one in choose(profile, host):
        found |= {member.address for member in host.group_of(one.carrier)}
        if machine.functions[one.carrier.address].sriov:
            found |= {machine.sriov.address(one.carrier.address, number) for number in range(8)}
    return found


@EXAMPLES
@given(case=cases())
def test_reached_or_refused_and_back(case, hidden, new_state):
    cards, past, profile = case
    machine = machine_of(cards, past, new_state())
    before, old = machine.snapshot(), hardware(machine)
    try:
        allowed = may_touch(machine, profile)
        applied = apply(machine, profile, allow_disruption=True)
    except GpupassError:
        assert machine.log == [] and machine.snapshot() == before
        return
    assert set(endings(applied)) <= {"done"}, [report.note for report in applied.reports]
    assert machine.touched() <= allowed
    again = plan(machine, profile)
    assert kinds(again) == [] and again.refusals == ()
    if applied.reports:
        taken_back = rollback(machine)
        assert set(endings(taken_back)) <= {"done"}, [report.note for report in taken_back.reports]
        assert machine.touched() <= allowed
        assert hardware(machine) == old
        if not past and not any(rule.take_over for rule in profile.gpus):
            assert machine.snapshot() == before


@EXAMPLES
@given(case=cases())
def test_an_exported_host_is_already_so(case, hidden, new_state):
    cards, past, _ = case
    machine = machine_of(cards, past, new_state())
    made = plan(machine, load(write_profile(exported(machine))))
    assert (kinds(made), made.refusals, made.waits) == ([], (), ())
