"""Which files ask a driver, a device or a stuck process, and may therefore never answer; pure."""

import re

# what the cores keep in memory and tell without a lock (linux/drivers/pci/pci-sysfs.c)
_CORE = frozenset(
    (
        *("vendor", "device", "class", "revision", "irq", "modalias", "numa_node", "resource", "address"),
        *("subsystem_vendor", "subsystem_device", "boot_vga", "boot_display", "power_state", "reset_method"),
        *("current_link_speed", "current_link_width", "max_link_speed", "max_link_width"),
        *("control", "runtime_status", "dev", "partition", "name"),
        *("sriov_totalvfs", "sriov_offset", "sriov_stride", "sriov_vf_device", "sriov_drivers_autoprobe"),
    )
)
_OWNER = re.compile(
    r"/proc/\d+|/sys/bus/\w+/devices/[^/]+|/proc/driver/nvidia/gpus/[^/]+|/sys/class/[^/]+/[^/]+"
)


def may_hang(path: str) -> bool:
    """As uevent, driver_override, sriov_numvfs: they take the device's lock, which a stuck unbind holds."""
    if path.startswith("/sys/"):
        return path.rpartition("/")[2] not in _CORE
    return path.startswith("/proc/driver/") or path.endswith("/maps")


def owner(path: str) -> str:
    """The directory of the device or process: where one file of it hangs, the others are not asked."""
    found = _OWNER.search(path)
    return path[: found.end()] if found else path.rpartition("/")[0]
