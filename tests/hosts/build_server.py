"""The host `server-sriov`."""

from tests.host_tree import GIB, MEM32, MEM64_PREFETCH, MIB, Function, HostTree

GEN4_X16 = ("16.0 GT/s PCIe", 16, "16.0 GT/s PCIe", 16)
GEN1_X16 = ("2.5 GT/s PCIe", 16, "16.0 GT/s PCIe", 16)
MDEV = "3f2c9a1e-1111-4c6e-9d5a-0123456789ab"


def server_sriov(tree: HostTree) -> None:
    """Two H100, a T4 with mediated devices, a network card with VFs; RAID, LVM, bond, VLAN and bridge."""
    tree.kernel("5.14.0-427.el9.x86_64")
    tree.iommu("ivhd0")
    functions = [
        Function(
            address=f"0000:{bus}:00.0",
            ids="1022:14ab",
            class_code=0x060400,
            driver="pcieport",
            group=group,
            acs=True,
            reset="pm",
        )
        for bus, group in (("10", 20), ("20", 21), ("30", 22), ("40", 23), ("50", 24))
    ]
    h100 = {
        "ids": "10de:2331",
        "class_code": 0x030200,
        "subsystem": "10de:1626",
        "reset": "flr bus",
        "bars": ((16 * MIB, MEM64_PREFETCH), (0, 0), (128 * GIB, MEM64_PREFETCH)),
    }
    functions += [
        Function(
            address="0000:11:00.0",
            driver="vfio-pci",
            override="vfio-pci",
            group=30,
            numa=0,
            parent="0000:10:00.0",
            link=GEN4_X16,
            serial="00-1c-ab-30-00-00-00-01",
            **h100,
        ),
        Function(
            address="0000:21:00.0",
            driver="nvidia",
            group=31,
            numa=1,
            parent="0000:20:00.0",
            link=GEN4_X16,
            serial="00-1c-ab-30-00-00-00-02",
            sriov=(20, 0),
            **h100,
        ),
        Function(
            address="0000:31:00.0",
            ids="10de:1eb8",
            class_code=0x030200,
            driver="nvidia",
            group=32,
            numa=0,
            parent="0000:30:00.0",
            reset="bus",
            bars=((16 * MIB, MEM32),),
        ),
        Function(
            address="0000:41:00.0",
            ids="8086:1592",
            class_code=0x020000,
            driver="ice",
            group=33,
            numa=0,
            parent="0000:40:00.0",
            sriov=(64, 2),
            reset="flr",
            serial="b4-96-91-ff-ff-aa-bb-cc",
            acs=True,
        ),
        Function(
            address="0000:41:00.1",
            ids="8086:1592",
            class_code=0x020000,
            driver="ice",
            group=34,
            numa=0,
            parent="0000:40:00.0",
            sriov=(64, 0),
            reset="flr",
            serial="b4-96-91-ff-ff-aa-bb-cc",
            acs=True,
        ),
        Function(
            address="0000:41:01.0",
            ids="8086:1889",
            class_code=0x020000,
            driver="iavf",
            group=35,
            numa=0,
            parent="0000:40:00.0",
            physfn="0000:41:00.0",
            reset="flr",
        ),
        Function(
            address="0000:41:01.1",
            ids="8086:1889",
            class_code=0x020000,
            driver="vfio-pci",
            group=36,
            numa=0,
            parent="0000:40:00.0",
            physfn="0000:41:00.0",
            reset="flr",
        ),
        Function(
            address="0000:51:00.0",
            ids="144d:a80a",
            class_code=0x010802,
            driver="nvme",
            group=37,
            parent="0000:50:00.0",
            reset="flr bus",
        ),
        Function(
            address="0000:52:00.0",
            ids="144d:a80a",
            class_code=0x010802,
            driver="nvme",
            group=38,
            parent="0000:50:00.0",
            reset="flr bus",
        ),
    ]
    for function in functions:
        tree.function(function)
    tree.slot("3", "0000:11:00.0")
    tree.slot("5", "0000:21:00.0")
    for index, address in enumerate(("0000:51:00.0", "0000:52:00.0")):
        name = f"nvme{index}n1"
        tree.disk(
            name, f"{tree.path(address)}/nvme/nvme{index}", f"259:{4 * index}", (f"{name}p1", f"{name}p2")
        )
    tree.mapper("md127", "", "9:127", ("nvme0n1p2", "nvme1n1p2"))
    tree.mapper("dm-0", "rhel-root", "253:0", ("md127",))
    tree.mapper("dm-1", "rhel-swap", "253:1", ("md127",))
    tree.mounts(
        (("253:0", "/", "xfs", "/dev/mapper/rhel-root"), ("259:1", "/boot", "ext4", "/dev/nvme0n1p1")),
        swaps=("/dev/dm-1",),
    )
    tree.interface("ens1f0", tree.path("0000:41:00.0"))
    tree.interface("ens1f1", tree.path("0000:41:00.1"))
    tree.interface("bond0", None, lower=("ens1f0", "ens1f1"))
    tree.interface("bond0.100", None, lower=("bond0",))
    tree.interface("br0", None, lower=("bond0.100",))
    tree.default_route("br0")
    for node in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "vfio/vfio", "vfio/30", "vfio/36"):
        tree.file(f"/dev/{node}", "")
    _vgpu(tree, "0000:31:00.0", MDEV)
    _server_answers(tree)


