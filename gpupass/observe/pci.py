"""PCI functions: the basics of all of them from one `uevent` each, the details of those asked about."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from msgspec import Struct

from gpupass.model.address import PCI_DEVICES, Address, parse_address, sysfs
from gpupass.model.amd import Amd, Gim
from gpupass.model.config_space import read_config_space
from gpupass.model.host import NVIDIA, Acs, Bar, Detail, Device, Link, Nvidia, Sriov, Vgpu, lends
from gpupass.model.intel import INTEL, Intel
from gpupass.observe.number import number
from gpupass.observe.uevent import parse_uevent
from gpupass.system import Reader

_IO = 0x100  # IORESOURCE_* of linux/ioport.h
_PREFETCH = 0x2000
_MEM_64 = 0x100000
_DISPLAY = 0x03  # the class
Groups = Callable[[int], tuple[str, ...]]  # all that is in an IOMMU group


class Basics(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A function without detail, names and users; and its uevent, which tells its modalias, too."""

    device: Device
    event: Mapping[str, str]


def read_basics(system: Reader) -> Iterator[Basics]:
    """Of every function."""
    slots = _slots(system)
    names = [name for name in system.names(PCI_DEVICES) if parse_address(name) is not None]
    events = system.read_many([f"{PCI_DEVICES}/{name}/uevent" for name in names])
    for name, event in zip(names, events, strict=True):
        address = parse_address(name)
        found = _basics(system, address, slots, event) if address is not None else None
        if found is not None:
            yield found


def read_devices(system: Reader) -> Iterator[Device]:
    return (found.device for found in read_basics(system))


def read_around(system: Reader, addresses: Collection[Address], groups: Groups) -> tuple[Basics, ...]:
    """Of these and all that a change of them is about, however many others there are.

    That is the rest of their IOMMU groups, their physical and virtual functions, the ports above them, and
    what else hangs from those: the reset of a slot hits it, too.
    """
    found: dict[Address, Basics] = {}

    def take(wanted: Iterable[Address | None]) -> tuple[Device, ...]:
        for address in wanted:
            if address is not None and address not in found:
                basics = _basics(system, address, {}, system.read_bytes(sysfs(address, "uevent")))
                found.update({address: basics} if basics is not None else {})
        return tuple(found[address].device for address in wanted if address in found)

    these = {device.group for device in take(addresses) if device.group is not None}
    members = take(tuple({*addresses, *(other for group in these for other in functions(groups(group)))}))
    for member in members:
        take((member.physfn, *_vfs(system, member)))
    ports = take(tuple({member.parent for member in members}))
    for port in ports:
        take(tuple(a for name in system.names(sysfs(port.address)) if (a := parse_address(name))))
    while ports := take(tuple({port.parent for port in ports})):
        pass
    return tuple(found[address] for address in sorted(found))


def read_group(system: Reader, address: Address) -> tuple[Address, ...]:
    """The function first, then the rest of its IOMMU group; () where there is no such function."""
    group = system.link(sysfs(address, "iommu_group"))
    if group is None:
        return (address,) if system.exists(sysfs(address)) else ()
    found = functions(group_names(system, group))
    return (address, *(member for member in found if member != address))


def group_names(system: Reader, group: object) -> tuple[str, ...]:
    """All that is in this IOMMU group, PCI functions and others."""
    return system.names(f"/sys/kernel/iommu_groups/{group}/devices")


def functions(names: Iterable[str]) -> tuple[Address, ...]:
    return tuple(address for name in names if (address := parse_address(name)) is not None)


def _vfs(system: Reader, device: Device) -> tuple[Address, ...]:
    if device.is_bridge or device.physfn is not None:
        return ()
    path = sysfs(device.address)
    links = (system.link(f"{path}/{name}") for name in system.names(path) if name.startswith("virtfn"))
    return tuple(address for link in links if (address := parse_address(link or "")) is not None)


def _basics(system: Reader, address: Address, slots: dict[str, str], uevent: bytes | None) -> Basics | None:
    path = sysfs(address)
    event = _event(system, path, uevent)
    ids = re.fullmatch(r"([0-9A-Fa-f]{1,8}):([0-9A-Fa-f]{1,8})", event.get("PCI_ID", ""))
    if ids is None:
        return None
    group = system.link(f"{path}/iommu_group")
    physfn = system.link(f"{path}/physfn")
    device = Device(
        address=address,
        vendor=int(ids[1], 16),
        device=int(ids[2], 16),
        class_code=number(event.get("PCI_CLASS"), 16) or 0,
        driver=event.get("DRIVER"),
        group=number(group),
        parent=_parent(system, path),
        physfn=parse_address(physfn) if physfn else None,
        subsystem=_subsystem(event.get("PCI_SUBSYS_ID", "")),
        slot=slots.get(address.rpartition(".")[0]),
        lends_itself=_lends_itself(system, path, event.get("DRIVER"), physfn),
    )
    return Basics(device=device, event=event)


def _event(system: Reader, path: str, uevent: bytes | None) -> dict[str, str]:
    """Where it does not answer the core still tells what the device is."""
    event = parse_uevent((uevent or b"").decode(errors="replace"))
    if "PCI_ID" not in event:
        for key, before in (("PCI_ID", ""), ("PCI_SUBSYS_ID", "subsystem_")):
            ids = [system.read(f"{path}/{before}{name}") or "" for name in ("vendor", "device")]
            event[key] = ":".join(text.removeprefix("0x") for text in ids)
        event["PCI_CLASS"] = (system.read(f"{path}/class") or "").removeprefix("0x")
        driver = system.link(f"{path}/driver")
        event |= {"DRIVER": driver} if driver is not None else {}
    return event


