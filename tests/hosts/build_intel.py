"""Intel GPUs with virtual functions, one host for each interface; written from documents, not recorded.

Sources: the kernel's Documentation/ABI/testing/sysfs-driver-intel-xe-sriov and xe_gt_sriov_pf_debugfs.c; for
i915 the tree of its SR-IOV module as Intel's tools use it.
"""

from tests.host_tree import MEM64_PREFETCH, MIB, Function, HostTree

_ABOUT = "the kernel's ABI documents and sources; never recorded on hardware"
_TOTAL, _ON = 4, 2
PF = "0000:03:00.0"
_GIB = 1 << 30


def intel_xe(tree: HostTree) -> None:
    """A Battlemage card, xe with sriov_admin (kernel 7.0): two VFs, the second with a larger share."""
    path = _card(tree, "8086:e211", "xe", "7.0.0")
    for name, quantum, timeout, quota in _shares():
        profile = f"{path}/sriov_admin/{name}/profile"
        tree.file(f"{profile}/exec_quantum_ms", f"{quantum}\n")
        tree.file(f"{profile}/preempt_timeout_us", f"{timeout}\n")
        if name != "pf":
            tree.file(f"{profile}/vram_quota", f"{quota}\n")


def intel_xe_debugfs(tree: HostTree) -> None:
    """The same card with kernel 6.18: per GT, in debugfs; the media GT (gt1) has no memory."""
    _card(tree, "8086:e211", "xe", "6.18.0")
    for name, quantum, timeout, quota in _shares():
        for gt in ("gt0", "gt1"):
            where = f"/sys/kernel/debug/dri/{PF}/{gt}/{name}"
            tree.file(f"{where}/exec_quantum_ms", f"{quantum}\n")
            tree.file(f"{where}/preempt_timeout_us", f"{timeout}\n")
            if gt == "gt0":
                tree.file(f"{where}/{'lmem_spare' if name == 'pf' else 'lmem_quota'}", f"{quota}\n")


def intel_i915(tree: HostTree) -> None:
    """A Flex 170 with i915's SR-IOV module: prelim_iov, sharing by itself."""
    path = _card(tree, "8086:56c0", "i915", "5.15.0-iov")
    iov = f"{path}/drm/card0/prelim_iov"
    tree.file(f"{iov}/pf/auto_provisioning", "1\n")
    for name, quantum, timeout, quota in _shares(even=True):
        where = f"{iov}/{name}/gt"
        tree.file(f"{where}/exec_quantum_ms", f"{quantum}\n")
        tree.file(f"{where}/preempt_timeout_us", f"{timeout}\n")
        if name != "pf":
            tree.file(f"{where}/lmem_quota", f"{quota}\n")


def _shares(even: bool = False) -> list[tuple[str, int, int, int]]:
    on = [(16, 32000, 4 * _GIB), (16, 32000, 4 * _GIB) if even else (32, 64000, 8 * _GIB)]
    off = [(0, 0, 0)] * (_TOTAL - _ON)
    return [("pf", 64, 128000, 0), *((f"vf{n}", *share) for n, share in enumerate([*on, *off], 1))]


def _card(tree: HostTree, ids: str, driver: str, kernel: str) -> str:
    tree.kernel(kernel)
    tree.iommu()
    tree.function(
        Function(
            address="0000:00:01.0", ids="8086:a70d", class_code=0x060400, driver="pcieport", group=1, acs=True
        )
    )
    path = tree.function(
        Function(
            address=PF,
            ids=ids,
            class_code=0x030000,
            driver=driver,
            group=20,
            parent="0000:00:01.0",
            bars=((16 * MIB, MEM64_PREFETCH), (0, 0), (16 * _GIB, MEM64_PREFETCH)),
            reset="flr bus",
            sriov=(_TOTAL, _ON),
            vf_layout=(1, 1, ids.partition(":")[2]),
        )
    )
    for number in range(_ON):
        tree.function(
            Function(
                address=f"0000:03:00.{number + 1}",
                ids=ids,
                class_code=0x030000,
                driver="vfio-pci",
                override="vfio-pci",
                group=21 + number,
                parent="0000:00:01.0",
                physfn=PF,
                reset="flr",
            )
        )
    names = {"8086:e211": "Battlemage G21 [Arc Pro B60]", "8086:56c0": "Data Center GPU Flex 170"}
    tree.answers("names", {ids: f"Intel Corporation {names[ids]}"})
    tree.answers("about", {"written": _ABOUT})
    return path
