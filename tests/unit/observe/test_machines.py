"""Machines of other makes: several sockets, domains above 0, POWER, Arm, no groups; read right, or refused with why.

Numbers after trees that people have published: which domains, groups and companions there are, not their texts.
"""

import pytest

from gpupass.devices.verdict import device_verdict
from gpupass.model.address import Address
from gpupass.observe import observe
from gpupass.observe.recording import record_host
from gpupass.system import RecordedHost
from tests.host_tree import GIB, MEM64_PREFETCH, MIB, Function, HostTree

BARS = ((16 * MIB, MEM64_PREFETCH), (0, 0), (64 * GIB, MEM64_PREFETCH))
PORT = {"class_code": 0x060400, "driver": "pcieport", "reset": None}


def gpu(address, ids="10de:2330", **more):
    told = {"class_code": 0x030200, "driver": "nvidia", "reset": "flr", "bars": BARS}
    return Function(address=address, ids=ids, **{**told, **more})


def begun(tree, unit="dmar0", release="6.8.0"):
    tree.kernel(release)
    tree.mounts(())
    if unit:
        tree.iommu(unit)


def two_sockets(tree):
    """An EPYC board with two sockets and four NUMA nodes: one domain, root ports of both below bus 80 and above it."""
    begun(tree, "ivhd0")
    for number, (bus, node) in enumerate((("21", 0), ("61", 1), ("a1", 2), ("e1", 3))):
        port = f"0000:{int(bus, 16) - 1:02x}:01.1"
        tree.function(Function(address=port, ids="1022:14ab", group=20 + number, acs=True, numa=node, **PORT))
        tree.function(gpu(f"0000:{bus}:00.0", "1002:74a1", class_code=0x120000, driver="amdgpu",
                          group=60 + number, parent=port, numa=node))  # fmt: skip


def power9(tree):
    """Each host bridge is a domain; groups, but no /sys/class/iommu (powernv: drivers/iommu/…, arch/powerpc)."""
    begun(tree, unit="", release="5.14.0")
    tree.file("/proc/interrupts", " 16: 0 0 XICS 2 Edge IPI\n 20: 1 0 XICS 65 Edge nvme0q0\n")
    for number, domain in enumerate(("0004", "0035")):
        tree.function(Function(address=f"{domain}:00:00.0", ids="1014:04c1", group=5 + number, **PORT))
        for slot in ("0", "1"):
            bus = f"{domain}:0{3 + int(slot)}:00.0"
            tree.function(
                gpu(
                    bus,
                    "10de:1db1",
                    group=10 * number + int(slot),
                    parent=f"{domain}:00:00.0",
                    numa=8 * number,
                )
            )
    tree.function(
        Function(address="0006:00:00.0", ids="104c:8241", class_code=0x0C0330, driver="xhci_hcd", group=30)
    )


def grace(tree):
    """An Arm server: SMMUv3, a domain for each root port, ITS; its GPU's memory is a NUMA node of its own."""
    begun(tree, "smmu3.0x0000000011000000")
    tree.file("/proc/interrupts", " 50: 1 0 ITS-PCI-MSI 1048576 Edge nvme0q0\n")
    for number, domain in enumerate(("0000", "0008", "0009")):
        tree.function(Function(address=f"{domain}:00:00.0", ids="10de:22b1", group=number, acs=True, **PORT))
    tree.function(gpu("0009:01:00.0", "10de:2342", group=8, parent="0009:00:00.0", numa=0))
    tree.function(Function(address="0008:01:00.0", ids="144d:a80c", class_code=0x010802, driver="nvme", group=7,
                           parent="0008:00:00.0"))  # fmt: skip


def arm_board(tree, driver="dwc3"):
    """A small Arm machine whose SMMU tells a PCI root and a USB controller of the SoC by one stream number."""
    begun(tree, "arm-smmu.0.auto")
    tree.file("/proc/interrupts", " 50: 1 0 ITS-PCI-MSI 0 Edge\n")
    tree.function(gpu("0001:01:00.0", "1002:73ff", class_code=0x030000, driver="amdgpu", group=3))
    path = "/sys/devices/platform/soc/2f00000.usb"
    tree.file(f"{path}/uevent", "")
    tree.link("/sys/kernel/iommu_groups/3/devices/2f00000.usb", path)
    if driver:
        tree.file(f"/sys/bus/platform/drivers/{driver}/bind", "")
        tree.link(f"{path}/driver", f"/sys/bus/platform/drivers/{driver}")


