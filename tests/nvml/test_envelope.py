"""MIG on NVIDIA's library as the double plays it: what is said beforehand is what happens, told once."""

import json

import pytest

from tests.nvml.host import rules

ALLOWED = ("--allow-disruption", "--allow-reset")
CHANGES = {
    "a layout": ("H100-80", (), "mig, layout: balanced"),
    "with a reset": ("A100-40 persistent", (), "mig, layout: balanced"),
    "cut anew": ("A100-40 on", ("mig, layout: [3g.20gb, 2g.10gb]",), "mig, layout: [{profile: 4g.20gb, compute: [2c, 2c]}, 3g.20gb]"),
    "a part less": ("H100-80", ("mig, layout: [3g.40gb, 3g.40gb]",), "mig, layout: [3g.40gb]"),
    "whole again": ("H100-80", ("mig, layout: [7g.80gb]",), "host"),
}  # fmt: skip


def told(ended):
    return ended.status, json.loads(ended.text)


def without_status(document):
    return [{key: value for key, value in step.items() if key != "status"} for step in document["steps"]]


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_said_is_what_happens(name, machine):
    gpu, earlier, wish = CHANGES[name]
    host = machine(gpu)
    for before in earlier:
        assert host.run("apply", host.profile(rules(before)), "--yes", *ALLOWED).status == 0
    file, had = host.profile(rules(wish)), host.snapshot()
    status, said = told(host.run("apply", file, "--dry-run", "--json", *ALLOWED))
    assert (status, said["changed"], host.snapshot()) == (0, True, had)
    status, done = told(host.run("apply", file, "--yes", "--json", *ALLOWED))
    assert (status, done["changed"], host.snapshot() != had) == (0, True, True)
    assert without_status(done) == without_status(said) and done["diff"] == said["diff"]
    assert {"mig", "instances"} & said["diff"]["after"]["0000:07:00.0"].keys()
    had = host.snapshot()
    status, again = told(host.run("apply", file, "--yes", "--json", *ALLOWED))
    assert (status, again["changed"], again["steps"], host.snapshot()) == (0, False, [], had)


def test_half_done_and_put_back(machine):
    """One GPU whose part is in use fails and is as before; the other one is cut, so something has changed."""
    host = machine("H100-80", "H100-80")
    first = host.profile(rules("mig, layout: [1g.10gb]", "mig, layout: [1g.10gb]"))
    assert host.run("apply", first, "--yes").status == 0
    host.double.starts(1, pid=9, gi=host_instance(host), ci=0)
    both, had = host.profile(rules("mig, layout: balanced", "mig, layout: [7g.80gb]")), host.snapshot()
    status, done = told(host.run("apply", both, "--yes", "--json", *ALLOWED))
    assert status == 1 and done["changed"] and done["error"]["exit_code"] == 1
    assert [change["result"] for change in done["changes"]] == ["done", "failed"]
    assert list(done["diff"]["after"]) == ["0000:07:00.0"]
    assert host.gpus()[1] == had[0][1] and host.gpus()[0] != had[0][0]
    alone = host.profile(rules("mig, layout: balanced", "mig, layout: [7g.80gb]"))
    had = host.snapshot()
    status, done = told(host.run("apply", alone, "--yes", "--json", *ALLOWED))
    assert (status, done["changed"], host.snapshot()) == (1, False, had)
    assert done["diff"] == {"before": {}, "after": {}}


def host_instance(host):
    lines = (line.split() for line in host.double.lines())
    return next(int(words[2]) for words in lines if words[:2] == ["gi", "1"])
