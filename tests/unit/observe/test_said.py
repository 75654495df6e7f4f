"""What of the kernel's command line and its log may leave the host."""

import json
from pathlib import Path

import pytest

from gpupass.inspect import record_host, show_device
from gpupass.model.address import Address
from gpupass.observe.said import lines_about, words_about_devices
from gpupass.system import RecordedHost
from tests.simulated import GPU, LONE, Machine

GPU_AT = Address("0000:01:00.0")
KEPT = (
    "nouveau 0000:01:00.0: NVIDIA GA102 (b72000a1)",
    "DMAR: [DMA Read NO_PASID] Request device [01:00.0] fault addr 0xbdf6e000",
    "NVRM: Xid (PCI:0000:01:00): 79, pid=1480, GPU has fallen off the bus.",
    "pci 0000:01:00.0: BAR 1: can't assign; no space",
    "AMD-Vi: Interrupt remapping enabled",
)
LEFT_OUT = (
    "Command line: BOOT_IMAGE=/vmlinuz root=/dev/sda1 vfio-pci.ids=10de:2204 rd.luks.key=hunter2",
    "Kernel command line: intel_iommu=on ip=10.0.0.2 netroot=iscsi:u:hunter2@10.0.0.1::::iqn",
    "input: hunter2's keyboard as /devices/pci0000:00/0000:00:14.0/usb1/1-4/input/input7",
    "usb 1-4: SerialNumber: hunter2",
    "ahci 0000:00:17.0: AHCI vers 0001.0301",
    'audit: type=1400 apparmor="DENIED" name="/home/hunter2"',
)


def test_only_what_is_about_the_devices() -> None:
    assert lines_about((*LEFT_OUT, *KEPT, *LEFT_OUT), (GPU_AT,)) == list(KEPT)


def test_bounds_and_hardware_addresses() -> None:
    found = lines_about(
        [f"igb 0000:01:00.0: {n} a0:36:9f:12:34:56 {'x' * 999}" for n in range(9999)], (GPU_AT,)
    )
    assert len(found) == 400 and found[-1].startswith("igb 0000:01:00.0: 9998 xx:xx:xx:xx:xx:xx x")
    assert max(map(len, found)) <= 300


def test_no_word_that_unlocks_anything() -> None:
    words = (
        "root=/dev/sda1 rd.luks.key=hunter2 netroot=iscsi:u:p@h intel_iommu=on vfio-pci.ids=10de:2204 quiet"
    )
    assert words_about_devices(words.split()) == ["intel_iommu=on", "vfio-pci.ids=10de:2204"]


@pytest.mark.parametrize(
    "word",
    [
        *(
            "iommu=pt",
            "amd_iommu=off",
            "iommu.strict=0",
            "modprobe.blacklist=nouveau",
            "rd.driver.pre=vfio-pci",
        ),
        *(
            "module_blacklist=nvidia",
            "nvidia-drm.modeset=1",
            "pcie_acs_override=downstream",
            "pci=realloc",
            "nomodeset",
        ),
        *("arm-smmu-v3.disable_bypass=0", "pcie_aspm=off", "kvm.ignore_msrs=1", "default_hugepagesz=1G"),
    ],
)
def test_what_matters_to_devices_is_kept(word: str) -> None:
    assert words_about_devices([word]) == [word]


def test_a_record_keeps_it_and_show_tells_it(machine: Machine, tmp_path: Path) -> None:
    machine.put("/proc/cmdline", "root=/dev/sda1 rd.luks.key=hunter2 intel_iommu=on\n")
    for line in (f"nouveau {GPU}: timeout", f"bochs-drm {LONE}: fine", LEFT_OUT[0]):
        machine.kernel_says(line)
    record_host(machine, tmp_path / "record", "qemu:///system")
    host = RecordedHost(str(tmp_path / "record"))
    assert show_device(host, GPU, "qemu:///system").said == (f"nouveau {GPU}: timeout",)
    ground = json.loads((tmp_path / "record/gpupass/ground.json").read_text())
    assert ground["kernel"]["words"] == ["intel_iommu=on"]
    texts = [path.read_bytes() for path in (tmp_path / "record").rglob("*") if path.is_file()]
    assert not any(b"hunter2" in text for text in texts)
