"""PCI vendor numbers, under the names that profiles give them."""

from enum import IntEnum


class Vendor(IntEnum):
    NVIDIA = 0x10DE
    AMD = 0x1002
    INTEL = 0x8086
