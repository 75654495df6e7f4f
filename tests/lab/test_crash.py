"""kill -9 after commits of every verb that changes a host, then recover (fault 12)."""

import pytest

pytestmark = pytest.mark.lab

DEVICE = "0000:01:00.0"


@pytest.mark.parametrize(("verb", "points"), [("bind", 6), ("attach", 6), ("detach", 10), ("move", 12)])
def test_recover_gives_the_state_before_or_the_state_wanted(simple, verb, points):
    results = simple.killed(verb, DEVICE, points)
    assert {r["result"] for r in results} == {"before", "wanted"}, "both ways must occur"
