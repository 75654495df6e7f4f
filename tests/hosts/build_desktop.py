"""The host `desktop`."""

from tests.host_tree import IO, MEM32, MEM64_PREFETCH, MIB, Function, HostTree

GEN4_X16 = ("16.0 GT/s PCIe", 16, "16.0 GT/s PCIe", 16)
GEN1_X16 = ("2.5 GT/s PCIe", 16, "16.0 GT/s PCIe", 16)
BARS_GPU = (
    (16 * MIB, MEM32),
    (256 * MIB, MEM64_PREFETCH),
    (0, 0),
    (32 * MIB, MEM64_PREFETCH),
    (0, 0),
    (128, IO),
)


def desktop(tree: HostTree) -> None:
    """An Intel desktop: its own display boots, an NVIDIA card with four functions is free to go."""
    tree.kernel()
    tree.iommu()
    for function in (
        Function(address="0000:00:00.0", ids="8086:4668", class_code=0x060000, group=0, reset=None),
        Function(
            address="0000:00:01.0",
            ids="8086:460d",
            class_code=0x060400,
            driver="pcieport",
            group=2,
            acs=True,
            reset="pm",
        ),
        Function(
            address="0000:00:02.0",
            ids="8086:4680",
            class_code=0x030000,
            driver="i915",
            group=1,
            boot_vga=True,
            bars=((16 * MIB, MEM64_PREFETCH),),
            reset="flr",
            sriov=(7, 0),
        ),
        Function(
            address="0000:00:06.0",
            ids="8086:464d",
            class_code=0x060400,
            driver="pcieport",
            group=3,
            acs=True,
            reset="pm",
        ),
        Function(address="0000:00:1f.0", ids="8086:7a84", class_code=0x060100, group=8, reset=None),
        Function(
            address="0000:00:1f.3",
            ids="8086:7ad0",
            class_code=0x040300,
            driver="snd_hda_intel",
            group=8,
            reset="pm",
        ),
        Function(
            address="0000:00:1f.4",
            ids="8086:7aa3",
            class_code=0x0C0500,
            driver="i801_smbus",
            group=8,
            reset=None,
        ),
        Function(
            address="0000:00:1f.6",
            ids="8086:1a1d",
            class_code=0x020000,
            driver="e1000e",
            group=8,
            reset="flr pm",
        ),
        Function(
            address="0000:01:00.0",
            ids="10de:1e07",
            class_code=0x030000,
            driver="nvidia",
            group=14,
            parent="0000:00:01.0",
            boot_vga=False,
            bars=BARS_GPU,
            link=GEN1_X16,
            resize={1: 0x1FF0},
        ),
        Function(
            address="0000:01:00.1",
            ids="10de:10f7",
            class_code=0x040300,
            driver="snd_hda_intel",
            group=14,
            parent="0000:00:01.0",
            bars=((16384, MEM32),),
        ),
        Function(
            address="0000:01:00.2",
            ids="10de:1ad6",
            class_code=0x0C0330,
            driver="xhci_hcd",
            group=14,
            parent="0000:00:01.0",
            bars=((MIB // 4, MEM64_PREFETCH),),
        ),
        Function(
            address="0000:01:00.3",
            ids="10de:1ad7",
            class_code=0x0C8000,
            driver="nvidia-gpu",
            group=14,
            parent="0000:00:01.0",
            bars=((4096, MEM32),),
        ),
        Function(
            address="0000:02:00.0",
            ids="144d:a80a",
            class_code=0x010802,
            driver="nvme",
            group=15,
            parent="0000:00:06.0",
            bars=((16384, MEM32),),
            reset="flr bus",
            serial="00-25-38-ba-11-b4-ff-01",
        ),
    ):
        tree.function(function)
    tree.slot("1", "0000:01:00.0")
    tree.disk("nvme0n1", f"{tree.path('0000:02:00.0')}/nvme/nvme0", "259:0", ("nvme0n1p1", "nvme0n1p2"))
    tree.mounts(
        (("259:2", "/", "ext4", "/dev/nvme0n1p2"), ("259:1", "/boot/efi", "vfat", "/dev/nvme0n1p1")),
    )
    tree.interface("eno1", tree.path("0000:00:1f.6"))
    tree.default_route("eno1")
    for card, address in (
        ("card0", "0000:00:02.0"),
        ("renderD128", "0000:00:02.0"),
        ("card1", "0000:01:00.0"),
        ("renderD129", "0000:01:00.0"),
    ):
        path = f"{tree.path(address)}/drm/{card}"
        tree.link(f"{path}/device", tree.path(address))
        tree.link(f"/sys/class/drm/{card}", path)
        tree.file(f"/dev/dri/{card}", "")
    for node in ("nvidia0", "nvidiactl", "nvidia-modeset", "nvidia-uvm"):
        tree.file(f"/dev/{node}", "")
    tree.file(
        "/proc/driver/nvidia/gpus/0000:01:00.0/information",
        "Model: \t\t NVIDIA GeForce RTX 2080 Ti\nGPU UUID: \t GPU-6f1a0c52-9e0b-4ad5-8f0e-0a1b2c3d4e5f\n"
        "Device Minor: \t 0\n",
    )
    tree.answers(
        "nvml",
        {
            "gpus": [
                {
                    "bus_id": "00000000:01:00.0",
                    "uuid": "GPU-6f1a0c52-9e0b-4ad5-8f0e-0a1b2c3d4e5f",
                    "serial": None,
                    "minor": 0,
                    "mig": None,
                    "mig_pending": None,
                    "memory_total": 11264,
                    "memory_used": 1,
                    "persistence": True,
                }
            ],
            "unseen": [],
        },
    )
    tree.answers(
        "holders",
        {
            "holders": [
                {"pid": 1201, "name": "nvidia-persiste", "node": "/dev/nvidia0"},
                {"pid": 2210, "name": "gnome-shell", "node": "/dev/dri/card0"},
            ],
            "unseen": [],
        },
    )
    tree.answers(
        "names",
        {
            "10de:1e07": "NVIDIA Corporation TU102 [GeForce RTX 2080 Ti Rev. A]",
            "10de:10f7": "NVIDIA Corporation TU102 High Definition Audio Controller",
            "10de:1ad6": "NVIDIA Corporation TU102 USB 3.1 Host Controller",
            "10de:1ad7": "NVIDIA Corporation TU102 USB Type-C UCSI Controller",
            "8086:4680": "Intel Corporation AlderLake-S GT1",
            "8086:1a1d": "Intel Corporation Ethernet Connection (17) I219-LM",
            "144d:a80a": "Samsung Electronics Co Ltd NVMe SSD Controller PM9A1/PM9A3/980PRO",
        },
    )
    tree.answers("domains", {"domains": [], "unseen": ["libvirt: not running"]})