def _lends_itself(system: Reader, path: str, driver: str | None, physfn: str | None) -> bool:
    """A VF that its own driver registers with VFIO, as libvirt sees it since 9.7 (virpci.c)."""
    vendors = driver is not None and physfn is not None and not lends(driver)
    return vendors and system.exists(f"{path}/vfio-dev")


def _parent(system: Reader, path: str) -> Address | None:
    """The directory above: a bridge, or the root complex (`pci0000:00`), which is nobody."""
    target = system.target(path)
    return parse_address(target.rsplit("/", 2)[-2]) if target and target.count("/") >= 2 else None


def _slots(system: Reader) -> dict[str, str]:
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


def read_detail(
    system: Reader,
    device: Device,
    vendor: Vendor,
    vfs: tuple[Address, ...] = (),
    described: bool = True,
    settings: bool = False,
) -> Detail:
    """All else about one function; `described`: with what no plan asks for, but people do, `settings`: what
    can be set of it for a guest."""
    path = sysfs(device.address)
    config = read_config_space(system.read_bytes(f"{path}/config", limit=4096) or b"")
    sriov = _sriov(system, path, vfs) if device.physfn is None and not device.is_bridge else None
    return Detail(
        revision=(number(system.read(f"{path}/revision"), 0) or 0) if described else 0,
        host_driver=vendor.host_driver,
        driver_override=_override(system.read(f"{path}/driver_override")),
        numa_node=_node(system.read(f"{path}/numa_node")),
        boot_display=device.class_code >> 16 == _DISPLAY and _is_boot_display(system, path),
        express=system.exists(f"{path}/max_link_speed"),
        link=_link(system, path) if described else None,
        bars=_bars(system, path, described or settings),
        reset_methods=tuple((system.read(f"{path}/reset_method") or "").split()),
        power_state=system.read(f"{path}/power_state") if described else None,
        runtime_status=system.read(f"{path}/power/runtime_status") if described else None,
        sriov=sriov,
        vgpu=_vgpu(system, path) if device.driver == NVIDIA else None,
        serial=config.serial,
        acs=config.acs if config.known_extended else Acs.UNKNOWN,
        multifunction=config.multifunction,
        responds=config.responds and system.answers(path),
        nvidia=vendor.nvidia,
        intel=_intel(system, device, sriov),
        amd=vendor.amd,
        gim=vendor.gim,
    )


def _vgpu(system: Reader, path: str) -> Vgpu | None:
    from gpupass.observe.vgpu import read_vgpu

    return read_vgpu(system, path)


def _intel(system: Reader, device: Device, sriov: Sriov | None) -> Intel | None:
    if sriov is None or device.driver not in INTEL:
        return None
    from gpupass.observe.intel import read_intel

    return read_intel(system, device.address, sriov.total)


def _is_boot_display(system: Reader, path: str) -> bool:
    """vgaarb's choice; kernels from 6.17 also say `boot_display` for displays that are no VGA."""
    return "1" in (system.read(f"{path}/boot_vga"), system.read(f"{path}/boot_display"))


def _override(text: str | None) -> str | None:
    return None if text in (None, "", "(null)") else text


def _node(text: str | None) -> int | None:
    node = number(text)
    return node if node is not None and node >= 0 else None


def _subsystem(text: str) -> str:
    """Bridges have none."""
    found = re.fullmatch(r"([0-9a-f]{4}):([0-9a-f]{4})", text.lower())
    return text.lower() if found is not None and found[1] != "0000" else ""


def _link(system: Reader, path: str) -> Link | None:
    speed = system.read(f"{path}/current_link_speed")
    max_speed = system.read(f"{path}/max_link_speed")
    width = number(system.read(f"{path}/current_link_width"), 0)
    max_width = number(system.read(f"{path}/max_link_width"), 0)
    if not speed or not max_speed or width is None or not max_width or max_width == 255:
        return None
    return Link(speed=speed, width=width, max_speed=max_speed, max_width=max_width)


def _bars(system: Reader, path: str, sizes: bool) -> tuple[Bar, ...]:
    """The first six lines of `resource`: start, end, flags; the others are the ROM and a bridge's windows."""
    bars = []
    for index, line in enumerate((system.read(f"{path}/resource") or "").splitlines()[:6]):
        words = [number(word, 0) or 0 for word in line.split()]
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
                sizes=_resizable(system.read(f"{path}/resource{index}_resize")) if sizes else (),
            )
        )
    return tuple(bars)


def _resizable(text: str | None) -> tuple[int, ...]:
    """A bit map in which bit 0 means 1 MiB (Documentation/ABI sysfs-bus-pci, resourceN_resize)."""
    bits = number(text, 16) or 0
    return tuple(1 << (20 + bit) for bit in range(44) if bits >> bit & 1)


def total_vfs(system: Reader, path: str) -> int | None:
    """TotalVFs is a register of 16 bits; a device that dies tells all ones of everything."""
    total = number(system.read(f"{path}/sriov_totalvfs"), 0)
    return total if total is not None and total <= 0xFFFF else None


def _sriov(system: Reader, path: str, vfs: tuple[Address, ...]) -> Sriov | None:
    total = total_vfs(system, path)
    if total is None:
        return None
    return Sriov(
        total=total,
        enabled=number(system.read(f"{path}/sriov_numvfs"), 0) or 0,
        autoprobe=system.read(f"{path}/sriov_drivers_autoprobe") != "0",
        vfs=vfs,
        offset=number(system.read(f"{path}/sriov_offset"), 0),
        stride=number(system.read(f"{path}/sriov_stride"), 0),
        vf_device=number(system.read(f"{path}/sriov_vf_device"), 16),
    )
