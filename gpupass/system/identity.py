"""Who sits at an address at this moment: in two reads, and no driver is asked."""

import re

from gpupass.errors import GpupassError
from gpupass.model.address import parse_address, sysfs
from gpupass.model.config_space import read_config_space
from gpupass.model.identity import Identity
from gpupass.system.reader import Reader

_CONFIG = 4096  # bytes, with the extended capabilities
_HEX = r"0000([0-9a-f]{4})"
_MODALIAS = re.compile(rf"pci:v{_HEX}d{_HEX}sv{_HEX}sd{_HEX}bc.*")  # modalias_show of drivers/pci/pci-sysfs.c


def read_identity(system: Reader, address: str, serial: bool = True) -> Identity | None:
    """None where nobody is, or nothing that a card could take the place of: it is no PCI function.

    `serial` False: its configuration space, which a device has to answer for, is left alone.
    """
    if parse_address(address) is None:
        return None
    found = _MODALIAS.fullmatch((system.read(sysfs(address, "modalias")) or "").lower())
    if found is None:
        return None
    vendor, device, its_vendor, its_device = found.groups()
    return Identity(
        ids=f"{vendor}:{device}",
        subsystem=f"{its_vendor}:{its_device}" if its_vendor != "0000" else "",
        serial=_serial(system, address) if serial else "",
    )


def _serial(system: Reader, address: str) -> str:
    """One that does not answer cannot be told from itself: its ids have to do."""
    try:
        config = system.read_bytes(sysfs(address, "config"), _CONFIG)
    except GpupassError:
        return ""
    return read_config_space(config or b"").serial or ""
