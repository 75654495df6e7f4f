"""What only the doctor asks of single PCI functions."""

import re
from collections.abc import Iterable, Iterator

from gpupass.model.address import sysfs
from gpupass.model.config_space import forwards_ari
from gpupass.model.ground import FunctionGround
from gpupass.model.host import NVIDIA, Device
from gpupass.observe.number import number
from gpupass.system import Reader

_LOW = 1 << 32
_IS_64, _IS_IO = 0x00100000, 0x00000100  # IORESOURCE_MEM_64, IORESOURCE_IO (include/linux/ioport.h)
_VF_BARS = slice(7, 13)  # PCI_IOV_RESOURCES (include/linux/pci.h)
_USB = 0x0C03
_UNBIND_LOCK = "/proc/driver/nvidia/gpus/{}/unbindLock"


def read_functions(system: Reader, devices: Iterable[Device]) -> tuple[FunctionGround, ...]:
    found = tuple(devices)
    aliases = _vfio_aliases(system) if found else ()
    return tuple(_read(system, device, aliases) for device in found)


def _read(system: Reader, device: Device, aliases: tuple[tuple[str, str], ...]) -> FunctionGround:
    at = device.address
    rows = [_row(line) for line in (system.read(sysfs(at, "resource")) or "").splitlines()]
    alias = system.read(sysfs(at, "modalias")) or ""
    return FunctionGround(
        address=at,
        unassigned=tuple(_unassigned(rows[:6])),
        vf_unassigned=tuple(_unassigned(rows[_VF_BARS])),
        low=tuple(
            end - start + 1 for start, end, flags in rows[:6] if flags & _IS_64 and start > 0 and end < _LOW
        ),
        errors={
            kind: count
            for kind in ("fatal", "nonfatal")
            if (count := _errors(system.read(sysfs(at, f"aer_dev_{kind}")) or ""))
        },
        ari=_ari(system, device),
        unbind_lock=system.exists(_UNBIND_LOCK.format(at)) if device.driver == NVIDIA else None,
        usb=tuple(_plugged(system, at)) if device.class_code >> 8 == _USB else (),
        render=any(name.startswith("renderD") for name in system.names(sysfs(at, "drm"))),
        variants=tuple(module for pattern, module in aliases if _fits(pattern, alias)),
    )


def _plugged(system: Reader, address: str) -> Iterator[str]:
    """Devices of the root hubs below: usb3/3-1."""
    for hub in system.names(sysfs(address)):
        for name in system.names(sysfs(address, hub)) if re.fullmatch(r"usb\d+", hub) else ():
            if re.fullmatch(r"\d+-[\d.]+", name):
                yield system.read(sysfs(address, hub, name, "product")) or name


def _ari(system: Reader, device: Device) -> bool | None:
    """Only where virtual functions are possible."""
    if device.parent is None or not system.exists(sysfs(device.address, "sriov_totalvfs")):
        return None
    return forwards_ari(system.read_bytes(sysfs(device.parent, "config"), 256) or b"")


def _row(line: str) -> tuple[int, int, int]:
    words = [number(word, 0) or 0 for word in line.split()]
    return (words[0], words[1], words[2]) if len(words) == 3 else (0, 0, 0)


def _unassigned(rows: Iterable[tuple[int, int, int]]) -> Iterator[int]:
    """The kernel keeps the size of what it found no place for, from 0 on."""
    for start, end, flags in rows:
        if start == 0 and end > 0 and flags and not flags & _IS_IO:
            yield end + 1


def _errors(text: str) -> int:
    total = re.search(r"^TOTAL_ERR_\w+ (\d+)$", text, re.MULTILINE)
    return int(total[1]) if total else 0


def _vfio_aliases(system: Reader) -> tuple[tuple[str, str], ...]:
    release = system.read("/proc/sys/kernel/osrelease") or ""
    text = system.read(f"/lib/modules/{release}/modules.alias") or ""
    found = re.findall(r"^alias vfio_(pci:v0000\S+) (\S+)$", text, re.MULTILINE)
    return tuple((pattern, module) for pattern, module in found if module != "vfio_pci")


def _fits(pattern: str, alias: str) -> bool:
    from fnmatch import fnmatchcase

    return fnmatchcase(alias, pattern)
