"""Groups from what gpupass_info has found."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleParserError
from ansible_collections.gpupass.kvm.plugins.inventory import gpupass


def device(vendor="10de", name="NVIDIA Corporation TU104GL [Tesla T4]", **values):
    return {"address": "0000:01:00.0", "vendor": vendor, "device": "0001", "name": name, **values}


@pytest.mark.parametrize(
    ("found", "groups"),
    [
        (device(), ["gpu_model_tesla_t4", "gpu_vendor_nvidia"]),
        (
            device(name="NVIDIA Corporation A100-SXM4-40GB", nvidia={"mig": "enabled"}),
            ["gpu_can_mig", "gpu_model_a100_sxm4_40gb", "gpu_vendor_nvidia"],
        ),
        (device(nvidia={"mig": None}, sriov=None), ["gpu_model_tesla_t4", "gpu_vendor_nvidia"]),
        (
            device("8086", "Intel Corporation Data Center GPU Flex 170", sriov={"total": 4}),
            ["gpu_can_sriov", "gpu_model_data_center_gpu_flex_170", "gpu_vendor_intel"],
        ),
        (
            device(
                "1002",
                "Advanced Micro Devices, Inc. [AMD/ATI] Aqua Vanjaram [Instinct MI300X]",
                amd={"computes": ["SPX"]},
            ),
            ["gpu_can_partition", "gpu_model_instinct_mi300x", "gpu_vendor_amd"],
        ),
        (device("1da3", ""), ["gpu_model_1da3_0001", "gpu_vendor_1da3"]),
        (device(physfn="0000:01:00.0"), []),
        (device(mdev_types=[{}], vgpu={}), ["gpu_can_mdev", "gpu_model_tesla_t4", "gpu_vendor_nvidia"]),
    ],
)
def test_groups(found, groups):
    assert gpupass.groups_of({"devices": [found]}, {}) == groups


def test_free_slots():
    slots = [
        {"kind": "function", "state": "free"},
        {"kind": "mig", "state": "in use"},
        {"kind": "mig", "state": "free"},
    ]
    free = gpupass.free_slots({"slots": [*slots, slots[2]]})
    assert free == {"function": 1, "mig": 2}
    groups = gpupass.groups_of({"devices": [], "groups": [{"viable": True}]}, free)
    assert groups == ["gpu_can_passthrough", "gpu_free", "gpu_free_function", "gpu_free_mig"]


def test_files(tmp_path):
    (tmp_path / "a.example.org.json").write_text(json.dumps({"devices": [], "slots": []}))
    (tmp_path / "b").write_text(json.dumps({"devices": []}))
    (tmp_path / "c").write_text(json.dumps({"ansible_hostname": "c"}))
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "directory").mkdir()
    assert sorted(host for host, _info in gpupass.hosts_in(tmp_path)) == ["a.example.org", "b"]


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(AnsibleParserError, match="No such file"):
        list(gpupass.hosts_in(tmp_path / "nowhere"))
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(AnsibleParserError, match=r"a\.json: .* What to do: let gpupass_info write it anew"):
        list(gpupass.hosts_in(tmp_path))
