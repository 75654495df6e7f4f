"""PCI functions: the basics of all of them from one `uevent` each, the details of those asked about."""

from collections.abc import Iterator

from msgspec import Struct

from gpupass.model.address import Address, parse_address
from gpupass.model.amd import Amd, Gim
from gpupass.model.host import Acs, Bar, Detail, Device, Link, Nvidia, Sriov
from gpupass.model.intel import Intel
from gpupass.observe.config_space import read_config_space
from gpupass.observe.intel import DRIVERS, read_intel
from gpupass.observe.uevent import parse_uevent
from gpupass.observe.vgpu import read_vgpu
from gpupass.system import System

DEVICES = "/sys/bus/pci/devices"
_IO = 0x100  # IORESOURCE_* of linux/ioport.h
_PREFETCH = 0x2000
_MEM_64 = 0x100000


def read_devices(system: System) -> Iterator[Device]:
    """Every function, without detail, names and users."""
    slots = _slots(system)
    for name in system.names(DEVICES):
        address = parse_address(name)
        if address is not None:
            device = _basics(system, address, f"{DEVICES}/{name}", slots)
            if device is not None:
                yield device


def _basics(system: System, address: Address, path: str, slots: dict[str, str]) -> Device | None:
    event = parse_uevent(system.read(f"{path}/uevent") or "")
    vendor, _, model = event.get("PCI_ID", "").partition(":")
    if not model:
        return None
    group = system.link(f"{path}/iommu_group")
    physfn = system.link(f"{path}/physfn")
    return Device(
        address=address,
        vendor=int(vendor, 16),
        device=int(model, 16),
        class_code=int(event.get("PCI_CLASS", "0"), 16),
        driver=event.get("DRIVER"),
        group=int(group) if group is not None and group.isdecimal() else None,
        parent=_parent(system, path),
        physfn=parse_address(physfn) if physfn else None,
        slot=slots.get(address.rpartition(".")[0]),
        own_vfio=_lends_itself(system, path, event.get("DRIVER"), physfn),
    )


def _lends_itself(system: System, path: str, driver: str | None, physfn: str | None) -> bool:
    """A VF that its own driver registers with VFIO, as libvirt sees it since 9.7 (virpci.c)."""
    vendors = driver is not None and physfn is not None and not driver.replace("-", "_").endswith("vfio_pci")
    return vendors and system.exists(f"{path}/vfio-dev")


def _parent(system: System, path: str) -> Address | None:
    """The directory above: a bridge, or the root complex (`pci0000:00`), which is nobody."""
    target = system.target(path)
    return parse_address(target.rsplit("/", 2)[-2]) if target and target.count("/") >= 2 else None


def _slots(system: System) -> dict[str, str]:
    """`0000:01:00` → the name of the physical slot it sits in."""
    slots = {}
    for name in system.names("/sys/bus/pci/slots"):
        address = system.read(f"/sys/bus/pci/slots/{name}/address")
        if address:
            slots[address.lower()] = name
    return slots


class Vendor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What sources beside the PCI bus say of one function."""

    host_driver: str | None = None
    nvidia: Nvidia | None = None
    amd: Amd | None = None
    gim: Gim | None = None


def read_detail(system: System, device: Device, vendor: Vendor) -> Detail:
    """All else about one function."""
    path = f"{DEVICES}/{device.address}"
    config = read_config_space(system.read_bytes(f"{path}/config", limit=4096) or b"")
    sriov = _sriov(system, path)
    return Detail(
        subsystem=_subsystem(system, path),
        revision=_number(system.read(f"{path}/revision")) or 0,
        host_driver=vendor.host_driver,
        driver_override=_override(system.read(f"{path}/driver_override")),
        numa_node=_node(system.read(f"{path}/numa_node")),
        boot_display=is_boot_display(system, device.address),
        express=system.exists(f"{path}/max_link_speed"),
        link=_link(system, path),
        bars=_bars(system, path),
        reset_methods=tuple((system.read(f"{path}/reset_method") or "").split()),
        power_state=system.read(f"{path}/power_state"),
        runtime_status=system.read(f"{path}/power/runtime_status"),
        sriov=sriov,
        vgpu=read_vgpu(system, path),
        serial=config.serial,
        acs=config.acs if config.known_extended else Acs.UNKNOWN,
        multifunction=config.multifunction,
        responds=config.responds,
        nvidia=vendor.nvidia,
        intel=_intel(system, device, sriov),
        amd=vendor.amd,
        gim=vendor.gim,
    )


def _intel(system: System, device: Device, sriov: Sriov | None) -> Intel | None:
    if sriov is None or device.driver not in DRIVERS:
        return None
    return read_intel(system, device.address, sriov.total)


def is_boot_display(system: System, address: Address) -> bool:
    """vgaarb's choice; kernels from 6.17 also say `boot_display` for displays that are no VGA."""
    path = f"{DEVICES}/{address}"
    return "1" in (system.read(f"{path}/boot_vga"), system.read(f"{path}/boot_display"))


