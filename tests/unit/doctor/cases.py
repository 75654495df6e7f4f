"""What each check passes and what it finds wrong: changes of a host on which all is well (tests/doctor_sights.py)."""

from typing import Any

from msgspec.structs import replace

from gpupass.model.ground import ModuleOption, Modules
from gpupass.model.user import User, UserKind
from tests.doctor_sights import CARD, DEVICES, GPU, GROUND, IGD, PF
from tests.unit.doctor.case import Case
from tests.unit.doctor.cases_above import ABOVE

MODULES = GROUND.modules or Modules()
LARGE = {"gpu.detail.bars": (CARD,)}
FRAGILE = {"gpu.vendor": 0x1002, "gpu.device": 0x731F, "gpu.driver": "amdgpu"}
OWN_GPU = replace(DEVICES[GPU], address=IGD, vendor=0x8086, device=0x4680, driver="i915", group=3)
TWIN = replace(DEVICES[GPU], address="0000:03:00.0", group=4)


def options(module: str, *words: str) -> dict[str, Any]:
    return {"modules.options": (ModuleOption(module=module, words=words, file="/etc/modprobe.d/x.conf"),)}


def parameter(name: str, value: str) -> dict[str, Any]:
    return {"modules.parameters": {**MODULES.parameters, name: value}}


def disk(name: str) -> tuple[User, ...]:
    return (User(kind=UserKind.DISK, name=name, detail="/dev/sda1"),)


CASES: dict[str, Case] = {
    "cpu.virt": Case(({"cpu.virtual": False},)),
    "cpu.kvm": Case(
        (
            {"virtualisation.kvm": False},
            {"virtualisation.kvm": False, "modules.loaded": frozenset()},
            {"virtualisation.kvm": False, "cpu.virtual": False},
        )
    ),
    "cpu.guest": Case(({"cpu.guest": True},)),
    "cpu.physbits": Case(({**LARGE, "cpu.physical_bits": 39},), LARGE),
    "iommu.on": Case(({"iommu.enabled": False}, {"iommu.enabled": False, "firmware.tables": ()})),
    "iommu.table": Case(({"iommu.enabled": False, "firmware.tables": ()},)),
    "fw.above4g": Case(({"function.unassigned": (1 << 34,)}, {"function.low": (1 << 28,)})),
    "fw.rebar": Case(
        ({**FRAGILE, "gpu.detail.bars": (replace(CARD, sizes=(1 << 28, 32 << 30)),)},),
        {"gpu.detail.bars": (replace(CARD, sizes=(1 << 28, 32 << 30)),)},
    ),
    "fw.sriov": Case(
        (
            {"gpu.detail.sriov": replace(PF, total=0)},
            {"gpu.detail.sriov": PF, "function.vf_unassigned": (1 << 30,)},
            {"gpu.detail.sriov": PF, "kernel.said": (f"pci {GPU}: not enough MMIO resources for SR-IOV",)},
        ),
        {"gpu.detail.sriov": PF},
    ),
    "fw.ari": Case(
        ({"gpu.detail.sriov": PF, "function.ari": False},), {"gpu.detail.sriov": PF, "function.ari": True}
    ),
    "fw.csm": Case(
        ({"gpu.detail.boot_display": True, "firmware.efi": False},), {"gpu.detail.boot_display": True}
    ),
    "fw.secureboot": Case(({"firmware.secure_boot": True, "modules.kept": {"vendor-reset": "6.12"}},)),
    "fw.lockdown": Case(({"kernel.lockdown": "integrity"},)),
    "iommu.off-arg": Case(({"kernel.words": ("iommu=off",)}, {"kernel.words": ("amd_iommu=off",)})),
    "iommu.gfx": Case(
        (
            {"devices": (replace(OWN_GPU, group=None),)},
            {"devices": (replace(OWN_GPU, group=None),), "kernel.words": ("intel_iommu=on,igfx_off",)},
        ),
        {"devices": (OWN_GPU,)},
    ),
    "iommu.ir": Case(
        (
            {"iommu.interrupt_remapping": False},
            {"iommu.interrupt_remapping": False, "kernel.words": ("intremap=off",)},
        )
    ),
    "iommu.unsafe": Case(
        (
            parameter("vfio_iommu_type1.allow_unsafe_interrupts", "Y"),
            options("vfio_iommu_type1", "allow_unsafe_interrupts=1"),
            {"kernel.words": ("vfio_iommu_type1.allow_unsafe_interrupts=1",)},
        ),
        options("vfio_iommu_type1", "allow_unsafe_interrupts=0"),
    ),
    "iommu.rmrr": Case(({"iommu.direct": ((1, "0xbdf6e000-0xbdf82fff"),)},)),
    "grp.quality": Case(({"nic.group": 1},)),
    "grp.host-life": Case(({"gpu.users": disk("/srv")},)),
    "grp.acs-override": Case(({"kernel.words": ("pcie_acs_override=downstream,multifunction",)},)),
    "grp.acs-weaken": Case(({"kernel.words": ("pci=noats",)},)),
    "vfio.modules": Case(({"modules.loaded": frozenset()},)),
    "kern.gone": Case(({"modules.directory": False},)),
    "vfio.virqfd": Case(({"modules.at_boot": ("/etc/modules: vfio_virqfd",)},)),
    "vfio.ids": Case(
        (
            {**options("vfio_pci", "ids=10de:2204"), "devices": (TWIN,)},
            {"kernel.words": ("vfio-pci.ids=10de:2204",), "devices": (TWIN,)},
            {**options("vfio_pci", "ids=10de:2204"), "modules.builtin": frozenset({"vfio_pci"})},
        ),
        options("vfio_pci", "ids=10de:2204"),
    ),
    "vfio.early-late": Case(({"own.early": (GPU,)},), {"own.early": (GPU,), "gpu.driver": "vfio-pci"}),
    "vfio.switches": Case((parameter("vfio_pci.disable_denylist", "Y"),)),
    "vfio.dma-limit": Case(
        (
            parameter("vfio_iommu_type1.dma_entry_limit", "1024"),
            parameter("vfio_iommu_type1.disable_hugepages", "Y"),
        )
    ),
    "vfio.noiommu": Case((parameter("vfio.enable_unsafe_noiommu_mode", "Y"),)),
    "vfio.variant": Case(
        ({"gpu.driver": "vfio-pci", "function.variants": ("nvgrace_gpu_vfio_pci",)},),
        {"gpu.driver": "nvgrace-gpu-vfio-pci", "function.variants": ("nvgrace_gpu_vfio_pci",)},
    ),
} | ABOVE
