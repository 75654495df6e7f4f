"""Paths of sysfs → the PCI functions in them."""

from gpupass.model.address import Address, parse_address


def addresses_in(path: str) -> list[Address]:
    """The PCI functions of a sysfs path, the bridges among them."""
    return [address for part in path.split("/") if (address := parse_address(part)) is not None]
