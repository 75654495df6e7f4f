"""Hosts whose cards and disks are in use by others than a mount and a bridge port."""

from tests.host_tree import Function, HostTree

_NVME = {"ids": "144d:a80a", "class_code": 0x010802, "reset": "flr"}
_PORT = {"ids": "8086:1901", "class_code": 0x060400, "driver": "pcieport", "reset": None, "acs": True}


def _system(tree: HostTree) -> None:
    tree.kernel()
    tree.iommu()
    sata = Function(
        address="0000:00:17.0", ids="8086:a352", class_code=0x010601, driver="ahci", group=90, reset="pm"
    )
    tree.function(sata)
    tree.disk("sda", f"{tree.path(sata.address)}/ata1/host0", "8:0", ("sda1",))


def cloud_node(tree: HostTree) -> None:
    """OpenStack with OVN: a bond into Open vSwitch, macvtap, vDPA and VFs; guests with all forms of devices."""
    _system(tree)
    tree.mounts((("8:1", "/", "ext4", "/dev/sda1"),))
    tree.function(Function(address="0000:00:01.0", group=1, **_PORT))
    nic = {"ids": "15b3:101d", "class_code": 0x020000, "driver": "mlx5_core", "parent": "0000:00:01.0"}
    for number in range(4):
        sriov = (8, 3) if number == 3 else None
        tree.function(
            Function(address=f"0000:01:00.{number}", group=10 + number, reset="flr", sriov=sriov, **nic)
        )
    vf = nic | {"ids": "15b3:101e", "physfn": "0000:01:00.3"}
    for number, driver in enumerate(("mlx5_core", "vfio-pci", "vfio-pci")):
        function = vf | {"driver": driver}
        tree.function(Function(address=f"0000:01:01.{number}", group=20 + number, reset="flr", **function))
    for number in range(4):
        tree.interface(f"enp1s0f{number}", tree.path(f"0000:01:00.{number}"))
    tree.interface("bond0", None, ("enp1s0f0", "enp1s0f1"), kind="bond", master=True)
    tree.interface("ovs-system", None, ("bond0",), kind="openvswitch", master=True)
    tree.interface("br-ex", None, kind="openvswitch")
    tree.default_route("br-ex")
    tree.interface("macvtap0", None, ("enp1s0f2",), kind="macvtap")
    vdpa = f"{tree.path('0000:01:01.0')}/vdpa0"
    tree.file(f"{vdpa}/uevent", "DRIVER=vhost_vdpa\n")
    tree.link("/sys/bus/vdpa/devices/vdpa0", vdpa)
    tree.file("/sys/bus/vdpa/drivers/vhost_vdpa/bind", "")
    tree.link(f"{vdpa}/driver", "/sys/bus/vdpa/drivers/vhost_vdpa")
    for number in range(3):
        address = f"0000:0{number + 2}:00.0"
        tree.function(Function(address=f"0000:00:0{number + 2}.0", group=2 + number, **_PORT))
        on_vfio = _NVME | {"driver": "vfio-pci", "group": 30 + number}
        tree.function(Function(address=address, parent=f"0000:00:0{number + 2}.0", **on_vfio))
    tree.domain(
        "web",
        "<interface type='direct'><source dev='enp1s0f2' mode='bridge'/><target dev='macvtap0'/></interface>"
        "<interface type='hostdev' managed='no'><source>"
        "<address type='pci' domain='0x0000' bus='0x01' slot='0x01' function='0x1'/></source></interface>"
        "<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>",
    )
    tree.domain(
        "db",
        "<disk type='nvme' device='disk'><source type='pci' managed='yes' namespace='1'>"
        "<address domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>"
        "<slices><slice type='storage' offset='0' size='1073741824'/></slices></source>"
        "<target dev='vda' bus='virtio'/></disk>",
    )
    tree.domain(
        "old",
        "<memballoon model='none'/>^<qemu:commandline>"
        "<qemu:arg value='-device'/><qemu:arg value='vfio-pci,host=03:00.0,id=disk0'/>"
        "<qemu:arg value='-object'/><qemu:arg value='iommufd,id=iommufd0'/><qemu:arg value='-device'/>"
        "<qemu:arg value='vfio-pci,sysfsdev=/sys/bus/pci/devices/0000:01:01.2,iommufd=iommufd0'/>"
        "</qemu:commandline>",
    )
    tree.domain(
        "spare",
        '<memballoon/>^<qemu:commandline><qemu:arg value="-device"/><qemu:arg '
        'value=\'{"driver":"vfio-pci","host":"0000:04:00.0","id":"d"}\'/></qemu:commandline>',
        state="shut off",
    )
    names = {"15b3:101d": "Mellanox Technologies MT2892 Family [ConnectX-6 Dx]"}
    tree.answers("names", names | {"15b3:101e": "Mellanox Technologies ConnectX Family mlx5Gen VF"})


def storage_node(tree: HostTree) -> None:
    """Disks of Ceph, ZFS, RAID, LVM guests, targets; one of another machine over NVMe/TCP; one that is free."""
    _system(tree)
    disks = [f"0000:0{number + 1}:00.0" for number in range(8)]
    for number, address in enumerate(disks):
        port = f"0000:00:0{number + 1}.0"
        tree.function(Function(address=port, group=1 + number, **_PORT))
        tree.function(Function(address=address, parent=port, driver="nvme", group=20 + number, **_NVME))
        tree.disk(
            f"nvme{number}n1",
            f"{tree.path(address)}/nvme/nvme{number}",
            f"259:{8 * number}",
            (f"nvme{number}n1p1",),
        )
        tree.file(f"/dev/nvme{number}n1", "")
    tree.function(
        Function(
            address="0000:00:1f.6",
            ids="8086:15bb",
            class_code=0x020000,
            driver="e1000e",
            group=91,
            reset="flr",
        )
    )
    tree.interface("eno1", tree.path("0000:00:1f.6"))
    tree.default_route("eno1")
    tree.link("/var/lib/ceph/osd/ceph-7/block", "/dev/nvme0n1")
    tree.file("/gpupass/zpool.txt", "tank\t1000\n\tmirror-0\t1000\n\t\t/dev/nvme1n1p1\t-\n")
    tree.mapper("md127", "", "9:127", ("nvme2n1p1", "nvme3n1p1"))
    tree.mapper("dm-0", "guests-web", "253:0", ("nvme4n1p1",), "LVM")
    tree.mapper("dm-1", "guests-db", "253:1", ("nvme4n1p1",), "LVM")
    tree.file("/sys/kernel/config/target/core/iblock_0/fast/udev_path", "/dev/nvme5n1\n")
    tree.link("/dev/disk/by-id/nvme-SAMSUNG_A1", "/dev/nvme6n1")
    fabrics = "/sys/devices/virtual/nvme-fabrics/ctl/nvme9"
    tree.file("/sys/class/nvme/nvme9/transport", "tcp\n")
    tree.file("/sys/class/nvme/nvme9/address", "traddr=10.0.0.9,trsvcid=4420\n")
    tree.disk("nvme9n1", fabrics, "259:100")
    tree.mounts(
        (
            ("8:1", "/", "ext4", "/dev/sda1"),
            ("0:60", "/tank", "zfs", "tank"),
            ("259:100", "/far", "xfs", "/dev/nvme9n1"),
        )
    )
    tree.domain(
        "web",
        "<disk type='block'><source dev='/dev/guests/web'/><target dev='vda'/></disk>"
        "<disk type='block'><source dev='/dev/disk/by-id/nvme-SAMSUNG_A1'/><target dev='vdb'/></disk>",
    )
