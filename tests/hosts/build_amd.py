"""AMD Instinct GPUs; written from documents, not recorded.

Sources: the kernel's Documentation/gpu/amdgpu, amdgpu_gfx.c, amdgpu_gmc.c, amdgpu_xgmi.c, kfd_topology.c; for GIM
MxGPU-Virtualization, gim_shim/sysfs/gim_monitor.c.
"""

from tests.host_tree import GIB, MEM64_PREFETCH, Function, HostTree

_ABOUT = "the drivers' documents and sources; never recorded on hardware"
_NAME = "Advanced Micro Devices, Inc. [AMD/ATI] Aqua Vanjaram [Instinct MI300X]"
BUSES = ("05", "26", "46", "65", "85", "a6", "c6", "e5")


def _gpu(bus: str, group: int, driver: str, **more: object) -> Function:
    return Function(
        address=f"0000:{bus}:00.0",
        ids="1002:74a1",
        class_code=0x120000,
        driver=driver,
        group=group,
        subsystem="1002:74a1",
        numa=int(bus > "80"),
        bars=((256 * GIB, MEM64_PREFETCH),),
        reset="bus",
        **more,
    )


def amd_mi300x(tree: HostTree) -> None:
    """Eight MI300X in one hive, amdgpu on bare metal; NPS1, the second one CPX."""
    tree.kernel("6.16.0")
    tree.iommu("ivhd0")
    node, minor = 2, 128
    for processor in (0, 1):
        tree.file(
            f"/sys/class/kfd/kfd/topology/nodes/{processor}/properties", "cpu_cores_count 96\nsimd_count 0\n"
        )
    for number, bus in enumerate(BUSES):
        path = tree.function(_gpu(bus, 30 + number, "amdgpu"))
        parts = 8 if number == 1 else 1
        for name, text in {
            "current_compute_partition": "CPX" if parts == 8 else "SPX",
            "available_compute_partition": "SPX, DPX, QPX, CPX",
            "current_memory_partition": "NPS1",
            "available_memory_partition": "NPS1, NPS4",
            "xgmi_hive_info/xgmi_hive_id": "11573218398763209145",
        }.items():
            tree.file(f"{path}/{name}", f"{text}\n")
        for part in range(parts):
            location = part << 28 | int(bus, 16) << 8
            tree.file(
                f"/sys/class/kfd/kfd/topology/nodes/{node}/properties",
                f"cpu_cores_count 0\nsimd_count {1216 // parts}\nlocation_id {location}\ndomain 0\n"
                f"drm_render_minor {minor}\n",
            )
            node, minor = node + 1, minor + 1
    tree.answers("names", {"1002:74a1": _NAME})
    tree.answers("about", {"written": _ABOUT})


def amd_gim(tree: HostTree) -> None:
    """Two MI300X under GIM, with the one virtual function that each has unasked."""
    tree.kernel("6.8.0")
    tree.iommu("ivhd0")
    for number, bus in enumerate(BUSES[:2]):
        path = tree.function(_gpu(bus, 30 + number, "gim", sriov=(8, 1), vf_layout=(16, 1, "74b5")))
        tree.file(f"{path}/spatial_partition_mode", "SPX\n")
        tree.file(f"{path}/memory_partition_mode", "memory_partition_mode: NPS1\nnuma_count: 1\n")
        tree.function(
            Function(
                address=f"0000:{bus}:02.0",
                ids="1002:74b5",
                class_code=0x120000,
                driver="vfio-pci",
                group=40 + number,
                physfn=f"0000:{bus}:00.0",
                reset="flr",
            )
        )
    tree.file("/sys/module/gim/parameters/vf_num", "1,1\n")
    tree.answers("names", {"1002:74a1": _NAME, "1002:74b5": f"{_NAME[:-1]} VF]"})
    tree.answers("about", {"written": _ABOUT})
