"""Kernel modules: which are there, how they were loaded, and what files say about them."""

import re
from collections.abc import Iterator

from gpupass.model.ground import ModuleOption, Modules
from gpupass.observe.drivers import MODPROBE, read_blacklist
from gpupass.system import Reader

_AT_BOOT = ("/etc/modules-load.d", "/run/modules-load.d", "/usr/lib/modules-load.d")
_ASKED = (
    *("vfio", "vfio_pci", "vfio_pci_core", "vfio_iommu_type1", "vfio_virqfd", "iommufd", "kvm", "kvm_intel"),
    *(
        "kvm_amd",
        "nvidia",
        "nvidia_drm",
        "nvidia_modeset",
        "nvidia_vgpu_vfio",
        "nouveau",
        "nova_core",
        "amdgpu",
    ),
    *("radeon", "i915", "xe", "gim", "vendor_reset", "nvgrace_gpu_vfio_pci", "snd_hda_intel", "mdev"),
)
_PARAMETERS = (
    *("kvm_intel.nested", "kvm_amd.nested", "vfio.enable_unsafe_noiommu_mode"),
    *("vfio_iommu_type1.allow_unsafe_interrupts", "iommufd.allow_unsafe_interrupts"),
    *("vfio_iommu_type1.dma_entry_limit", "vfio_iommu_type1.disable_hugepages"),
    *("vfio_pci.disable_denylist", "vfio_pci.enable_sriov", "vfio_pci.disable_idle_d3"),
    *(
        "nvidia_drm.modeset",
        "nvidia_drm.fbdev",
        "i915.enable_guc",
        "i915.max_vfs",
        "xe.max_vfs",
        "xe.force_probe",
    ),
)


def read_modules(system: Reader) -> Modules:
    release = system.read("/proc/sys/kernel/osrelease") or ""
    directory = f"/lib/modules/{release}"
    parameters, hidden = {}, set()
    for name in _PARAMETERS:
        module, _, parameter = name.partition(".")
        path = f"/sys/module/{module}/parameters/{parameter}"
        value = system.read(path)
        if value is not None:
            parameters[name] = value
        elif system.exists(path):
            hidden.add(name)
    return Modules(
        directory=system.exists(directory) if system.names("/lib/modules") else None,
        loaded=frozenset(name for name in _ASKED if system.exists(f"/sys/module/{name}")),
        builtin=frozenset(_listed(system, f"{directory}/modules.builtin")),
        loadable=frozenset(_listed(system, f"{directory}/modules.dep")),
        parameters=parameters,
        hidden=frozenset(hidden),
        options=tuple(_options(system)),
        blacklist=read_blacklist(system) & {*_ASKED},
        at_boot=tuple(_at_boot(system)),
        kept=_kept(system, release),
    )


def _listed(system: Reader, path: str) -> Iterator[str]:
    """Of the tables only what is asked for: they have thousands of lines."""
    text = system.read(path) or ""
    for name in _ASKED:
        words = name.replace("_", "[_-]")
        if re.search(rf"/{words}\.ko(\.\w+)?(:|$)", text, re.MULTILINE):
            yield name


def _options(system: Reader) -> Iterator[ModuleOption]:
    for directory in MODPROBE[:3]:
        for name in system.names(directory):
            path = f"{directory}/{name}"
            for line in (system.read(path) or "").splitlines() if name.endswith(".conf") else ():
                words = line.split()
                if words[:1] == ["options"] and len(words) > 2 and words[1].replace("-", "_") in _ASKED:
                    yield ModuleOption(module=words[1].replace("-", "_"), words=tuple(words[2:]), file=path)


def _at_boot(system: Reader) -> Iterator[str]:
    files = [
        f"{where}/{name}" for where in _AT_BOOT for name in system.names(where) if name.endswith(".conf")
    ]
    for path in (*files, "/etc/modules"):
        for line in (system.read(path) or "").splitlines():
            word = line.strip().replace("-", "_")
            if word in _ASKED:
                yield f"{path}: {word}"


def _kept(system: Reader, release: str) -> dict[str, str]:
    """DKMS: /var/lib/dkms/NAME/VERSION/KERNEL/…; "" where it is not built for this kernel."""
    found = {}
    for name in ("i915-sriov-dkms", "vendor-reset", "nvidia", "gim"):
        versions = [one for one in system.names(f"/var/lib/dkms/{name}") if one[:1].isdigit()]
        built = [one for one in versions if system.exists(f"/var/lib/dkms/{name}/{one}/{release}")]
        if versions:
            found[name] = release if built else ""
    return found
