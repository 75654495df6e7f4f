"""Is there an IOMMU, and does it remap interrupts?"""

import re

from gpupass.model.host import Iommu
from gpupass.system import Reader

_GROUPS = "/sys/kernel/iommu_groups"


def read_iommu(system: Reader) -> Iommu:
    enabled = has_iommu(system)
    return Iommu(enabled=enabled, interrupt_remapping=_remapping(system) if enabled else False)


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
