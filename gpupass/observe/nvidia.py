"""NVIDIA GPUs as the nvidia driver's /proc files and NVML tell them."""

from gpupass.model.address import Address, parse_address
from gpupass.system import System

_GPUS = "/proc/driver/nvidia/gpus"


def minors(system: System) -> dict[int, Address]:
    """The N of /dev/nvidiaN → its GPU."""
    found = {}
    for name in system.names(_GPUS):
        address = parse_address(name)
        fields = _information(system.read(f"{_GPUS}/{name}/information") or "")
        minor = fields.get("Device Minor", "")
        if address is not None and minor.isdecimal():
            found[int(minor)] = address
    return found


def _information(text: str) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}