def _vgpu(tree: HostTree, address: str, uuid: str) -> None:
    path = tree.path(address)
    for name, text in (("name", "GRID T4-4Q"), ("available_instances", "3"), ("device_api", "vfio-pci")):
        tree.file(f"{path}/mdev_supported_types/nvidia-232/{name}", f"{text}\n")
    tree.link(f"{path}/{uuid}/mdev_type", f"{path}/mdev_supported_types/nvidia-232")
    tree.link(f"/sys/bus/mdev/devices/{uuid}", f"{path}/{uuid}")


def _server_answers(tree: HostTree) -> None:
    for address, minor in (("0000:21:00.0", 0), ("0000:31:00.0", 1)):
        tree.file(
            f"/proc/driver/nvidia/gpus/{address}/information",
            f"GPU UUID: \t GPU-00000000-0000-4000-8000-00000000000{minor}\nDevice Minor: \t {minor}\n",
        )
    tree.answers(
        "nvml",
        {
            "gpus": [
                {
                    "bus_id": "00000000:21:00.0",
                    "uuid": "GPU-00000000-0000-4000-8000-000000000000",
                    "serial": "1650123000001",
                    "minor": 0,
                    "mig": False,
                    "mig_pending": True,
                    "memory_total": 81559,
                    "memory_used": 4,
                    "persistence": False,
                },
                {
                    "bus_id": "00000000:31:00.0",
                    "uuid": "GPU-00000000-0000-4000-8000-000000000001",
                    "serial": "0325019000002",
                    "minor": 1,
                    "mig": None,
                    "mig_pending": None,
                    "memory_total": 15360,
                    "memory_used": 3800,
                    "persistence": True,
                },
            ],
            "unseen": [],
        },
    )
    tree.answers(
        "names",
        {
            "10de:2331": "NVIDIA Corporation GH100 [H100 PCIe]",
            "10de:1eb8": "NVIDIA Corporation TU104GL [Tesla T4]",
            "8086:1592": "Intel Corporation Ethernet Controller E810-C for QSFP",
            "8086:1889": "Intel Corporation Ethernet Adaptive Virtual Function",
            "144d:a80a": "Samsung Electronics Co Ltd NVMe SSD Controller PM9A1/PM9A3/980PRO",
            "1022:14ab": "Advanced Micro Devices, Inc. [AMD] Genoa/Bergamo PCIe GPP Bridge",
        },
    )
    tree.answers(
        "holders",
        {
            "holders": [{"pid": 4711, "name": "qemu-system-x86", "node": "/dev/vfio/30"}],
            "unseen": [],
        },
    )
    domains = (
        ("trainer", "a6ac2c39-0001-4000-8000-000000000001", "running", "0x11", None),
        ("router", "a6ac2c39-0002-4000-8000-000000000002", "shut off", None, "0x41"),
        ("desktop", "a6ac2c39-0003-4000-8000-000000000003", "running", None, None),
    )
    tree.answers(
        "domains",
        {
            "domains": [
                {
                    "name": name,
                    "uuid": uuid,
                    "state": state,
                    "autostart": False,
                    "job": None,
                    "resident": None,
                }
                for name, uuid, state, _, _ in domains
            ],
            "unseen": [],
        },
    )
    mdev = f"<hostdev type='mdev'><source><address uuid='{MDEV}'/></source></hostdev>"
    for name, uuid, state, live, config in domains:
        if state == "running":
            devices = _hostdev(live, "0x00", "0x0") if live else mdev
            tree.file(f"/gpupass/domains/{uuid}.live.xml", _domain(name, uuid, devices))
        devices = _hostdev(config, "0x01", "0x1") if config else ""
        tree.file(f"/gpupass/domains/{uuid}.config.xml", _domain(name, uuid, devices))


def _hostdev(bus: str, slot: str, function: str) -> str:
    return (
        "<hostdev mode='subsystem' type='pci' managed='no'><source>"
        f"<address domain='0x0000' bus='{bus}' slot='{slot}' function='{function}'/></source>"
        "<alias name='hostdev0'/></hostdev>"
    )


def _domain(name: str, uuid: str, devices: str) -> str:
    return (
        f"<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid><memory unit='KiB'>67108864</memory>"
        f"<os><type arch='x86_64' machine='pc-q35-9.0'>hvm</type></os><devices>{devices}</devices></domain>\n"
    )
