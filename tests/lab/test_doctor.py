"""The doctor on a real kernel, libvirt and Debian: what it sees, and what --fix leaves when it has been undone."""

import json

import pytest

pytestmark = pytest.mark.lab

GPU = "0000:01:00.0"
SETTINGS = "find /etc -type f 2>/dev/null | sort | xargs md5sum"


def levels(document):
    return {one["id"]: one["level"] for one in document["findings"]}


def test_what_it_sees(simple):
    """An emulated machine with an IOMMU, and a record of it tells the same."""
    live = simple.gpupass("doctor", code=3)  # no VT-x: the machine is emulated
    found = levels(live)
    assert live["distribution"]["family"] == "debian" and live["kernel"]
    for check in (
        "iommu.on",
        "iommu.ir",
        "vfio.modules",
        "grp.host-life",
        "lv.daemon",
        "lv.version",
        "kern.stuck",
    ):
        assert found[check] == "pass", (check, [one for one in live["findings"] if one["id"] == check])
    assert found["cpu.guest"] == "warn"
    simple.sh("rm -rf /tmp/stored")
    simple.gpupass("record", "/tmp/stored")
    stored = levels(simple.gpupass("doctor", "--host", "/tmp/stored", code=3))
    assert {name: level for name, level in found.items() if stored.get(name) != level} == {}
    simple.sh("rm -rf /tmp/stored")


def test_what_it_sets_right(simple):
    """A modprobe option that is too small: told, written, in the initramfs, and taken back."""
    before = simple.sh(SETTINGS)
    simple.sh(
        "modprobe vfio_iommu_type1 && echo 1024 > /sys/module/vfio_iommu_type1/parameters/dma_entry_limit"
    )
    try:
        assert levels(simple.gpupass("doctor", code=3))["vfio.dma-limit"] == "warn"
        planned = simple.gpupass("doctor", "--fix", "--dry-run", "--for", "passthrough")
        assert simple.sh(SETTINGS) == before, json.dumps(planned["steps"])
        done = simple.gpupass("doctor", "--fix", "--yes", "--for", "passthrough", timeout=900)
        assert done["changed"] and [one["words"] for one in done["steps"]] == [
            one["words"] for one in planned["steps"]
        ]
        assert "dma_entry_limit=65535" in simple.sh("cat /etc/modprobe.d/gpupass.conf")
        simple.gpupass("doctor", "--undo", "--yes", timeout=900)
    finally:
        simple.sh("echo 65535 > /sys/module/vfio_iommu_type1/parameters/dma_entry_limit", code=None)
    assert simple.sh(SETTINGS) == before


def test_an_ordinary_user_is_told_what_he_cannot_see(simple):
    out = simple.sh("su -s /bin/sh nobody -c 'gpupass doctor --json'", code=3)
    unknown = [one for one in json.loads(out)["findings"] if one["level"] == "unknown"]
    assert {"boot.fb", "kern.stuck"} <= {one["id"] for one in unknown}
    assert all("sudo gpupass doctor" in (one["remedy"] or "") for one in unknown if one["id"] == "kern.stuck")