def vmd(tree):
    """Intel's VMD: what is behind it is in a domain of its own of more than 16 bits, and in the VMD's group."""
    begun(tree)
    tree.function(
        Function(address="0000:64:00.5", ids="8086:28c0", class_code=0x010400, driver="vmd", group=40)
    )
    tree.function(Function(address="10000:e0:06.0", ids="8086:a0bc", group=40, parent="0000:64:00.5", **PORT))
    tree.function(Function(address="10000:e1:00.0", ids="8086:0b60", class_code=0x010802, driver="nvme", group=40,
                           parent="10000:e0:06.0", reset="flr"))  # fmt: skip
    tree.function(gpu("0000:17:00.0", group=50))


def no_groups(tree):
    begun(tree, unit="")
    tree.function(gpu("0000:17:00.0"))


def seen(build, tmp_path, **more):
    build(HostTree(tmp_path), **more)
    return observe(RecordedHost(str(tmp_path)), connect=None)


@pytest.mark.parametrize(
    ("build", "address", "group", "node", "why"),
    [
        (two_sockets, "0000:21:00.0", 60, 0, ()),
        (two_sockets, "0000:e1:00.0", 63, 3, ()),
        (power9, "0004:03:00.0", 0, 0, ()),
        (power9, "0035:04:00.0", 11, 8, ()),
        (grace, "0009:01:00.0", 8, 0, ()),
        (vmd, "0000:17:00.0", 50, None, ()),
        (no_groups, "0000:17:00.0", None, None, ("this host has no IOMMU",)),
        (
            arm_board,
            "0001:01:00.0",
            3,
            None,
            ("IOMMU group 3 holds 2f00000.usb, no PCI function, which dwc3 runs",),
        ),
    ],
)
def test_a_gpu_of_it(build, address, group, node, why, tmp_path):
    host = seen(build, tmp_path)
    device = host.device(Address(address))
    assert device is not None and device.is_gpu
    assert (device.group, device.detail.numa_node) == (group, node)
    verdict = device_verdict(device, host)
    assert verdict.viable is not bool(why), verdict.reasons
    assert all(words in reason for words, reason in zip(why, verdict.reasons, strict=True))


def test_addresses_above_16_bits_are_read_and_ordered(tmp_path):
    host = seen(vmd, tmp_path)
    behind = host.device(Address("10000:e1:00.0"))
    assert behind is not None and behind.parent == "10000:e0:06.0"
    assert [member.address for member in host.group_of(behind)] == [
        "0000:64:00.5",
        "10000:e0:06.0",
        "10000:e1:00.0",
    ]
    verdict = device_verdict(behind, host)
    assert [one.address for one in verdict.companions] == ["0000:64:00.5"], (
        "VMD itself would have to move along"
    )


def test_what_vfio_platform_has_does_no_harm(tmp_path):
    for number, driver in enumerate(("vfio-platform", "")):
        host = seen(arm_board, tmp_path / str(number), driver=driver)
        assert host.iommu.strangers == ()
        assert device_verdict(host.devices[0], host).viable


def test_a_record_keeps_the_stranger(tmp_path):
    arm_board(HostTree(tmp_path / "host"))
    record_host(RecordedHost(str(tmp_path / "host")), tmp_path / "copy", "qemu:///system")
    assert observe(RecordedHost(str(tmp_path / "copy")), connect=None).iommu.strangers == (
        (3, "2f00000.usb", "dwc3"),
    )


def test_no_two_sockets_are_one_group(tmp_path):
    host = seen(two_sockets, tmp_path)
    assert all(len(members) == 1 for members in host.groups.values())
    assert {device.detail.numa_node for device in host.devices if device.is_gpu} == {0, 1, 2, 3}
