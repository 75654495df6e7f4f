"""Is there an IOMMU, and does it remap interrupts?"""

import re
from collections.abc import Iterable, Iterator

from gpupass.model.address import parse_address
from gpupass.model.host import Device, Iommu
from gpupass.observe.drivers import MODPROBE
from gpupass.observe.number import number
from gpupass.observe.pci import Groups
from gpupass.system import Reader

_GROUPS = "/sys/kernel/iommu_groups"


def read_iommu(system: Reader, groups_of: Groups, devices: Iterable[Device] = ()) -> Iommu:
    """With the reserved regions of these devices' groups."""
    enabled = has_iommu(system)
    remapping = _remapping(system) if enabled else False
    groups = sorted({device.group for device in devices if device.group is not None})
    return Iommu(
        enabled=enabled,
        interrupt_remapping=remapping,
        unsafe_interrupts=remapping is False and enabled and _unsafe_interrupts(system),
        direct=tuple((group, region) for group in groups for region in _direct(system, group)),
        strangers=tuple(one for group in groups for one in _strangers(system, group, groups_of(group))),
    )


def _direct(system: Reader, group: int) -> Iterator[str]:
    """`0x… 0x… direct`; what is direct-relaxable (a framebuffer, a USB controller's) VFIO may do without."""
    for line in (system.read(f"{_GROUPS}/{group}/reserved_regions") or "").splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "direct":
            start, end = (number(word, 0) or 0 for word in words[:2])
            yield f"{start:#x}-{end:#x}"


def _strangers(system: Reader, group: int, names: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """Platform devices on Arm, ACPI devices behind VT-d: the kernel lends a group as a whole or not at all
    (iommu_group_claim_dma_owner), but for what such drivers as vfio-platform have.
    """
    for name in names:
        if parse_address(name) is None:
            driver = system.link(f"{_GROUPS}/{group}/devices/{name}/driver")
            if driver is not None and not driver.startswith("vfio-"):
                yield group, name, driver


def _unsafe_interrupts(system: Reader) -> bool:
    """As the module has it, or will have it once it is loaded (modprobe.d, the kernel's command line)."""
    for module in ("vfio_iommu_type1", "iommufd"):
        loaded = system.read(f"/sys/module/{module}/parameters/allow_unsafe_interrupts")
        if loaded is not None:
            return loaded in ("Y", "1")
    lines = [system.read("/proc/cmdline") or ""]
    for directory in MODPROBE:
        names = [name for name in system.names(directory) if name.endswith(".conf")]
        lines += [system.read(f"{directory}/{name}") or "" for name in names]
    told = re.compile(
        r"(vfio_iommu_type1\.|^\s*options\s+vfio_iommu_type1\b.*\s)allow_unsafe_interrupts=(1|y|Y|on)\b",
        re.MULTILINE,
    )
    return any(told.search(line) for line in lines)


def has_iommu(system: Reader) -> bool:
    """A group that is not one of VFIO's own no-IOMMU groups."""
    if system.names("/sys/class/iommu"):
        return True
    return any(system.read(f"{_GROUPS}/{name}/name") != "vfio-noiommu" for name in system.names(_GROUPS))


def _remapping(system: Reader) -> bool | None:
    """The interrupt controllers' names tell: `IR-PCI-MSI` on x86, an ITS on Arm; None where none is told."""
    text = system.read("/proc/interrupts")
    if text is None:
        return None
    if re.search(r"\bIR-|\bITS-", text):
        return True
    return False if re.search(r"\bPCI-MSI|IO-APIC", text) else None
