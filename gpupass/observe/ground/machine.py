"""Processor, firmware, kernel and memory."""

import re
from collections.abc import Iterator

from gpupass.model.ground import Cpu, Firmware, Kernel, Memory
from gpupass.system import Reader, System

_TABLES = "/sys/firmware/acpi/tables"
_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_LOCKDOWN = "/sys/kernel/security/lockdown"
_PANICS = ("hung_task_panic", "softlockup_panic")
_UNBINDING = ("vfio_unregister_group_dev", "nv_pci_remove", "vfio_pci_core_unregister_device")
# lines of the kernel's log that checks ask for
SAID = re.compile(
    r"NVRM: Xid|PSP .*fail|GPU reset begin|no space for|can't assign|not enough MMIO resources for SR-IOV"
    r'|apparmor="DENIED".*(vfio|driver_override|iommu)|avc: .*denied.*(vfio|virtqemud_t|svirt_t)'
    r"|RLIMIT_MEMLOCK .*exceeded|Unable to power on device, stuck in D3|fallen off the bus"
)


def read_cpu(system: Reader) -> Cpu | None:
    """Not of all processors: a host may have hundreds, and they are alike."""
    text = (system.read("/proc/cpuinfo") or "").partition("\n\n")[0]
    if not text:
        return None
    said = dict(re.findall(r"^([\w ]+?)\s*:[ \t]*(.*)$", text, re.MULTILINE))
    flags = set(said.get("flags", "").split())
    bits = re.match(r"(\d+) bits physical", said.get("address sizes", ""))
    return Cpu(
        vendor=said.get("vendor_id", ""),
        virtual=bool(flags & {"vmx", "svm"}),
        guest="hypervisor" in flags,
        physical_bits=int(bits[1]) if bits else None,
    )


def read_firmware(system: Reader) -> Firmware:
    state = system.read_bytes(_SECURE_BOOT, 8)
    return Firmware(
        efi=system.exists("/sys/firmware/efi"),
        secure_boot=state[4] == 1 if state is not None and len(state) > 4 else None,
        tables=tuple(name for name in ("DMAR", "IVRS", "IORT") if system.exists(f"{_TABLES}/{name}")),
    )


def read_kernel(system: Reader) -> Kernel:
    lockdown = re.search(r"\[(\w+)\]", system.read(_LOCKDOWN) or "")
    return Kernel(
        release=system.read("/proc/sys/kernel/osrelease") or "",
        words=tuple((system.read("/proc/cmdline") or "").split()),
        lockdown=lockdown[1] if lockdown else None,
        panics=tuple(name for name in _PANICS if system.read(f"/proc/sys/kernel/{name}") not in (None, "0")),
        stuck=tuple(_stuck(system)),
        said=_said(system),
    )


def _stuck(system: Reader) -> Iterator[str]:
    """Tasks in uninterruptible sleep whose place in the kernel says that they unbind a device (root's)."""
    for pid in system.names("/proc"):
        if pid.isdecimal() and system.read(f"/proc/{pid}/wchan") in _UNBINDING:
            yield f"{system.read(f'/proc/{pid}/comm') or '?'} (pid {pid})"


def _said(system: Reader) -> tuple[str, ...] | None:
    if not isinstance(system, System):
        return None
    lines = system.kernel_log().past()
    return None if lines is None else tuple(line for line in lines if SAID.search(line))[-200:]


def read_memory(system: Reader) -> Memory:
    text = system.read("/sys/kernel/mm/transparent_hugepage/enabled") or ""
    chosen = re.search(r"\[(\w+)\]", text)
    nodes = [name for name in system.names("/sys/devices/system/node") if re.fullmatch(r"node\d+", name)]
    return Memory(transparent=chosen[1] if chosen else "", nodes=max(1, len(nodes)))
