"""Options of the modules as the command line of gpupass."""

from __future__ import annotations

import json

import pytest
from ansible_collections.gpupass.kvm.plugins.modules import gpupass_attachment, gpupass_info, gpupass_profile
from ansible_collections.gpupass.kvm.tests.unit.conftest import FOUND, envelope

DONE = (0, envelope(matches=True), "")
QEMU = ["--connect", "qemu:///system"]
INLINE = {"profile": {"version": 1, "gpus": []}}
ALL = {"allow_disruption": True, "allow_reset": True, "adopt": True, "timeout": 90}


@pytest.mark.parametrize(
    ("options", "check", "line"),
    [
        (INLINE, False, ["apply", "--yes", *QEMU, "--json", "--", "-"]),
        (INLINE, True, ["apply", "--dry-run", *QEMU, "--json", "--", "-"]),
        (
            {"file": "/etc/a b.yaml", **ALL},
            False,
            [
                "apply",
                "--adopt",
                "--allow-reset",
                "--allow-disruption",
                "--timeout",
                "90",
                "--yes",
                *QEMU,
                "--json",
                "--",
                "/etc/a b.yaml",
            ],
        ),
        ({**INLINE, "state": "absent"}, True, ["apply", "--absent", "--dry-run", *QEMU, "--json", "--", "-"]),
        (
            {**INLINE, "state": "checked", "uri": "test:///"},
            False,
            ["check", "--connect", "test:///", "--json", "--", "-"],
        ),
        ({**INLINE, "state": "checked", **ALL}, True, ["check", "--adopt", *QEMU, "--json", "--", "-"]),
        ({**INLINE, "host": "/tmp/h"}, True, ["plan", "--host", "/tmp/h", *QEMU, "--json", "--", "-"]),
        (
            {**INLINE, "host": "/tmp/h", "state": "checked"},
            False,
            ["check", "--host", "/tmp/h", *QEMU, "--json", "--", "-"],
        ),
    ],
)
def test_profile(options, check, line, ran):
    _result, calls = ran(gpupass_profile, options, DONE, check=check)
    ((command, data),) = calls
    assert command == [FOUND, *line]
    assert data is None if "file" in options else json.loads(data) == INLINE["profile"]


def test_a_text_is_handed_on_as_it_stands(ran):
    text = "version: 1\ngpus:\n  - {name: a, select: {address: 01:00.0}, use: passthrough}\n"
    _result, calls = ran(gpupass_profile, {"profile": text}, DONE)
    assert calls[0][1] == text


def test_a_file_is_never_an_option_or_standard_input(ran):
    _result, calls = ran(gpupass_profile, {"file": "-"}, DONE)
    assert calls[0][0][-1].endswith("/-")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "one of the following is required: profile, file"),
        ({**INLINE, "file": "/x"}, "parameters are mutually exclusive: profile|file"),
        ({**INLINE, "state": "there"}, "value of state must be one of: present, absent, checked, got: there"),
        ({**INLINE, "no_such": 1}, "Unsupported parameters"),
        ({"profile": [1]}, "cannot read the profile: it is neither a dictionary nor a text"),
        ({**INLINE, "host": "/tmp/h"}, "cannot change /tmp/h: it is a recorded host"),
    ],
)
def test_options_that_cannot_be(options, said, ran):
    result, calls = ran(gpupass_profile, options)
    assert result["failed"] and said in result["msg"] and calls == []


@pytest.mark.parametrize(
    ("state", "line"),
    [
        ("present", ["attach", *QEMU, "--json", "--", "vm1", "-x"]),
        ("absent", ["detach", *QEMU, "--json", "--", "vm1", "-x"]),
        ("moved", ["move", "--to=vm1", *QEMU, "--json", "--", "-x"]),
    ],
)
def test_attachment(state, line, ran):
    options = {"domain": "vm1", "device": "-x", "state": state}
    _result, calls = ran(gpupass_attachment, options, DONE)
    assert calls[0][0] == [FOUND, *line]
    _result, calls = ran(gpupass_attachment, {**options, "timeout": 0.5}, DONE, check=True)
    assert calls[0][0] == [
        FOUND,
        *line[: -len(line) + 1 + (state == "moved")],
        "--timeout",
        "0.5",
        "--dry-run",
        *line[1 + (state == "moved") :],
    ]


def test_attachment_of_a_whole_card_of_a_domain_that_others_manage(ran):
    options = {"domain": "vm1", "device": "a", "with_functions": True, "even_of": "nova"}
    _result, calls = ran(gpupass_attachment, options, DONE)
    assert calls[0][0][1:5] == ["attach", "--with-functions", "--even-of", "nova"]


@pytest.mark.parametrize(("state", "verb"), [("present", "attach"), ("absent", "detach")])
def test_attachment_at_each_start(state, verb, ran):
    options = {"domain": "vm1", "device": "a", "at_start": True, "state": state}
    _result, calls = ran(gpupass_attachment, options, DONE)
    assert calls[0][0][1:] == [verb, "--at-start", *QEMU, "--json", "--", "vm1", "a"]


def test_nothing_is_moved_at_a_start(ran):
    options = {"domain": "vm1", "device": "a", "at_start": True, "state": "moved"}
    result, calls = ran(gpupass_attachment, options)
    assert result["failed"] and "at_start" in result["msg"] and calls == []


def test_info_asks_for_what_is_wanted(ran):
    host = {"schema": 2, "kernel": "6.12.0", "iommu": {}, "unseen": []}
    version = (0, "gpupass, version 0.1.0\n", "")
    result, calls = ran(
        gpupass_info, {"gather_subset": ["slots"], "host": "/tmp/h"}, version, (0, {**host, "slots": [{}]}, "")
    )
    assert [command[1] for command, _data in calls] == ["--version", "slots"]
    assert calls[1][0][2:] == [*QEMU, "--host", "/tmp/h", "--json"]
    assert result["version"] == "0.1.0" and result["msg"] == "1 slots" and "devices" not in result
    answers = [(0, {**host, name: []}, "") for name in ("devices", "slots", "groups")]
    result, calls = ran(gpupass_info, {}, version, *answers)
    assert [command[1] for command, _data in calls] == ["--version", "list", "slots", "groups"]
    assert result["changed"] is False


@pytest.mark.parametrize(("state", "verb"), [("present", ["attach"]), ("moved", ["move", "--to=vm1"])])
def test_options_of_an_attachment(ran, state, verb):
    """As on the command line; nothing of them where it is taken away."""
    said = {"rom": "none", "disable_idle_d3": True, "bar": {"1": "16G"}, "vlan": 0, "allow_disruption": True}
    options = {"domain": "vm1", "device": "a", **said}
    _result, calls = ran(gpupass_attachment, {**options, "state": state}, DONE)
    typed = ["--allow-disruption", "--rom=none", "--disable-idle-d3=on", "--bar=1=16G", "--vlan=0"]
    assert calls[0][0][1 : 6 + len(verb)] == [*verb, *typed]
    _result, calls = ran(gpupass_attachment, {**options, "state": "absent"}, DONE)
    assert not any(word.startswith(("--rom", "--allow")) for word in calls[0][0])
