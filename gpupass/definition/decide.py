"""The XML of a definition, and how many devices it is to take → what it lacks for that; pure."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from gpupass.definition.preparation import (
    Preparation,
    RootPort,
    Window,
    addresses,
    controllers,
    number,
    read,
)
from gpupass.lending.domain_xml import MEMORY, PREFETCHABLE, reserved
from gpupass.lending.preflight import KEPT_BELOW, size_text
from gpupass.plan import Finding

_OVERRIDE_SINCE = (8, 2, 0)  # libvirt's <qemu:override> (NEWS.rst)
_GIB = 1 << 30
_KIB = 1 << 10
_BELOW = 512 << 20  # bytes below 4 GiB for all ports: half of what q35 has there
_LEAST = 2 << 20  # bytes: what firmware leaves behind an empty port unless it is asked for more
_SLOTS = range(1, 0x1F)  # of pcie.0; 0 is the host bridge, 0x1f q35's own (docs/pcie.txt of QEMU)
_BUSES = range(1, 256)
_BITS = 40  # address bits of QEMU's processors unless they have the host's (x86: TCG_PHYS_ADDR_BITS)
_SHARE = 8  # firmware gives PCI that part of the guest's address space (edk2 MemDetect.c, SeaBIOS pciinit.c)
_ITS_OWN = {"disk", "interface", "controller", "video", "memballoon", "rng", "input", "sound", "watchdog"}


def decide(
    xml: str, name: str, slots: int, largest_bar: int, version: tuple[int, int, int] | None
) -> tuple[Preparation, tuple[Finding, ...]]:
    """Bytes, and libvirt's version (None: not known). ValueError when it is not the XML of a domain."""
    root = read(xml)
    machine = _machine(root)
    if root.find("launchSecurity") is not None:
        return Preparation(), (_confidential(name),)
    if _is_i440fx(machine):
        return _lock(root, slots), tuple(_i440fx(root, name, slots, largest_bar))
    if "q35" not in machine and "virt" not in machine:
        finding = Finding(
            message=f"{name} is a {machine or 'domain without a machine type'}: nobody knows its ports",
            remedy="use q35, or virt on arm",
        )
        return Preparation(), (finding,)
    free = _free_ports(root)
    new = _new_ports(root, slots - len(free))
    if new is None:
        return Preparation(), (_full(name, slots),)
    chosen = (*free, *(port.index for port in new))[: max(slots, 0)]
    windows = tuple(_windows(reserved(root), chosen, largest_bar))
    wanted = Preparation(
        ports=new,
        windows=windows,
        cold=tuple(_in_the_way(root)),
        hard_limit=_lock(root, slots).hard_limit,
        wide=_needs_width(root, _prefetchable(windows)),
    )
    return wanted, tuple(_said(root, name, wanted, version))


def _machine(root: Element) -> str:
    kind = root.find("os/type")
    return kind.get("machine", "") if kind is not None else ""


def _is_i440fx(machine: str) -> bool:
    return "i440fx" in machine or machine == "pc"


def _free_ports(root: Element) -> tuple[int, ...]:
    used = {bus for _, bus, _, _ in addresses(root)}
    return tuple(
        index
        for index, one in sorted(controllers(root).items())
        if index not in used and (one.find("target[@hotplug='off']") is None)
    )


def _new_ports(root: Element, wanted: int) -> tuple[RootPort, ...] | None:
    """Eight functions in each slot of the root bus that nobody has; None: there are not so many."""
    taken = {slot for _, bus, slot, _ in addresses(root) if bus == 0}
    indexes = {number(one.get("index")) for one in root.iterfind("devices/controller[@type='pci']")}
    chassis = {number(one.get("chassis")) for one in root.iterfind("devices/controller/target")}
    places = [(slot, function) for slot in _SLOTS if slot not in taken for function in range(8)]
    buses = [index for index in _BUSES if index not in indexes | chassis]
    if wanted > min(len(places), len(buses)):
        return None
    found = places[: max(wanted, 0)]
    several = {slot for slot, function in found if function}
    return tuple(
        RootPort(index=index, slot=slot, function=function, first=not function and slot in several)
        for index, (slot, function) in zip(buses, found, strict=False)
    )


