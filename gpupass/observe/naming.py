"""The hardware database's names: from libudev on a live host, from the record on a recorded one."""

from collections.abc import Iterable

from gpupass.model.host import Device
from gpupass.observe import recorded
from gpupass.system import Reader


def read_names(system: Reader, devices: Iterable[Device]) -> dict[str, str]:
    """`vvvv:dddd` → name, for the devices the database knows."""
    if system.recorded:
        return recorded.load(
            system,
            recorded.NAMES,
            lambda data: {str(ids): str(name) for ids, name in data.items()},
            {},
        )
    from gpupass.system.names import pci_names

    pairs = {(device.vendor, device.device) for device in devices}
    found = pci_names(pairs) if pairs else {}
    return {f"{vendor:04x}:{device:04x}": name for (vendor, device), name in found.items()}
