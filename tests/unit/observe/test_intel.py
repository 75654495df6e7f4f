"""The shares of Intel GPUs, from three interfaces that say the same."""

from pathlib import Path

import pytest

from gpupass.model.address import Address
from gpupass.observe import observe
from gpupass.observe.recording import record_host
from gpupass.system import RecordedHost

HOSTS = Path(__file__).parents[2] / "hosts"
NAMES = ("intel-xe", "intel-xe-debugfs", "intel-i915")
PF = Address("0000:03:00.0")
GIB = 1 << 30


def seen(root):
    host = observe(RecordedHost(str(root)), connect=None)
    return host, host.device(PF).facts.intel


@pytest.mark.parametrize("name", NAMES)
def test_values(name):
    _, intel = seen(HOSTS / name)
    second = (16, 32000, 4 * GIB) if name == "intel-i915" else (32, 64000, 8 * GIB)
    values = [
        tuple(knob.value(vf) for knob in (intel.quantum, intel.timeout, intel.memory)) for vf in range(4)
    ]
    assert values == [(16, 32000, 4 * GIB), second, (0, 0, 0), (0, 0, 0)]
    assert (intel.quantum.value(None), intel.timeout.value(None)) == (64, 128000)
    assert intel.auto is (True if name == "intel-i915" else None)


@pytest.mark.parametrize("name", ["intel-xe", "intel-xe-debugfs"])
def test_virtfn1_is_vf2(name):
    """PCI counts virtual functions from 0, xe from 1: the larger share is that of virtfn1, in vf2."""
    system = RecordedHost(str(HOSTS / name))
    host, intel = seen(HOSTS / name)
    number = host.device(PF).facts.sriov.vfs.index(Address("0000:03:00.2"))
    assert number == 1 and system.link(f"/sys/bus/pci/devices/{PF}/virtfn1") == "0000:03:00.2"
    (file, *_) = intel.quantum.files(number)
    assert "/vf2/" in file and system.read(file) == "32" and intel.quantum.value(number) == 32


def test_places():
    files = [seen(HOSTS / name)[1].memory.files(0) for name in NAMES]
    assert files == [
        (f"/sys/bus/pci/devices/{PF}/sriov_admin/vf1/profile/vram_quota",),
        (f"/sys/kernel/debug/dri/{PF}/gt0/vf1/lmem_quota",),
        (f"/sys/bus/pci/devices/{PF}/drm/card0/prelim_iov/vf1/gt/lmem_quota",),
    ]
    assert seen(HOSTS / NAMES[1])[1].quantum.files(None) == tuple(
        f"/sys/kernel/debug/dri/{PF}/{gt}/pf/exec_quantum_ms" for gt in ("gt0", "gt1")
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_record_has_them(name, tmp_path):
    record_host(RecordedHost(str(HOSTS / name)), tmp_path / "copy", "qemu:///system")
    assert seen(tmp_path / "copy")[1] == seen(HOSTS / name)[1]


def test_what_differs_between_gts_is_no_value(tmp_path):
    record_host(RecordedHost(str(HOSTS / "intel-xe-debugfs")), tmp_path / "copy", "qemu:///system")
    (tmp_path / f"copy/sys/kernel/debug/dri/{PF}/gt1/vf1/exec_quantum_ms").write_text("99\n")
    assert seen(tmp_path / "copy")[1].quantum.vfs[:2] == (None, 32)


def test_other_cards_have_none():
    host = observe(RecordedHost(str(HOSTS / "server-sriov")), connect=None)
    assert all(device.facts.intel is None for device in host.devices)
