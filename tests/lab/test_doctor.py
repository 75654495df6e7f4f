"""The doctor on a real kernel, libvirt and Debian: what it sees, and what --fix leaves when it has been undone."""

import json

import pytest

pytestmark = pytest.mark.lab

SETTINGS = "find /etc -type f 2>/dev/null | sort | xargs md5sum"


def examined(host, more="", user=""):
    """Whatever its exit status is: an emulated machine may lack what a real one has."""
    line = f"gpupass doctor --json {more}"
    return json.loads(host.sh(f"su -s /bin/sh {user} -c '{line}'" if user else line, code=None))


def levels(document):
    found = {}
    for one in document["findings"]:
        found.setdefault(one["id"], set()).add(one["level"])
    return found


def test_what_it_sees(simple):
    """And a record of it tells the same."""
    live = examined(simple)
    found = levels(live)
    assert live["distribution"]["family"] == "debian" and live["kernel"]
    for check in ("iommu.on", "vfio.modules", "grp.host-life", "lv.daemon", "lv.version", "kern.stuck"):
        assert found[check] == {"pass"}, (check, [one for one in live["findings"] if one["id"] == check])
    assert found["cpu.guest"] == {"warn"}
    simple.sh("rm -rf /tmp/stored")
    simple.gpupass("record", "/tmp/stored")
    stored = levels(examined(simple, "--host /tmp/stored"))
    simple.sh("rm -rf /tmp/stored")
    assert {name: stored.get(name) for name in found} == found


def test_what_it_sets_right(simple):
    """A modprobe option that is too small: told, written, in the initramfs, and taken back."""
    before = simple.sh(SETTINGS)
    parameter = "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"
    simple.sh(f"modprobe vfio_iommu_type1 && echo 1024 > {parameter}")
    try:
        assert levels(examined(simple))["vfio.dma-limit"] == {"warn"}
        planned = simple.gpupass("doctor", "--fix", "--dry-run", "--for", "passthrough")
        assert simple.sh(SETTINGS) == before
        done = simple.gpupass("doctor", "--fix", "--yes", "--for", "passthrough", timeout=900)
        said = [[one["words"] for one in document["steps"]] for document in (planned, done)]
        assert done["changed"] and said[0] == said[1]
        assert "dma_entry_limit=65535" in simple.sh("cat /etc/modprobe.d/gpupass.conf")
        simple.gpupass("doctor", "--undo", "--yes", timeout=900)
    finally:
        simple.sh(f"echo 65535 > {parameter}", code=None)
    assert simple.sh(SETTINGS) == before


def test_an_ordinary_user_is_told_what_he_cannot_see(simple):
    unknown = [one for one in examined(simple, user="nobody")["findings"] if one["level"] == "unknown"]
    assert "kern.stuck" in {one["id"] for one in unknown}
    assert all("sudo gpupass doctor" in (one["remedy"] or "") for one in unknown if one["id"] == "kern.stuck")
