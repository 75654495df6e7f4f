"""Whatever stands on a disk, the disk is in use: by whom, in words, and how it is taken off."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gpupass.devices.verdict import device_verdict
from gpupass.model.user import UserKind
from gpupass.observe import observe
from gpupass.observe.stacks import _members, _volume
from gpupass.system import RecordedHost
from tests.host_tree import Function, HostTree

NVME, NVME2, NIC = "0000:02:00.0", "0000:03:00.0", "0000:04:00.0"


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


def lvm(tree: HostTree) -> None:
    tree.mapper("dm-0", "guests-vm--1", "253:0", ("nvme0n1p1",), "LVM")


def thin(tree: HostTree) -> None:
    """Proxmox VE's: hidden volumes of the pool between the disk and the guests' volumes."""
    tree.mapper("dm-0", "pve-data_tmeta", "253:0", ("nvme0n1p1",), "LVM")
    tree.mapper("dm-1", "pve-data_tdata", "253:1", ("nvme0n1p1",), "LVM")
    tree.mapper("dm-2", "pve-data-tpool", "253:2", ("dm-0", "dm-1"), "LVM")
    tree.mapper("dm-3", "pve-vm--100--disk--0", "253:3", ("dm-2",), "LVM")
    tree.mapper("dm-4", "pve-vm--101--disk--0", "253:4", ("dm-2",), "LVM")


def raid(tree: HostTree) -> None:
    tree.mapper("md127", "", "9:127", ("nvme0n1p1", "nvme1n1p1"))


def crypt(tree: HostTree) -> None:
    tree.mapper("dm-0", "secret", "253:0", ("nvme0n1",), "CRYPT")


def multipath(tree: HostTree) -> None:
    tree.mapper("dm-0", "mpatha", "253:0", ("nvme0n1",), "mpath")


def plain_mapper(tree: HostTree) -> None:
    tree.mapper("dm-0", "cow", "253:0", ("nvme0n1",), "linear")


def bcache(tree: HostTree) -> None:
    tree.mapper("bcache0", "", "252:0", ("nvme0n1",))


def zfs(tree: HostTree) -> None:
    lines = "tank\t1000\t10\n\tmirror-0\t1000\n\t\t/dev/nvme0n1p1\t-\n"
    tree.file("/gpupass/zpool.txt", lines)


def zfs_cache(tree: HostTree) -> None:
    lines = "tank\t1000\t10\n\t/dev/sdz1\t-\ncache\t-\t-\n\t/dev/nvme0n1p1\t-\n"
    tree.file("/gpupass/zpool.txt", lines)


def ceph(tree: HostTree) -> None:
    """By its own LVM volume, as ceph-volume makes it."""
    tree.mapper("dm-0", "ceph--1f-osd--block--2a", "253:0", ("nvme0n1",), "LVM")
    tree.link("/var/lib/ceph/osd/ceph-3/block", "/dev/dm-0")
    tree.file("/dev/dm-0", "")


def ceph_raw(tree: HostTree) -> None:
    """Without LVM nothing in sysfs tells of it; cephadm's directories."""
    tree.file("/dev/nvme0n1", "")
    tree.link("/var/lib/ceph/9f8e-11/osd.4/block", "/dev/nvme0n1")


def iscsi_target(tree: HostTree) -> None:
    tree.file("/sys/kernel/config/target/core/iblock_0/fast/udev_path", "/dev/nvme0n1\n")


def nvme_target(tree: HostTree) -> None:
    path = "/sys/kernel/config/nvmet/subsystems/nqn.2026-01.org:a/namespaces/1"
    tree.file(f"{path}/device_path", "/dev/nvme0n1\n")


def loop(tree: HostTree) -> None:
    path = "/sys/devices/virtual/block/loop3"
    tree.file(f"{path}/loop/backing_file", "/dev/nvme0n1\n")
    tree.link("/sys/class/block/loop3", path)


def swap(tree: HostTree) -> None:
    tree.mounts((), swaps=("/dev/nvme0n1p1",))


def data(tree: HostTree) -> None:
    tree.mounts((("259:1", "/srv/data", "ext4", "/dev/nvme0n1p1"),))


def guest_disk(tree: HostTree) -> None:
    tree.domain("web", "<disk type='block'><source dev='/dev/nvme0n1'/><target dev='vda'/></disk>")


def guest_disk_by_id(tree: HostTree) -> None:
    tree.file("/dev/nvme0n1", "")
    tree.link("/dev/disk/by-id/nvme-A_1", "/dev/nvme0n1")
    source = "<source dev='/dev/disk/by-id/nvme-A_1' index='1'/>"
    tree.domain("web", f"<disk type='block' device='lun'>{source}<target dev='sda'/></disk>")


def guest_backing(tree: HostTree) -> None:
    """Its own file is elsewhere, what that stands on is not."""
    below = "<backingStore type='block'><source dev='/dev/nvme0n1p1'/></backingStore>"
    tree.domain("web", f"<disk type='network'><source/>{below}<target dev='vda'/></disk>")