def _windows(have: dict[tuple[int, str], int], ports: tuple[int, ...], largest_bar: int) -> Iterator[Window]:
    """Registers of a GPU lie in a 32-bit BAR: the room below 4 GiB is for all ports together."""
    memory = min(KEPT_BELOW, 1 << (_BELOW // max(len(ports), 1)).bit_length() - 1)
    prefetchable = _power_of_two(largest_bar)
    for index in ports:
        if have.get((index, MEMORY), 0) < memory:
            yield Window(index=index, kept="mem-reserve", size=memory)
        if prefetchable > _LEAST and have.get((index, PREFETCHABLE), 0) < prefetchable:
            yield Window(index=index, kept="pref64-reserve", size=prefetchable)


def _prefetchable(windows: tuple[Window, ...]) -> int:
    return sum(window.size for window in windows if window.kept == PREFETCHABLE)


def _in_the_way(root: Element) -> Iterator[int]:
    """Ports of what the guest was started with: it could throw its own disk out."""
    there = addresses(root)
    for index, controller in sorted(controllers(root).items()):
        tags = {device.tag for (_, bus, _, _), device in there.items() if bus == index}
        if tags and tags <= _ITS_OWN and controller.find("target[@hotplug='off']") is None:
            yield index


def _lock(root: Element, slots: int) -> Preparation:
    """libvirt lets a guest of VFIO lock its memory and 1 GiB by itself, unless a limit says less
    (qemu_domain.c, qemuDomainGetMemLockLimitBytes); behind a vIOMMU its memory once for each device."""
    limit, memory = root.find("memtune/hard_limit"), root.find("memory")
    if limit is None or memory is None:
        return Preparation()
    times = max(1, slots) if root.find("devices/iommu") is not None else 1
    need = number((memory.text or "").strip()) * times + _GIB // _KIB
    return Preparation(hard_limit=need) if number((limit.text or "").strip()) < need else Preparation()


def _needs_width(root: Element, windows: int) -> bool:
    cpu = root.find("cpu")
    mode = cpu.get("mode") if cpu is not None else None
    said = root.find("cpu/maxphysaddr") is not None
    return (
        windows > (1 << _BITS) // _SHARE
        and root.get("type") == "kvm"
        and mode in ("host-passthrough", "host-model", "maximum")
        and not said
    )


def _said(
    root: Element, name: str, wanted: Preparation, version: tuple[int, int, int] | None
) -> Iterator[Finding]:
    if wanted.windows and version is not None and version < _OVERRIDE_SINCE:
        spelled = ".".join(map(str, version))
        yield Finding(
            message=f"libvirt {spelled} cannot give a port a larger window: <qemu:override> came with 8.2",
            remedy="upgrade libvirt, or leave --largest-bar out",
        )
    total = _prefetchable(wanted.windows)
    room = (1 << _BITS) // _SHARE
    if total > room and not wanted.wide and root.find("cpu/maxphysaddr") is None:
        megabytes = _power_of_two(total) >> 19  # twice as much: others need room, too
        yield Finding(
            message=f"{name}'s processor has {_BITS} address bits: of the {size_text(total)} wanted "
            f"its firmware has room for {size_text(room)}",
            remedy="<cpu mode='host-passthrough'> of a KVM guest gets the host's bits; with OVMF: <qemu:arg "
            f"value='-fw_cfg'/><qemu:arg value='name=opt/ovmf/X-PciMmio64Mb,string={megabytes}'/>",
            fatal=False,
        )
    if wanted and root.find("memoryBacking/hugepages") is None and root.get("type") == "kvm":
        yield Finding(
            message=f"{name}'s memory is of small pages: the first device is attached faster with huge ones",
            remedy="<memoryBacking><hugepages/></memoryBacking>, where the host has set some aside",
            fatal=False,
        )


def _i440fx(root: Element, name: str, slots: int, largest_bar: int) -> Iterator[Finding]:
    """One plugs into its root bus; nothing there has a window of its own (QEMU docs/pci-hotplug.rst)."""
    free = len(_SLOTS) + 1 - len({slot for _, bus, slot, _ in addresses(root) if bus == 0 and slot})
    if free < slots:
        yield Finding(
            message=f"{name} has {free} free slots on its root bus, not {slots}",
            remedy=f"take devices out: virsh edit {name}",
        )
    if largest_bar > _LEAST:
        yield Finding(
            message=f"{name} is an i440fx: no setting makes room for a BAR of {size_text(largest_bar)} there",
            remedy="use q35; or see what its firmware left: gpupass domain check",
            fatal=False,
        )


def _confidential(name: str) -> Finding:
    return Finding(
        message=f"{name} is a confidential guest: nothing can be plugged into one",
        remedy="write the device into the definition of a guest without <launchSecurity>",
    )


def _full(name: str, slots: int) -> Finding:
    return Finding(
        message=f"{name} has no place on its root bus for ports for {slots} devices",
        remedy=f"fewer --slots, or take devices out: virsh edit {name}",
    )


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length() if size > 0 else 0
