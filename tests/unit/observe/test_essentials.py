"""The host's own disks and networks, through whatever lies between."""

from pathlib import Path

import pytest

from gpupass.model.user import UserKind
from gpupass.observe import observe
from gpupass.system import RecordedHost
from tests.host_tree import Function, HostTree

NVME = "0000:02:00.0"
NVME2 = "0000:03:00.0"
NIC = "0000:04:00.0"


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    tree = HostTree(tmp_path)
    tree.kernel()
    tree.iommu()
    for group, address in enumerate((NVME, NVME2)):
        ids, code = "144d:a80a", 0x010802
        tree.function(Function(address=address, ids=ids, class_code=code, driver="nvme", group=group))
    tree.function(Function(address=NIC, ids="8086:1533", class_code=0x020000, driver="igb", group=9))
    tree.disk("nvme0n1", f"{tree.path(NVME)}/nvme/nvme0", "259:0", ("nvme0n1p1",))
    tree.disk("nvme1n1", f"{tree.path(NVME2)}/nvme/nvme1", "259:8", ("nvme1n1p1",))
    tree.mounts(())
    return tree


def _used(tree: HostTree, kind: UserKind = UserKind.DISK) -> dict[str, list[str]]:
    host = observe(RecordedHost(str(tree.root)), connect=None)
    found = {d.address: [u.name for u in d.users if u.kind is kind] for d in host.devices}
    return {str(address): names for address, names in found.items() if names}


def test_partition(tree: HostTree) -> None:
    tree.mounts((("259:1", "/", "ext4", "/dev/nvme0n1p1"),))
    assert _used(tree) == {NVME: ["/"]}


def test_lvm_on_raid(tree: HostTree) -> None:
    tree.mapper("md0", "", "9:0", ("nvme0n1p1", "nvme1n1p1"))
    tree.mapper("dm-0", "vg-root", "253:0", ("md0",))
    tree.mounts((("253:0", "/", "xfs", "/dev/mapper/vg-root"),))
    assert _used(tree) == {NVME: ["/"], NVME2: ["/"]}


def test_swap_by_its_mapper_name(tree: HostTree) -> None:
    tree.mapper("dm-0", "vg-my--swap", "253:0", ("nvme1n1p1",))
    tree.mounts((), swaps=("/dev/vg/my-swap",))
    assert _used(tree) == {NVME2: ["swap"]}


def test_all_members_of_a_btrfs(tree: HostTree) -> None:
    for name in ("nvme0n1p1", "nvme1n1p1"):
        tree.link(f"/sys/fs/btrfs/a-b/devices/{name}", f"/sys/class/block/{name}")
    tree.mounts((("0:31", "/data", "btrfs", "/dev/nvme0n1p1"),))
    assert _used(tree) == {NVME: ["/data"], NVME2: ["/data"]}


def test_zfs_makes_every_controller_essential(tree: HostTree) -> None:
    tree.mounts((("0:40", "/", "zfs", "rpool/root"),))
    assert _used(tree) == {NVME: ["/"], NVME2: ["/"]}
    host = observe(RecordedHost(str(tree.root)), connect=None)
    assert any("zfs" in note for note in host.unseen)


def test_an_unknown_device_makes_every_controller_essential(tree: HostTree) -> None:
    tree.mounts((("0:41", "/", "something", "/dev/strange"),))
    assert set(_used(tree)) == {NVME, NVME2}


def test_nvme_with_several_paths(tree: HostTree) -> None:
    subsystem = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0"
    tree.disk("nvme7n1", subsystem.replace("/block", ""), "259:32")
    for index, address in enumerate((NVME, NVME2)):
        controller = f"{tree.path(address)}/nvme/nvme{index}"
        tree.file(f"{controller}/uevent", "")
        tree.link(f"{subsystem}/nvme{index}", controller)
    tree.mounts((("259:32", "/", "ext4", "/dev/nvme7n1"),))
    assert _used(tree) == {NVME: ["/"], NVME2: ["/"]}


def test_memory_file_systems_are_nobodys(tree: HostTree) -> None:
    tree.mounts((("0:5", "/dev", "devtmpfs", "udev"), ("0:22", "/proc", "proc", "proc")))
    assert _used(tree) == {}


def test_spaces_in_mount_points(tree: HostTree) -> None:
    tree.mounts((("259:1", r"/my\040data", "ext4", "/dev/nvme0n1p1"),))
    assert _used(tree) == {NVME: ["/my data"]}


def test_route_through_bridge_bond_and_vlan(tree: HostTree) -> None:
    tree.interface("eth0", tree.path(NIC))
    tree.interface("bond0", None, lower=("eth0",))
    tree.interface("bond0.7", None, lower=("bond0",))
    tree.interface("br0", None, lower=("bond0.7",))
    tree.default_route("br0")
    assert _used(tree, UserKind.NETWORK) == {NIC: ["eth0"]}


def test_interface_without_route_is_free(tree: HostTree) -> None:
    tree.interface("eth0", tree.path(NIC))
    tree.file("/proc/net/ipv6_route", f"{'fe80' + '0' * 28} 40 {'0' * 32} 00 {'0' * 32} 100 1 0 1 eth0\n")
    assert _used(tree, UserKind.NETWORK) == {}


def test_ipv6_route(tree: HostTree) -> None:
    tree.interface("eth0", tree.path(NIC))
    tree.file("/proc/net/ipv6_route", f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} 400 1 0 3 eth0\n")
    assert _used(tree, UserKind.NETWORK) == {NIC: ["eth0"]}


def test_bridge_port_without_route(tree: HostTree) -> None:
    tree.interface("eth0", tree.path(NIC))
    tree.interface("br0", None, lower=("eth0",))
    tree.link(f"{tree.path(NIC)}/net/eth0/brport/bridge", "/sys/class/net/br0")
    assert _used(tree, UserKind.NETWORK) == {NIC: ["eth0"]}


def test_a_busy_vf_keeps_its_pf(tree: HostTree) -> None:
    vf = "0000:04:10.0"
    tree.function(
        Function(address=vf, ids="8086:1520", class_code=0x020000, driver="igbvf", group=10, physfn=NIC)
    )
    tree.interface("eth9", tree.path(vf))
    tree.default_route("eth9")
    assert set(_used(tree, UserKind.NETWORK)) == {NIC, vf}