def guest_volume(tree: HostTree) -> None:
    lvm(tree)
    source = "<source dev='/dev/guests/vm-1'/>"
    tree.domain("web", f"<disk type='block'>{source}<target dev='vda'/></disk>")


def guest_file(tree: HostTree) -> None:
    data(tree)
    tree.domain("web", "<disk type='file'><source file='/srv/data/a/web.qcow2'/><target dev='vda'/></disk>")


def guest_argument(tree: HostTree) -> None:
    words = ("-drive", "file=/dev/nvme0n1,format=raw,if=none,id=extra")
    arguments = "".join(f"<qemu:arg value='{word}'/>" for word in words)
    tree.domain("web", f"<memballoon/>^<qemu:commandline>{arguments}</qemu:commandline>")


def guest_scsi(tree: HostTree) -> None:
    path = f"{tree.path(NVME)}/host5/scsi_host/host5"
    tree.file(f"{path}/uevent", "")
    tree.link("/sys/class/scsi_host/host5", path)
    source = "<source><adapter name='scsi_host5'/><address bus='0' target='0' unit='1'/></source>"
    tree.domain("web", f"<hostdev mode='subsystem' type='scsi'>{source}</hostdev>")


USES: dict[Callable[[HostTree], None], tuple[str, str]] = {
    lvm: ("LVM volume group guests: guests/vm-1", "vgchange --activate n guests"),
    thin: ("LVM volume group pve: pve/vm-100-disk-0 and 1 more", "vgchange --activate n pve"),
    raid: ("RAID md127: /dev/md127", "mdadm --stop /dev/md127"),
    crypt: ("encrypted volume secret: dm-0", "cryptsetup close secret"),
    multipath: ("multipath disk mpatha: dm-0", "multipath -f mpatha"),
    plain_mapper: ("mapped device cow: dm-0", "dmsetup remove cow"),
    bcache: ("bcache bcache0: /dev/bcache0", "echo 1 > /sys/class/block/bcache0/bcache/stop"),
    zfs: ("ZFS pool tank: /dev/nvme0n1p1", "zpool export tank"),
    zfs_cache: ("ZFS pool tank: /dev/nvme0n1p1", "zpool export tank"),
    ceph: ("Ceph OSD 3: /dev/dm-0", "systemctl stop ceph-osd@3.service"),
    ceph_raw: ("Ceph OSD 4: /dev/nvme0n1", "systemctl stop ceph-9f8e-11@osd.4.service"),
    iscsi_target: ("SCSI target fast: /dev/nvme0n1", "targetcli /backstores/block delete fast"),
    nvme_target: (
        "NVMe target nqn.2026-01.org:a: /dev/nvme0n1",
        "echo 0 > /sys/kernel/config/nvmet/subsystems/nqn.2026-01.org:a/namespaces/1/enable",
    ),
    loop: ("loop device loop3: /dev/nvme0n1", "losetup --detach /dev/loop3"),
    swap: ("swap /dev/nvme0n1p1", "swapoff /dev/nvme0n1p1"),
    data: ("disk of /srv/data: /dev/nvme0n1p1", "umount /srv/data"),
    guest_disk: ("disk of domain web: vda /dev/nvme0n1", "virsh detach-disk web vda; or: virsh shutdown web"),
    guest_disk_by_id: (
        "disk of domain web: sda /dev/disk/by-id/nvme-A_1",
        "virsh detach-disk web sda; or: virsh shutdown web",
    ),
    guest_backing: (
        "disk of domain web: vda /dev/nvme0n1p1",
        "virsh detach-disk web vda; or: virsh shutdown web",
    ),
    guest_volume: (
        "disk of domain web: vda /dev/guests/vm-1",
        "virsh detach-disk web vda; or: virsh shutdown web",
    ),
    guest_file: (
        "disk of domain web: vda /srv/data/a/web.qcow2",
        "virsh detach-disk web vda; or: virsh shutdown web",
    ),
    guest_argument: ("disk of domain web: extra /dev/nvme0n1", "virsh shutdown web"),
    guest_scsi: ("disk of domain web: host5", "virsh shutdown web"),
}


HELD = {
    "the disk": ("/dev/nvme0n1", "/system.slice/etcd.service", "systemctl stop etcd.service"),
    "a partition": ("/dev/nvme0n1p1", "/user.slice/user-0.slice/session-1.scope", "kill 7"),
    "by whoever only looks": ("/dev/nvme0n1", "/system.slice/systemd-udevd.service/udev", ""),
    "by who has it for multipath": ("/dev/nvme0n1", "/system.slice/multipathd.service", ""),
}


@pytest.mark.parametrize("what", HELD)
def test_a_disk_that_a_process_has_open_is_in_use(what: str, tree: HostTree) -> None:
    """A database's or Ceph's, without a file system: nothing but the open file tells of it."""
    node, cgroup, cure = HELD[what]
    tree.file("/proc/7/cgroup", f"0::{cgroup}\n")
    tree.answers("holders", {"holders": [{"pid": 7, "name": "etcd", "node": node}], "unseen": []})
    host = observe(RecordedHost(str(tree.root)))
    verdict = device_verdict(host.devices_at((NVME,))[0], host)
    assert verdict.viable is not bool(cure)
    assert not cure or (node in verdict.reasons[0] and verdict.staying[0].remedy.endswith(cure))


