"""kill -9 after each commit of a MIG change, and inside the driver's calls; then recover, or the same order again.

gpupass is a process of its own on NVIDIA's library as the double plays it, its journal is on the disk, the kill real.
"""

import signal
from itertools import count

import pytest

from tests.nvml.test_faults import ARGUMENTS, CASES, CHANGES, prepared, remembered, restore, rules

KILLED = -signal.SIGKILL


@pytest.fixture(params=CASES)
def case(request, tmp_path, running):
    """(host, profile, before, wanted, put back)"""
    gpu, before, wish = CASES[request.param]
    host = prepared(tmp_path, running, gpu, before)
    lines = host.double.state.read_text()
    records = remembered(host)
    old, file = host.snapshot(), host.profile(rules(wish))
    assert host.run("apply", file, *ARGUMENTS).status == 0
    new = host.snapshot()
    restore(host, lines, records)
    assert host.snapshot() == old != new
    return host, file, old, new, lambda: restore(host, lines, records)


def test_after_each_commit(case):
    host, file, old, new, put_back = case
    seen = []
    for number in count(1):
        put_back()
        ended = host.run("apply", file, *ARGUMENTS, GPUPASS_CRASH=f"{number}{'-' if number % 4 == 3 else ''}")
        if ended.status != KILLED:
            break
        if number % 3:
            recovered = host.run("recover")
            assert recovered.status == 0, f"killed at {number}\n{recovered.text}"
            assert host.snapshot() in (old, new), f"killed at {number}, recovered"
            seen.append(host.snapshot())
        else:
            assert host.run("apply", file, *ARGUMENTS).status == 0, f"killed at {number}, applied again"
            assert host.snapshot() == new, f"killed at {number}, applied again"
        assert host.open_journals() == [], f"killed at {number}"
    assert ended.status == 0 and number > 8
    assert old in seen


def test_inside_each_call_that_changes_something(case):
    host, file, old, _, put_back = case
    killed = 0
    for call in CHANGES:
        for number in count(1):
            put_back()
            if host.run("apply", file, *ARGUMENTS, FAKE_NVML_FAULTS=f"{call}:{number}:kill").status != KILLED:
                break
            killed += 1
            assert host.run("recover").status == 0
            assert host.snapshot() == old, f"killed in {call}, call {number}"
    assert killed >= 3


def test_killed_while_recovering(machine):
    host = machine("H100-80 on")
    assert host.run("apply", host.profile(rules("mig, layout: [3g.40gb]")), "--yes").status == 0
    old, file = host.snapshot(), host.profile(rules("mig, layout: [2g.20gb, 1g.10gb]"))
    assert host.process("apply", file, "--yes", GPUPASS_CRASH="9").status == KILLED
    for number in count(1):
        status = host.process("recover", GPUPASS_CRASH=str(number)).status
        if status != KILLED:
            break
        assert host.open_journals() or host.snapshot() == old
    assert status == 0 and number > 3 and host.snapshot() == old


def test_killed_and_rebooted(machine):
    host = machine("H100-80")
    file = host.profile(rules("mig, layout: balanced"))
    assert host.run("apply", file, "--yes", GPUPASS_CRASH="7").status == KILLED
    host.double.reboots()
    assert host.run("recover", HOST_BOOT="boot-2").status == 0
    assert host.gpus()[0] == ("off", ()) and host.open_journals() == []
    assert host.run("apply", file, "--yes", HOST_BOOT="boot-2").status == 0
    assert len(host.gpus()[0][1]) == 4
