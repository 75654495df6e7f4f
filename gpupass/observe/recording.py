"""Store a host in a directory: the kernel files that observing reads, and the answers that are no files.

The directory is a root again: `System(root=DIR)` reads it, and so does `lspci -O sysfs.path=DIR/sys/bus/pci`.
"""

import json
import re
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from gpupass import __version__
from gpupass.model.address import Address, parse_address, sysfs
from gpupass.model.amd import GIM_OPTIONS
from gpupass.model.host import Host
from gpupass.model.intel import INTEL
from gpupass.model.mark import Hooked
from gpupass.model.wire import SCHEMA
from gpupass.observe import intel, recorded
from gpupass.observe.amd import AMD_FILES, GIM_FILES, TOPOLOGY
from gpupass.observe.drivers import DRIVERS, MODPROBE, pci_aliases, read_blacklist
from gpupass.observe.ground import FILE as GROUND
from gpupass.observe.ground import read_ground, spell_ground
from gpupass.observe.mdev import DEFINITIONS, MDEVS, PARENTS
from gpupass.observe.naming import read_names
from gpupass.observe.nodes import MIG_MINORS, read_nodes
from gpupass.observe.nvidia import read_answers, spell_answers, with_vfs
from gpupass.observe.owners import owner_files
from gpupass.observe.pci import read_basics, read_devices, total_vfs
from gpupass.observe.processes import read_holders, spell_holders
from gpupass.observe.programs import read_nvidia_ctk, spell_programs
from gpupass.observe.recorded_marks import FILE, spell_marks
from gpupass.observe.remembered import read_remembered
from gpupass.observe.said import kernel_said, without_foreign_words, words_about_devices
from gpupass.observe.secrets import without_secrets
from gpupass.observe.stacks import osd_links, read_zpool, target_files
from gpupass.observe.vdpa import read_vdpa
from gpupass.system import Reader
from gpupass.system.door import STATE
from gpupass.system.holders import CLASSES, listed
from gpupass.system.store import Store

_FUNCTION_FILES = (
    *("uevent", "config", "resource", "vendor", "device", "class", "revision", "irq", "modalias"),
    *("subsystem_vendor", "subsystem_device", "numa_node", "boot_vga", "boot_display"),
    *("current_link_speed", "current_link_width", "max_link_speed", "max_link_width"),
    *("driver_override", "reset_method", "power_state", "power/control", "power/runtime_status"),
    *("sriov_totalvfs", "sriov_numvfs", "sriov_drivers_autoprobe"),
    *("sriov_offset", "sriov_stride", "sriov_vf_device"),
    *AMD_FILES,
    *GIM_FILES,
)
_SYSTEM_FILES = (
    *("/proc/swaps", "/proc/net/route", "/proc/net/ipv6_route", "/proc/net/pppoe", "/proc/meminfo"),
    *("/proc/sys/kernel/osrelease", "/proc/sys/kernel/random/boot_id"),
)


