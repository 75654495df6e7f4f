"""Paths of sysfs → the PCI functions in them."""

import re

from gpupass.model.address import Address, parse_address
from gpupass.system import Reader

_SUBSYSTEM = re.compile(r"/sys/devices/virtual/nvme-subsystem/[^/]+")


def addresses_in(path: str) -> list[Address]:
    """The PCI functions of a sysfs path, the bridges among them."""
    return [address for part in path.split("/") if (address := parse_address(part)) is not None]


def disk_paths(system: Reader, path: str) -> list[str]:
    """The path itself; an NVMe with several lies under its subsystem, with its controllers."""
    subsystem = _SUBSYSTEM.match(path)
    if subsystem is None:
        return [path]
    names = (name for name in system.names(subsystem[0]) if re.fullmatch(r"nvme\d+", name))
    return [system.resolve(f"{subsystem[0]}/{name}") or "" for name in names]