def test_a_disk_of_several_paths_is_in_use_on_each(tree: HostTree) -> None:
    """The block device lies below the subsystem, with no PCI function in its path."""
    path = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0"
    tree.disk("nvme5n1", path, "259:40")
    for name, address in (("nvme0", NVME), ("nvme1", NVME2)):
        tree.file(f"{tree.path(address)}/nvme/{name}/uevent", "")
        tree.link(f"{path}/{name}", f"{tree.path(address)}/nvme/{name}")
    tree.answers("holders", {"holders": [{"pid": 7, "name": "x", "node": "/dev/nvme5n1"}], "unseen": []})
    host = observe(RecordedHost(str(tree.root)))
    assert [user.pid for device in host.devices for user in device.users] == [7, 7]


@pytest.mark.parametrize("build", USES, ids=lambda build: build.__name__)
def test_the_disk_is_in_use(build: Callable[[HostTree], None], tree: HostTree) -> None:
    build(tree)
    words, remedy = USES[build]
    host = observe(RecordedHost(str(tree.root)))
    verdict = device_verdict(host.devices[0], host)
    told = {stay.reason.removesuffix(f" on {NVME}"): stay.remedy for stay in verdict.staying}
    assert words in told, told
    assert told[words].endswith(remedy)


def test_what_is_mounted_is_told_once(tree: HostTree) -> None:
    lvm(tree)
    tree.mounts((("253:0", "/srv", "ext4", "/dev/mapper/guests-vm--1"),))
    host = observe(RecordedHost(str(tree.root)))
    assert [user.name for user in host.devices[0].users] == ["/srv"]


def test_only_the_disks_of_a_pool_count_where_they_are_known(tree: HostTree) -> None:
    zfs(tree)
    tree.mounts((("0:40", "/", "zfs", "tank/root"),))
    host = observe(RecordedHost(str(tree.root)))
    assert [bool(device.users) for device in host.devices] == [True, False, False]


def test_a_shut_off_domain_only_wants_it(tree: HostTree) -> None:
    tree.domain(
        "web", "<disk type='block'><source dev='/dev/nvme0n1'/><target dev='vda'/></disk>", state="shut off"
    )
    host = observe(RecordedHost(str(tree.root)))
    assert [user.kind for user in host.devices[0].users] == [UserKind.DOMAIN_CONFIG]
    assert device_verdict(host.devices[0], host).viable


@pytest.mark.parametrize("transport", ["tcp", "rdma"])
def test_a_remote_nvme_is_on_the_way_s_card(transport: str, tree: HostTree) -> None:
    tree.interface("eth0", tree.path(NIC))
    tree.default_route("eth0")
    path = "/sys/devices/virtual/nvme-fabrics/ctl/nvme5"
    tree.file("/sys/class/nvme/nvme5/transport", f"{transport}\n")
    tree.file("/sys/class/nvme/nvme5/address", "traddr=10.0.0.9,trsvcid=4420,src_addr=10.0.0.1\n")
    tree.disk("nvme5n1", path, "259:40")
    tree.mounts((("259:40", "/srv", "xfs", "/dev/nvme5n1"),))
    host = observe(RecordedHost(str(tree.root)))
    told = [(user.kind, user.detail) for user in host.devices[2].users]
    assert (UserKind.DISK, f"/dev/nvme5n1, NVMe over {transport} from 10.0.0.9") in told
    assert not host.unseen and not host.devices[0].users


def test_an_iscsi_disk_is_on_the_way_s_card(tree: HostTree) -> None:
    tree.interface("eth0", tree.path(NIC))
    tree.file(
        "/proc/net/route",
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        "eth0 0000000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n",
    )
    path = "/sys/devices/platform/host6/session1/target6:0:0/6:0:0:1"
    tree.disk("sdx", path, "65:16")
    tree.file("/sys/class/iscsi_connection/connection1:0/address", "10.0.0.7\n")
    tree.mounts((("65:16", "/", "xfs", "/dev/sdx"),))
    host = observe(RecordedHost(str(tree.root)))
    assert any(user.name == "/" and "iSCSI from 10.0.0.7" in user.detail for user in host.devices[2].users)


@pytest.mark.parametrize(
    ("label", "parts"),
    [("vg-lv", ("vg", "lv")), ("my--vg-my--lv", ("my-vg", "my-lv")), ("secret", ("secret", ""))],
)
def test_names_of_volumes(label: str, parts: tuple[str, str]) -> None:
    assert _volume(label) == parts


def test_members_of_pools() -> None:
    text = "a\t1\n\tmirror\t1\n\t\t/dev/x\t-\nlogs\t-\n\t/dev/y\t-\nb\t1\n\t/dev/z\t-\n"
    assert list(_members(text)) == [("a", ["/dev/x"]), ("a", ["/dev/y"]), ("b", ["/dev/z"])]
