"""What libvirt, QEMU and the kernel say when a device cannot be plugged, and what to type then; pure.

Words of libvirt 11.3 (virhostdev.c, qemu_hotplug.c, domain_addr.c), QEMU 10.0 (hw/vfio/container.c, pcie.c,
pcihp.c) and Linux 6.12 (drivers/vfio).
"""

import re
import shlex

_MEMORY_LOCK = "virsh memtune {domain} --hard-limit KIB: its memory and 1 GiB more"
_PORT = "virsh edit {domain}: add <controller type='pci' model='pcie-root-port'/>, then restart it"
_ROM = "QEMU itself must be allowed to read it, as AppArmor lets it in /usr/share/vgabios/: mode 644"
_HINTS: tuple[tuple[str, str], ...] = (
    (
        r"is in use by driver \S+, domain (?P<other>\S+)",
        "virsh dumpxml {other}",
    ),
    (r"must be manually detached", "gpupass show {device}: another driver has got it meanwhile"),
    (r"group \d+ is not viable", "gpupass groups: the whole group has to be on vfio-pci"),
    (r"used in multiple address spaces", "a guest with a vIOMMU can see one function of an IOMMU group only"),
    (r"/dev/vfio/\d+: Device or resource busy", "fuser -v /dev/vfio/*: a process has the group open"),
    (r"RLIMIT_MEMLOCK|Cannot allocate memory|failed to setup container", _MEMORY_LOCK),
    (r"[Nn]o more available PCI slots|unsupported by the port device|BSEL|No PCI buses available", _PORT),
    (r"hotplug is not supported|does not support hotplug", _PORT),
    (
        r"not allowed while migrating|state change lock",
        "virsh domjobinfo {domain}; then try again",
    ),
    (r"romfile|[Oo]ption ROM|\brom file", _ROM),
    (
        r"Permission denied|Operation not permitted|DENIED",
        "journalctl -k -g 'apparmor|avc'",
    ),
    (r"unexpectedly quit|monitor.*closed", "tail /var/log/libvirt/qemu/{domain}.log"),
    (r"hardware reset|not capable of reset|No available reset", "cat {sysfs}/reset_method"),
    (
        r"failed to get region|BAR \d+.*can't reserve|iomem",
        "cat /proc/iomem",
    ),
    (r"unknown vfio device|No such file or directory|error getting device", "gpupass show {device}"),
)


def rom_remedy(path: str) -> str:
    """Where libvirt's AppArmor profile lets QEMU read (abstractions/libvirt-qemu)."""
    name = path.rpartition("/")[2]
    there = shlex.quote(f"/usr/share/vgabios/{name}")
    return f"install -D -m 644 {shlex.quote(path)} {there}: a dump of a card's ROM, root's alone"


def hint_for(why: str, device: str, domain: str, path: str) -> str | None:
    """The first that the words speak of; `path` is the device's in sysfs."""
    for words, hint in _HINTS:
        found = re.search(words, why)
        if found is not None:
            named = {name: shlex.quote(value or "") for name, value in found.groupdict().items()}
            return hint.format(device=device, domain=shlex.quote(domain), sysfs=path, **named)
    return None
