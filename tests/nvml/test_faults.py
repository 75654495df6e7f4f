"""NVML answers an error at any call of a change: told, rolled back, nothing lost.

Each function gets one error at one of its calls, those that change something at each. GPUPASS_FAULTS=each: all of
them at each call, one error each time; GPUPASS_FAULTS=all: every error every time.
"""

import os
from collections import Counter
from contextlib import closing
from itertools import cycle

import pytest

from gpupass.store import Store, marks
from tests.nvml.host import make, rules

# invalid argument, not supported, no permission, timeout, function not found, GPU is lost, reset required, in use,
# insufficient resources, unknown
ERRORS = (2, 3, 4, 10, 13, 15, 16, 19, 23, 999)
WHICH = os.environ.get("GPUPASS_FAULTS", "")
CHANGES = (
    "nvmlDeviceSetMigMode",
    "nvmlDeviceCreateGpuInstanceWithPlacement",
    "nvmlGpuInstanceCreateComputeInstanceWithPlacement",
    "nvmlGpuInstanceDestroy",
    "nvmlComputeInstanceDestroy",
)
VM1 = "00000000-0000-0000-0000-000000000001"
CASES = {
    "cut anew": ("H100-80 on", "mig, layout: [1g.10gb, 1g.10gb, 2g.20gb]", "mig, layout: [3g.40gb, 1g.10gb]"),
    "mode and cut": ("H100-80", None, "mig, layout: [{profile: 4g.40gb, compute: [2c, 2c]}]"),
    "back to the host": ("H100-80", "mig, layout: [3g.40gb]", "host"),
    "with a reset": ("A100-40 persistent", None, "mig, layout: [7g.40gb]"),
    "around a guest": ("H100-80 on", "mig, layout: [3g.40gb, 4g.40gb]", "mig, layout: [3g.40gb, 1g.10gb]"),
}
ARGUMENTS = ("--yes", "--allow-reset")


def prepared(directory, running, gpu, before):
    host = make(directory, running, gpu)
    if before is not None:
        assert host.run("apply", host.profile(rules(before)), *ARGUMENTS).status == 0
    return host


def remembered(host):
    with closing(Store(host.state)) as store:
        return marks.read_marks(store)


def restore(host, lines, records):
    """As before the change, without a change: NVML's state and what gpupass remembers."""
    host.double.state.write_text(lines)
    with closing(Store(host.state)) as store:
        marks.forget(store, *(mark.key for mark in marks.read_marks(store)))
        marks.set_marks(store, records)


@pytest.mark.parametrize("name", CASES)
def test_as_before_or_as_wanted(name, tmp_path, running):
    gpu, before, wish = CASES[name]
    host = prepared(tmp_path, running, gpu, before)
    if "guest" in name:
        host.double.boots(0, VM1, gi=host.instance_at(4))
    lines = host.double.state.read_text()
    records = remembered(host)
    old, file, trace = host.snapshot(), host.profile(rules(wish)), tmp_path / "trace"
    assert host.run("apply", file, *ARGUMENTS, FAKE_NVML_TRACE=str(trace)).status == 0
    new = host.snapshot()
    assert new != old
    errors, ends = cycle(ERRORS[list(CASES).index(name) :] + ERRORS[: list(CASES).index(name)]), Counter()
    for position, (call, times) in enumerate(sorted(Counter(trace.read_text().split()).items())):
        each = WHICH or call in CHANGES
        for number in range(1, times + 1) if each else ((1, times // 2 + 1, times)[position % 3],):
            for error in ERRORS if WHICH == "all" else (next(errors),):
                restore(host, lines, records)
                fault = f"{call}:{number}:{error}"
                ended = host.run("apply", file, *ARGUMENTS, FAKE_NVML_FAULTS=fault)
                ends[ended.status] += 1
                wanted = {0: (new,), 1: (old,), 4: (old,), 5: (new,)}.get(ended.status)
                assert wanted is not None, f"{fault}: exit status {ended.status}\n{ended.text}"
                assert host.snapshot() in wanted, f"{fault}: exit status {ended.status}\n{ended.text}"
                assert host.open_journals() == [], fault
                if ended.status:
                    assert "cannot " in ended.text, f"{fault}\n{ended.text}"
                    assert "Traceback" not in ended.text, f"{fault}\n{ended.text}"
    assert ends.total() > 25 and ends[0] and ends[1] and ends[4], ends
    print(ends)  # noqa: T201


@pytest.mark.parametrize("call", CHANGES[3:])
@pytest.mark.parametrize("error", [4, 15, 19, 999])
def test_the_driver_also_refuses_the_way_back(call, error, machine):
    """Creating fails, and so does taking back what was created: a person is needed, with both reasons told."""
    host = machine("H100-80 on")
    file = host.profile(rules("mig, layout: [3g.40gb, 2g.20gb]"))
    faults = f"nvmlGpuInstanceCreateComputeInstanceWithPlacement:2:999,{call}:*:{error}"
    ended = host.run("apply", file, "--yes", FAKE_NVML_FAULTS=faults)
    assert ended.status == 5, ended.text
    assert "Unknown Error; and cannot roll back: cannot destroy" in " ".join(ended.text.split())
    assert host.run("check", file).status == 3
    assert host.run("apply", file, "--yes").status == 0, "once the driver is well again"
    assert host.run("check", file).status == 0
