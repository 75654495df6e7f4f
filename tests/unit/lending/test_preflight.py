"""What is known of hardware and said before an attach: resets that fail, the processor's GPU, memory, the firmware."""

from pathlib import Path

import pytest

from gpupass import app
from gpupass.app.report import Report
from gpupass.errors import Refused
from gpupass.model.reset_known import TROUBLES
from gpupass.system import RecordedHost
from tests.host_tree import Function, HostTree

GPU, IGD = "0000:01:00.0", "0000:00:02.0"
GIB = 1 << 20  # in KiB
PORTS = "".join(f"<controller type='pci' index='{n}' model='pcie-root-port'/>" for n in range(2, 5))
PORTS += "<controller type='pci' index='9' model='pcie-to-pci-bridge'/>"


def function(address: str, ids: str, **more: object) -> Function:
    return Function(address=address, ids=ids, class_code=0x030000, driver="vfio-pci", group=1, **more)


def planned(root: Path, device: Function, guest: str = "", *others: Function) -> Report:
    """`attach vm1 DEVICE` on a host that has it, rehearsed."""
    tree = HostTree(root)
    tree.kernel()
    tree.iommu()
    for one in (*others, device):
        tree.function(one)
    tree.mounts(())
    tree.domain("vm1", PORTS + guest)
    return app.attach(RecordedHost(str(root)), "vm1", device.address, dry_run=True)


def warned(report: Report, word: str) -> list[str]:
    return [finding.message for finding in report.warnings if word in finding.message]


@pytest.mark.parametrize("ids", sorted(TROUBLES))
def test_a_gpu_that_does_not_come_back_from_a_reset(ids: tuple[int, int], tmp_path: Path) -> None:
    known = TROUBLES[ids]
    report = planned(tmp_path, function(GPU, f"{ids[0]:04x}:{ids[1]:04x}", reset="flr bus"))
    assert warned(report, known.family) == [f"{GPU} ({known.family}) {known.what}"]


def test_what_cures_it_is_not_warned_of(tmp_path: Path) -> None:
    cured = function(GPU, "1002:731f", reset="device_specific flr bus")
    assert warned(planned(tmp_path, cured), "Navi 10") == []


def test_other_gpus_reset(tmp_path: Path) -> None:
    assert warned(planned(tmp_path, function(GPU, "1002:73bf", reset="flr")), "reset") == []


@pytest.mark.parametrize(
    ("address", "ids", "told"),
    [(IGD, "8086:a780", True), (GPU, "8086:56a0", False), (IGD, "1002:164e", False)],
)
def test_the_processor_s_own_gpu_has_no_opregion(address: str, ids: str, told: bool, tmp_path: Path) -> None:
    assert bool(warned(planned(tmp_path, function(address, ids)), "OpRegion")) is told


VIOMMU = "<iommu model='intel'/>"
HELD = "<hostdev mode='subsystem' type='pci' managed='no'><source><address domain='0x0000' bus='0x07' slot='0x00' "
HELD += "function='0x0'/></source></hostdev>"
MEMORY = {  # of a guest of 4 GiB: what memtune allows, in GiB → is it enough?
    "just enough": ("", 5, True),
    "not enough": ("", 4, False),
    "a vIOMMU, one device": (VIOMMU, 5, True),
    "a vIOMMU, the second device": (VIOMMU + HELD, 8, False),
    "a vIOMMU, enough for two": (VIOMMU + HELD, 9, True),
    "no vIOMMU, the second device": (HELD, 5, True),
}


@pytest.mark.parametrize("what", MEMORY)
def test_memory_is_locked_once_for_each_device_behind_a_viommu(what: str, tmp_path: Path) -> None:
    devices, limit, enough = MEMORY[what]
    memtune = f"{devices}^<memtune><hard_limit unit='KiB'>{limit * GIB}</hard_limit></memtune>"
    gpu = function(GPU, "10de:2204")
    if enough:
        planned(tmp_path, gpu, memtune)
        return
    with pytest.raises(Refused, match="hard_limit") as refused:
        planned(tmp_path, gpu, memtune)
    assert refused.value.hint and refused.value.hint.startswith("virsh memtune vm1 --hard-limit")


@pytest.mark.parametrize(("kind", "given"), [("direct", False), ("direct-relaxable", True), ("msi", True)])
def test_a_region_of_the_firmware(kind: str, given: bool, tmp_path: Path) -> None:
    """An RMRR: the kernel refuses the group to VFIO; a relaxable one it gives up (iommu.c, reserved regions)."""
    tree = HostTree(tmp_path)
    tree.file(
        "/sys/kernel/iommu_groups/1/reserved_regions", f"0x00000000bdf6e000 0x00000000bdf82fff {kind}\n"
    )
    if given:
        assert planned(tmp_path, function(GPU, "10de:2204")).title
        return
    with pytest.raises(Refused, match="RMRR"):
        planned(tmp_path, function(GPU, "10de:2204"))
