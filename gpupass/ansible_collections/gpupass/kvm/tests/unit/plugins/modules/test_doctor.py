"""What gpupass_doctor asks for, and what it makes of the answers."""

from __future__ import annotations

import pytest
from ansible_collections.gpupass.kvm.plugins.modules import gpupass_doctor
from ansible_collections.gpupass.kvm.tests.unit.conftest import FOUND, envelope, error, step

QEMU = ["--connect", "qemu:///system"]


def finding(level, **values):
    empty = {
        "title": "IOMMU",
        "subject": "isolation",
        "purposes": [],
        "about": None,
        "needs": "reboot",
        "fixable": True,
    }
    return {"id": "iommu.on", "level": level, "why": "no IOMMU", "remedy": "reboot", **empty, **values}


def examined(*findings, reboot=False):
    levels = [one["level"] for one in findings]
    return {
        "schema": 2,
        "findings": list(findings),
        "counts": {level: levels.count(level) for level in ("pass", "warn", "fail", "unknown")},
        "reboot": reboot,
        "distribution": {"id": "debian"},
        "loader": "update-grub",
        "kernel": "6.12.0",
        "unseen": [],
    }


def test_it_only_looks(ran):
    result, calls = ran(gpupass_doctor, {"for": ["mig", "01:00.0"]}, (3, examined(finding("fail")), ""))
    assert calls[0][0] == [FOUND, "doctor", "--for=mig", "--for=01:00.0", *QEMU, "--json"]
    assert not result.get("failed") and result["changed"] is False and result["msg"] == "1 fail"
    assert result["findings"][0]["id"] == "iommu.on" and result["reboot_required"] is False


@pytest.mark.parametrize(
    ("fail_on", "level", "fails"),
    [("never", "fail", False), ("fail", "fail", True), ("fail", "warn", False), ("warn", "warn", True)],
)
def test_what_fails(fail_on, level, fails, ran):
    result, _calls = ran(gpupass_doctor, {"fail_on": fail_on}, (3, examined(finding(level)), ""))
    assert result.get("failed", False) is fails and result["findings"]
    assert not fails or result["msg"] == (f"this host cannot give GPUs away as asked: no IOMMU (reboot) (1 {level})")


@pytest.mark.parametrize(("check", "word"), [(True, "--dry-run"), (False, "--yes")])
def test_fix(check, word, ran):
    diff = {"before": {}, "after": {"file:/etc/x": {"text": "a"}}}
    done = envelope(changed=True, steps=[step(1, "write /etc/x")], diff=diff)
    answers = (0, done, ""), (3, examined(finding("fail"), reboot=True), "")
    result, calls = ran(gpupass_doctor, {"fix": True, "for": ["mig"]}, *answers, check=check, diff=True)
    assert calls[0][0] == [FOUND, "doctor", "--fix", word, "--for=mig", *QEMU, "--json"]
    assert result["changed"] and result["reboot_required"] and "/etc/x" in result["diff"]["after"]
    said = "would change" if check else "changed"
    assert result["msg"] == f"{said}: write /etc/x; 1 fail"


def test_fix_that_fails(ran):
    why = error("failed", "cannot run update-grub: exit 1", hint="update-grub")
    result, calls = ran(gpupass_doctor, {"fix": True}, (1, envelope(error=why), ""))
    assert result["failed"] and len(calls) == 1
    assert result["msg"] == "cannot run update-grub: exit 1. What to do: update-grub."


def test_a_recorded_host_is_only_looked_at(ran):
    result, calls = ran(gpupass_doctor, {"host": "/tmp/h"}, (0, examined(finding("pass")), ""))
    assert calls[0][0] == [FOUND, "doctor", *QEMU, "--host", "/tmp/h", "--json"] and result["msg"] == "1 pass"
    result, calls = ran(gpupass_doctor, {"host": "/tmp/h", "fix": True})
    assert result["failed"] and calls == []
