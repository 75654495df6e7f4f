"""kill -9 after every journal line of every verb that changes a host, then recover (fault 12)."""

import json

import pytest

pytestmark = pytest.mark.lab

DEVICE = "0000:01:00.0"


@pytest.mark.parametrize(("verb", "points"), [("bind", 8), ("attach", 8), ("detach", 10), ("move", 14)])
def test_recover_gives_the_state_before_or_the_state_wanted(simple, verb, points):
    out = simple.sh(f"python3 -P /opt/gpupass-copy/tests/lab/inside/crash.py {verb} {DEVICE}", timeout=900)
    results = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert len(results) >= points, out
    assert all(r["recover"] == 0 and r["result"] in ("before", "wanted") for r in results), out
    assert {r["result"] for r in results} == {"before", "wanted"}, "both ways must occur"
