"""Partitions, hives and GIM, as amdgpu's and GIM's files tell them."""

from pathlib import Path

from gpupass.devices.hive import hive_of
from gpupass.model.address import Address
from gpupass.model.amd import Gim, Partition
from gpupass.observe import observe
from gpupass.observe.amd import read_nodes
from gpupass.observe.recording import record_host
from gpupass.system import RecordedHost

HOSTS = Path(__file__).parents[2] / "hosts"


def seen(root, address):
    host = observe(RecordedHost(str(root)), connect=None)
    return host, host.device(Address(address))


def test_an_mi300x_in_eight_parts():
    host, gpu = seen(HOSTS / "amd-mi300x", "0000:26:00.0")
    amd = gpu.facts.amd
    assert (amd.compute, amd.memory) == ("CPX", "NPS1")
    assert amd.computes == ("SPX", "DPX", "QPX", "CPX") and amd.memories == ("NPS1", "NPS4")
    assert amd.partitions[0] == Partition(name="cpx0", render="renderD129")
    assert amd.partitions[7] == Partition(name="cpx7", render="renderD136")
    assert len(hive_of(host, gpu)) == 8


def test_a_record_has_them(tmp_path):
    record_host(RecordedHost(str(HOSTS / "amd-mi300x")), tmp_path / "copy", "qemu:///system")
    assert seen(tmp_path / "copy", "0000:26:00.0")[1].facts.amd == (
        seen(HOSTS / "amd-mi300x", "0000:26:00.0")[1].facts.amd
    )


def test_gim():
    _, gpu = seen(HOSTS / "amd-gim", "0000:05:00.0")
    assert gpu.facts.gim == Gim(compute="SPX", memory="NPS1") and gpu.facts.amd is None


def test_a_desktop_card_is_not_split():
    _, gpu = seen(HOSTS / "acs-less", "0000:03:00.0")
    assert gpu.facts.amd is None and gpu.driver == "amdgpu"


def test_older_kernels_put_the_partition_into_the_function(tmp_path):
    """Before "drm/amdkfd: Add partition id field to location_id"."""
    for part in (1, 0, 2):
        node = tmp_path / f"sys/class/kfd/kfd/topology/nodes/{part + 3}"
        node.mkdir(parents=True)
        (node / "properties").write_text(
            f"simd_count 8\nlocation_id {0x2600 | part}\ndomain 0\ndrm_render_minor {140 + part}\n"
        )
    assert read_nodes(RecordedHost(str(tmp_path))) == {
        "0000:26:00.0": ("renderD140", "renderD141", "renderD142")
    }