def _override(text: str | None) -> str | None:
    return None if text in (None, "", "(null)") else text


def _number(text: str | None) -> int | None:
    try:
        return int(text or "", 0)
    except ValueError:
        return None


def _hex(text: str | None) -> int | None:
    try:
        return int(text or "", 16)
    except ValueError:
        return None


def _node(text: str | None) -> int | None:
    node = _number(text)
    return node if node is not None and node >= 0 else None


def _subsystem(system: System, path: str) -> tuple[int, int] | None:
    vendor = _number(system.read(f"{path}/subsystem_vendor"))
    device = _number(system.read(f"{path}/subsystem_device"))
    return (vendor, device) if vendor and device is not None else None


def _link(system: System, path: str) -> Link | None:
    speed = system.read(f"{path}/current_link_speed")
    max_speed = system.read(f"{path}/max_link_speed")
    width = _number(system.read(f"{path}/current_link_width"))
    max_width = _number(system.read(f"{path}/max_link_width"))
    if not speed or not max_speed or width is None or not max_width or max_width == 255:
        return None
    return Link(speed=speed, width=width, max_speed=max_speed, max_width=max_width)


def _bars(system: System, path: str) -> tuple[Bar, ...]:
    """The first six lines of `resource`: start, end, flags; the others are the ROM and a bridge's windows."""
    bars = []
    for index, line in enumerate((system.read(f"{path}/resource") or "").splitlines()[:6]):
        words = [_number(word) or 0 for word in line.split()]
        if len(words) != 3 or not words[1]:
            continue
        start, end, flags = words
        bars.append(
            Bar(
                index=index,
                size=end - start + 1,
                prefetchable=bool(flags & _PREFETCH),
                is_64bit=bool(flags & _MEM_64),
                is_io=bool(flags & _IO),
                sizes=_resizable(system.read(f"{path}/resource{index}_resize")),
            )
        )
    return tuple(bars)


def _resizable(text: str | None) -> tuple[int, ...]:
    """A bit map in which bit 0 means 1 MiB (Documentation/ABI sysfs-bus-pci, resourceN_resize)."""
    try:
        bits = int(text or "0", 16)
    except ValueError:
        return ()
    return tuple(1 << (20 + bit) for bit in range(44) if bits >> bit & 1)


def _sriov(system: System, path: str) -> Sriov | None:
    total = _number(system.read(f"{path}/sriov_totalvfs"))
    if total is None:
        return None
    links = [name for name in system.names(path) if name.startswith("virtfn")]
    links.sort(key=lambda name: _number(name.removeprefix("virtfn")) or 0)
    vfs = (parse_address(system.link(f"{path}/{name}") or "") for name in links)
    return Sriov(
        total=total,
        enabled=_number(system.read(f"{path}/sriov_numvfs")) or 0,
        autoprobe=system.read(f"{path}/sriov_drivers_autoprobe") != "0",
        vfs=tuple(vf for vf in vfs if vf is not None),
        offset=_number(system.read(f"{path}/sriov_offset")),
        stride=_number(system.read(f"{path}/sriov_stride")),
        vf_device=_hex(system.read(f"{path}/sriov_vf_device")),
    )
