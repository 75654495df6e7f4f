"""Writes the invented hosts of this directory anew: `python -m tests.hosts.build`."""

import shutil
from pathlib import Path

from gpupass.observe.ground import FILE, spell_ground
from tests.host_tree import Function, HostTree
from tests.hosts.build_amd import amd_gim, amd_mi300x
from tests.hosts.build_desktop import desktop
from tests.hosts.build_intel import intel_i915, intel_xe, intel_xe_debugfs
from tests.hosts.build_mig import mig_server
from tests.hosts.build_server import server_sriov
from tests.hosts.build_uses import cloud_node, storage_node
from tests.hosts.grounds import GROUNDS

HERE = Path(__file__).parent


def acs_less(tree: HostTree) -> None:
    """A root port and a switch without ACS: two GPUs and the root disk are one group."""
    tree.kernel()
    tree.iommu(remapping=False)
    gpu = {"ids": "1002:73bf", "class_code": 0x030000, "driver": "amdgpu", "group": 1, "reset": ""}
    for function in (
        Function(
            address="0000:00:01.0",
            ids="8086:1901",
            class_code=0x060400,
            driver="pcieport",
            group=1,
            acs=None,
            reset=None,
        ),
        Function(
            address="0000:01:00.0",
            ids="10b5:8747",
            class_code=0x060400,
            driver="pcieport",
            group=1,
            parent="0000:00:01.0",
            acs=None,
            reset=None,
        ),
        *(
            Function(
                address=f"0000:02:{slot}.0",
                ids="10b5:8747",
                class_code=0x060400,
                driver="pcieport",
                group=1,
                parent="0000:01:00.0",
                acs=False,
                reset=None,
            )
            for slot in ("08", "10", "11")
        ),
        Function(address="0000:03:00.0", parent="0000:02:08.0", boot_vga=True, **gpu),
        Function(address="0000:04:00.0", parent="0000:02:10.0", boot_vga=False, **gpu),
        Function(
            address="0000:04:00.1",
            ids="1002:ab28",
            class_code=0x040300,
            driver="snd_hda_intel",
            group=1,
            parent="0000:02:10.0",
            reset="pm",
        ),
        Function(
            address="0000:05:00.0",
            ids="1c5c:1339",
            class_code=0x010802,
            driver="nvme",
            group=1,
            parent="0000:02:11.0",
            reset="flr",
        ),
    ):
        tree.function(function)
    tree.disk("nvme0n1", f"{tree.path('0000:05:00.0')}/nvme/nvme0", "259:0", ("nvme0n1p1",))
    tree.mounts((("0:25", "/", "btrfs", "/dev/nvme0n1p1"),))
    tree.link("/sys/fs/btrfs/8d4c/devices/nvme0n1p1", "/sys/class/block/nvme0n1p1")
    for number, address in enumerate(("0000:03:00.0", "0000:04:00.0")):
        for node in (f"card{number}", f"renderD{128 + number}"):
            path = f"{tree.path(address)}/drm/{node}"
            tree.link(f"{path}/device", tree.path(address))
            tree.link(f"/sys/class/drm/{node}", path)
            tree.file(f"/dev/dri/{node}", "")
    tree.file("/dev/kfd", "")
    tree.answers("names", {"1002:73bf": "Advanced Micro Devices, Inc. [AMD/ATI] Navi 21 [Radeon RX 6900 XT]"})


def no_iommu(tree: HostTree) -> None:
    """VT-d is off in the firmware; recorded by an ordinary user."""
    tree.kernel()
    tree.file("/proc/interrupts", "PCI-MSI\n")
    for function in (
        Function(
            address="0000:00:01.0",
            ids="8086:1901",
            class_code=0x060400,
            driver="pcieport",
            reset=None,
            config_size=64,
        ),
        Function(
            address="0000:01:00.0",
            ids="10de:1b80",
            class_code=0x030000,
            driver="nouveau",
            boot_vga=True,
            parent="0000:00:01.0",
            config_size=64,
        ),
        Function(
            address="0000:01:00.1",
            ids="10de:10f0",
            class_code=0x040300,
            driver="snd_hda_intel",
            parent="0000:00:01.0",
            config_size=64,
        ),
        Function(address="0000:02:00.0", ids="1b21:0612", class_code=0x010601, driver="ahci", config_size=64),
    ):
        tree.function(function)
    tree.disk("sda", f"{tree.path('0000:02:00.0')}/ata1/host0/target0:0:0/0:0:0:0", "8:0")
    tree.mounts((("0:30", "/", "zfs", "rpool/ROOT/debian"),))
    tree.answers("domains", {"domains": [], "unseen": ["libvirt: not running"]})
    tree.answers(
        "holders",
        {
            "holders": [],
            "unseen": ["device files held by other users' processes: run as root"],
        },
    )


HOSTS = {
    "desktop": desktop,
    "server-sriov": server_sriov,
    "mig-server": mig_server,
    "acs-less": acs_less,
    "no-iommu": no_iommu,
    "intel-xe": intel_xe,
    "intel-xe-debugfs": intel_xe_debugfs,
    "intel-i915": intel_i915,
    "amd-mi300x": amd_mi300x,
    "amd-gim": amd_gim,
    "cloud-node": cloud_node,
    "storage-node": storage_node,
}

if __name__ == "__main__":
    for name, build in HOSTS.items():
        shutil.rmtree(HERE / name, ignore_errors=True)
        tree = HostTree(HERE / name)
        build(tree)
        if name in GROUNDS:
            tree.file(FILE, spell_ground(GROUNDS[name]))