class Stored(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a record came to."""

    files: int
    size: int
    unseen: tuple[str, ...]


def record_host(system: Reader, directory: Path, connect: str) -> Stored:
    """Usage when the directory holds something already."""
    with closing(Store(system, directory)) as store:
        return _recorded(store, system, connect)


def _recorded(store: Store, system: Reader, connect: str) -> Stored:
    _functions(store, system)
    _groups(store, system)
    _blocks(store, system)
    _networks(store, system)
    _kernel(store, system)
    for kind in CLASSES.keys() - {"block"}:
        for name in system.names(f"/sys/class/{kind}"):
            store.link(f"/sys/class/{kind}/{name}")
            store.link(f"/sys/class/{kind}/{name}/device")
    for path in _SYSTEM_FILES:
        store.file(path)
    _mounts(store, system)
    _interrupts(store, system)
    _drivers(store, system)
    for name in system.names("/proc/driver/nvidia/gpus"):
        store.file(f"/proc/driver/nvidia/gpus/{name}/information")
    for path in sorted(read_nodes(system).present):
        store.text(path, "")  # that there is one is all
    store.file(MIG_MINORS)
    store.text(recorded.PROGRAMS, spell_programs(read_nvidia_ctk(system)) + "\n")
    ground = read_ground(system, read_devices(system), connect)
    store.text(GROUND, spell_ground(without_foreign_words(ground)))
    said = kernel_said(system, [device.address for device in read_devices(system)])
    if said is not None:
        store.text(recorded.SAID, "".join(f"{line}\n" for line in said))
    unseen = (*_answers(store, system), *_domains(store, system, connect))
    about = {"schema": SCHEMA, "gpupass": __version__, "recorded": system.now(), "unseen": list(unseen)}
    store.text(recorded.ABOUT, json.dumps(about, indent=1) + "\n")
    return Stored(files=store.files, size=store.size, unseen=unseen)


def _functions(store: Store, system: Reader) -> None:
    for device in read_devices(system):
        path = sysfs(device.address)
        store.link(path)
        for name in _FUNCTION_FILES:
            store.file(f"{path}/{name}", limit=4096)
        for name in system.names(path):
            if name in ("driver", "iommu_group", "physfn", "subsystem") or name.startswith("virtfn"):
                store.link(f"{path}/{name}")
            elif re.fullmatch(r"resource\d_resize", name):
                store.file(f"{path}/{name}", limit=4096)
        for name in ("current_vgpu_type", "creatable_vgpu_types", "vgpu_params", "gpu_instance_id"):
            store.file(f"{path}/nvidia/{name}", limit=1 << 16)
        for name in system.names(f"{path}/vfio-dev"):
            store.directory(f"{system.resolve(path)}/vfio-dev/{name}")
        if device.driver in INTEL:
            _shares(store, system, device.address)
    store.file(GIM_OPTIONS)
    for node in system.names(TOPOLOGY):
        store.file(f"{TOPOLOGY}/{node}/properties")
    _mdevs(store, system)
    for slot in system.names("/sys/bus/pci/slots"):
        store.file(f"/sys/bus/pci/slots/{slot}/address")


def _mdevs(store: Store, system: Reader) -> None:
    for parent in system.names(PARENTS):
        store.link(f"{PARENTS}/{parent}")
        types = f"{system.resolve(f'{PARENTS}/{parent}')}/mdev_supported_types"
        for kind in system.names(types):
            for name in ("name", "available_instances", "device_api", "description"):
                store.file(f"{types}/{kind}/{name}", limit=4096)
        for uuid in system.names(f"{DEFINITIONS}/{parent}"):
            store.text(f"{DEFINITIONS}/{parent}/{uuid}", "")  # that there is one is all
    for uuid in system.names(MDEVS):
        store.link(f"{MDEVS}/{uuid}")
        for name in ("iommu_group", "mdev_type"):
            store.link(f"{MDEVS}/{uuid}/{name}")
        store.file(f"{MDEVS}/{uuid}/nvidia/vgpu_params", limit=4096)


def _shares(store: Store, system: Reader, address: Address) -> None:
    """Of all VFs that the GPU can have: their shares can be set before they are there."""
    for path in intel.files_of(system, address, total_vfs(system, sysfs(address)) or 0):
        store.file(path, limit=4096)


def _groups(store: Store, system: Reader) -> None:
    for number in system.names("/sys/kernel/iommu_groups"):
        for name in ("type", "name", "reserved_regions"):
            store.file(f"/sys/kernel/iommu_groups/{number}/{name}")
        for address in system.names(f"/sys/kernel/iommu_groups/{number}/devices"):
            store.link(f"/sys/kernel/iommu_groups/{number}/devices/{address}")
            if parse_address(address) is None:
                store.link(f"{system.resolve(f'/sys/kernel/iommu_groups/{number}/devices/{address}')}/driver")
    for name in system.names("/sys/class/iommu"):
        store.link(f"/sys/class/iommu/{name}")


def _blocks(store: Store, system: Reader) -> None:
    for name in system.names("/sys/class/block"):
        path = f"/sys/class/block/{name}"
        if name.startswith("ram") or not _serves(system, name):
            continue
        store.link(path)
        for file in ("dev", "partition", "dm/name", "dm/uuid"):
            store.file(f"{path}/{file}")
        number = system.read(f"{path}/dev")
        if number:
            store.link(f"/sys/dev/block/{number}")
        for kind in ("slaves", "holders"):
            for other in system.names(f"{path}/{kind}"):
                store.link(f"{path}/{kind}/{other}")
        subsystem = re.match(r"/sys/devices/virtual/nvme-subsystem/[^/]+", system.resolve(path) or "")
        for controller in system.names(subsystem[0]) if subsystem else ():
            if subsystem and re.fullmatch(r"nvme\d+", controller):
                store.link(f"{subsystem[0]}/{controller}")
                store.file(f"{subsystem[0]}/{controller}/uevent")
    for uuid in system.names("/sys/fs/btrfs"):
        for name in system.names(f"/sys/fs/btrfs/{uuid}/devices"):
            store.link(f"/sys/fs/btrfs/{uuid}/devices/{name}")

    _served(store, system)


def _serves(system: Reader, name: str) -> bool:
    """Of loop devices only those on a device of the host."""
    backing = system.read(f"/sys/class/block/{name}/loop/backing_file") or ""
    return not name.startswith("loop") or backing.startswith("/dev/")


def _served(store: Store, system: Reader) -> None:
    """What stands on disks in ways that sysfs does not link."""
    text = read_zpool(system)
    if text:
        store.text(recorded.ZPOOL, text)
    for name in system.names("/sys/class/nvme"):
        for file in ("transport", "address"):
            store.file(f"/sys/class/nvme/{name}/{file}")
    for name in system.names("/sys/class/iscsi_connection"):
        store.file(f"/sys/class/iscsi_connection/{name}/address")
    for path in target_files(system):
        store.file(path)
    for name in system.names("/sys/class/block"):
        if name.startswith("loop") and _serves(system, name):
            store.file(f"/sys/class/block/{name}/loop/backing_file")
    for path in osd_links(system):
        _named(store, system, path)


def _named(store: Store, system: Reader, path: str) -> None:
    """A name of a device file, and that there is one."""
    real = system.resolve(path)
    if real is not None and real.startswith("/dev/"):
        store.text(real, "")
        if real != path:
            store.alias(path, real)


def _networks(store: Store, system: Reader) -> None:
    for interface in system.names("/sys/class/net"):
        path = f"/sys/class/net/{interface}"
        store.link(path)
        store.link(f"{path}/device")
        for name in system.names(path):
            if name.startswith(("lower_", "upper_")) or name == "master":
                store.link(f"{path}/{name}")
        for name in ("uevent", "phys_switch_id", "phys_port_name"):
            store.file(f"{path}/{name}")
        for name in ("bonding", "macvtap", "bridge"):
            if system.exists(f"{path}/{name}"):
                store.directory(f"{system.resolve(path)}/{name}")
        if system.exists(f"{path}/brport"):
            store.directory(f"{system.resolve(path)}/brport")
            store.link(f"{path}/brport/bridge")

    for name in system.names("/sys/bus/vdpa/devices"):
        store.link(f"/sys/bus/vdpa/devices/{name}")
        store.link(f"/sys/bus/vdpa/devices/{name}/driver")
    for device in read_devices(system):
        if system.exists(sysfs(device.address, "net")):
            store.directory(f"{system.resolve(sysfs(device.address))}/net")
    for name in system.names("/sys/bus/vdpa/devices"):
        for node in system.names(f"/sys/bus/vdpa/devices/{name}"):
            if node.startswith("vhost-vdpa-"):
                store.directory(f"{system.resolve(f'/sys/bus/vdpa/devices/{name}')}/{node}")


_MODULES = (
    "nvidia_drm",
    "vfio",
    "vfio_pci",
    "vfio_pci_core",
    "vfio_iommu_type1",
    "iommufd",
    "kvm",
    "kvm_intel",
    "kvm_amd",
)
_OPTIONS = re.compile(
    r"^\s*((options|softdep|install|remove|blacklist)\s+(vfio|kvm|nvidia|nouveau|amdgpu|radeon|i915|xe|iommu|snd_hda)"
    r"[\w-]*\b.*)$",
    re.MULTILINE,
)


def _kernel(store: Store, system: Reader) -> None:
    """What it was told at boot and of modules, as far as devices and their IOMMU go; its framebuffer."""
    words = (system.read("/proc/cmdline") or "").split()
    kept = words_about_devices(words)
    store.text("/proc/cmdline", " ".join(kept) + "\n")
    for path in ("/proc/iomem", "/proc/fb"):
        store.file(path)
    for module in _MODULES:
        for name in system.names(f"/sys/module/{module}/parameters"):
            store.file(f"/sys/module/{module}/parameters/{name}")
    for name in system.names("/sys/class/vtconsole"):
        store.link(f"/sys/class/vtconsole/{name}")
        for file in ("name", "bind"):
            store.file(f"/sys/class/vtconsole/{name}/{file}")
    for name in system.names("/sys/class/graphics"):
        store.link(f"/sys/class/graphics/{name}")
        store.link(f"/sys/class/graphics/{name}/device")
        store.file(f"/sys/class/graphics/{name}/name")


def _mounts(store: Store, system: Reader) -> None:
    """Local file systems only: a network mount tells of other machines and people."""
    for process in ("self", "1"):
        lines = (system.read(f"/proc/{process}/mountinfo") or "").splitlines()
        kept = [line for line in lines if re.search(r" - (zfs|btrfs|bcachefs) | - \S+ /dev/", line)]
        store.text(f"/proc/{process}/mountinfo", "".join(f"{line}\n" for line in kept))


def _interrupts(store: Store, system: Reader) -> None:
    """Only the names of the controllers: the counts are as wide as the machine has processors."""
    text = system.read("/proc/interrupts")
    if text is not None:
        names = sorted(set(re.findall(r"\b(?:IR-|ITS-)?(?:PCI-MSIX?|IO-APIC|MSI)\b\S*", text)))
        store.text("/proc/interrupts", "".join(f"{name}\n" for name in names))


def _drivers(store: Store, system: Reader) -> None:
    """The lines of the module tables that concern this host, and the PCI drivers that are registered."""
    for driver in system.names(DRIVERS):
        store.text(f"{DRIVERS}/{driver}/bind", "")  # git keeps no empty directory
        store.link(f"{DRIVERS}/{driver}/module")
    aliases = [found.event.get("MODALIAS", "") for found in read_basics(system)]
    release = system.read("/proc/sys/kernel/osrelease") or ""
    found = pci_aliases(system, aliases, release)
    lines = dict.fromkeys(f"alias {pattern} {module}\n" for pattern, module in found)
    store.text(f"/lib/modules/{release}/modules.alias", "".join(lines))
    blacklist = "".join(f"blacklist {module}\n" for module in sorted(read_blacklist(system)))
    options = (
        f"{found[1]}\n"
        for directory in MODPROBE
        for name in system.names(directory)
        if name.endswith(".conf")
        for found in _OPTIONS.finditer(system.read(f"{directory}/{name}") or "")
        if not found[2].startswith("blacklist")
    )
    store.text(f"{MODPROBE[0]}/recorded.conf", blacklist + "".join(dict.fromkeys(options)))


def _answers(store: Store, system: Reader) -> tuple[str, ...]:
    """NVML's, the hardware database's and /proc's."""
    devices = tuple(read_devices(system))
    names = read_names(system, devices)
    store.text(recorded.NAMES, json.dumps(names, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    found, blind = read_holders(system, listed(system), read_vdpa(system))
    store.text(recorded.HOLDERS, spell_holders(found, blind) + "\n")
    for pid in sorted({holder.pid for holder in found}):
        store.file(f"/proc/{pid}/cgroup")
    for path, text in owner_files(system, {holder.pid: holder.name for holder in found}):
        store.text(path, text)
    unseen = blind
    if system.names("/proc/driver/nvidia/gpus"):
        answers, missed = read_answers(system, [device.address for device in devices], with_vfs(devices))
        store.text(recorded.NVML, spell_answers(answers, missed) + "\n")
        unseen = (*unseen, *missed)
    known, missed = read_remembered(system, Host(devices=()))
    marks = [mark for mark in known if not isinstance(mark, Hooked)]
    unseen = (*unseen, *missed)
    if marks:
        store.text(f"{STATE}/{FILE}", spell_marks(marks))
    return unseen


def _domains(store: Store, system: Reader, connect: str) -> tuple[str, ...]:
    from gpupass.observe.domains import paths_of, read_texts

    texts, unseen = read_texts(system, connect)
    index = []
    for text in texts:
        index.append(
            {
                "name": text.name,
                "uuid": text.uuid,
                "state": text.state.value,
                "autostart": text.autostart,
                "job": text.job,
                "resident": text.resident,
            }
        )
        for side, xml in (("live", text.live), ("config", text.config)):
            for path in paths_of(xml) if xml else ():
                _named(store, system, path)
            if xml:
                store.text(f"{recorded.DOMAIN_XML}/{text.uuid}.{side}.xml", without_secrets(xml))
    document = {"domains": index, "unseen": list(unseen)}
    store.text(recorded.DOMAINS, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return unseen
