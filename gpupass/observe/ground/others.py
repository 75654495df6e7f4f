"""Whoever else decides about devices, NVIDIA's programs, and gpupass itself."""

import re
from collections.abc import Iterator

from gpupass.boot.early import RULES, early_bound
from gpupass.boot.units import PROFILE, UNITS, unit_path
from gpupass.model.address import Address, parse_address
from gpupass.model.boot import HostFile
from gpupass.model.ground import Nvidia, Others, Own
from gpupass.observe.mdev import DEFINITIONS, PARENTS
from gpupass.system import Reader
from gpupass.system.units import is_enabled

_DRIVERCTL = "/etc/driverctl.d"
_RULES = ("/etc/udev/rules.d", "/run/udev/rules.d")
_CDI = ("/etc/cdi", "/var/run/cdi")
_PLUGINS = "/var/lib/kubelet/device-plugins"
_FABRIC = ("/usr/share/nvidia/nvswitch/fabricmanager.cfg", "/etc/nvidia/fabricmanager.cfg")
_OWN_CDI = "gpupass.yaml"


def read_others(system: Reader) -> Others:
    overridden = (
        parse_address(name.removeprefix("pci-"))
        for name in system.names(_DRIVERCTL)
        if name.startswith("pci-")
    )
    return Others(
        driverctl=tuple(address for address in overridden if address is not None),
        rules=tuple(_foreign_rules(system)),
        cdi=tuple(
            f"{where}/{name}"
            for where in _CDI
            for name in system.names(where)
            if name != _OWN_CDI and name.endswith((".yaml", ".json"))
        ),
        plugins=tuple(name for name in system.names(_PLUGINS) if re.search(r"nvidia|amd|intel|gpu", name)),
        missing_mdevs=tuple(_missing_mdevs(system)),
    )


def _foreign_rules(system: Reader) -> Iterator[str]:
    for where in _RULES:
        for name in system.names(where):
            path = f"{where}/{name}"
            if path != RULES and "driver_override" in (system.read(path) or ""):
                yield path


def _missing_mdevs(system: Reader) -> Iterator[str]:
    """mdevctl's definitions that start by themselves, of types that their parent does not have."""
    for parent in system.names(DEFINITIONS):
        for uuid in system.names(f"{DEFINITIONS}/{parent}"):
            text = system.read(f"{DEFINITIONS}/{parent}/{uuid}") or ""
            kind = re.search(r'"mdev_type"\s*:\s*"([^"]+)"', text)
            starts = re.search(r'"start"\s*:\s*"auto"', text)
            if kind and starts and not system.exists(f"{PARENTS}/{parent}/mdev_supported_types/{kind[1]}"):
                yield f"{uuid} ({kind[1]} on {parent})"


def read_nvidia(system: Reader) -> Nvidia | None:
    text = system.read("/proc/driver/nvidia/version")
    if text is None:
        return None
    version = re.search(r"(?:Kernel Module|Open Kernel Module).*?(\d+\.\d+(?:\.\d+)?)", text)
    firmware = re.search(r"EnableGpuFirmware:\s*(\d+)", system.read("/proc/driver/nvidia/params") or "")
    fabric = next((told for path in _FABRIC if (told := system.read(path))), "")
    mode = re.search(r"^\s*FABRIC_MODE\s*=\s*(\d)", fabric, re.MULTILINE)
    return Nvidia(
        version=version[1] if version else "",
        open="Open Kernel Module" in text,
        gsp=None if firmware is None else firmware[1] != "0",
        switches=any(
            name.startswith("nvidia-nvswitch") and name != "nvidia-nvswitchctl"
            for name in system.names("/dev")
        ),
        fabric_mode=mode[1] if mode else "",
        vgpu=system.exists("/usr/lib/nvidia/sriov-manage") or system.exists("/usr/bin/nvidia-vgpud"),
    )


def read_own(system: Reader) -> Own:
    text = system.read(RULES)
    early: tuple[Address, ...] = ()
    if text is not None:
        early = tuple(early_bound(HostFile(path=RULES, text=text)))
    return Own(
        profile=system.exists(PROFILE),
        units=tuple(unit for unit in UNITS if is_enabled(system, unit)),
        shadowed=tuple(
            unit
            for unit in UNITS
            if system.exists(unit_path(unit)) and system.exists(f"/usr/lib/systemd/system/{unit}")
        ),
        early=early,
        container=system.exists("/run/.containerenv") or system.exists("/.dockerenv"),
    )
