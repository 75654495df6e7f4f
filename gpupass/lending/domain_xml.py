"""libvirt domain XML as text → the parts of a Domain that matter for handing it a device; pure."""

import re
from collections.abc import Iterator
from functools import lru_cache
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from msgspec import Struct

from gpupass.lending.managers import manager_of
from gpupass.lending.qemu_arguments import read_arguments
from gpupass.model.address import Address
from gpupass.model.domain import Domain, DomainState, Hostdev, HostPart, Manager, PartKind, Port, Written
from gpupass.model.options import DEFAULT, IOMMUFD, NONE, VFIO

_KIB = {"b": 1 / 1024, "bytes": 1 / 1024, "kb": 1000 / 1024, "k": 1, "kib": 1, "mb": 1000**2 / 1024}
_KIB |= {"m": 1 << 10, "mib": 1 << 10, "gb": 1000**3 / 1024, "g": 1 << 20, "gib": 1 << 20}
_KIB |= {"tb": 1000**4 / 1024, "t": 1 << 30, "tib": 1 << 30}
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
MEMORY, PREFETCHABLE = "mem-reserve", "pref64-reserve"  # of QEMU's pcie-root-port: bytes kept behind it
_ARGUMENTS = f"{{{QEMU}}}commandline/{{*}}arg"
_OVERRIDES = f"{{{QEMU}}}override/{{{QEMU}}}device"
_RESERVED = f"{{{QEMU}}}frontend/{{{QEMU}}}property"
_PLUGGABLE = ("pcie-root-port", "pcie-switch-downstream-port")
_CONVENTIONAL = ("pci-root", "pci-bridge", "dmi-to-pci-bridge", "pcie-to-pci-bridge")


class Definition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one XML document, live or persistent, says."""

    hostdevs: tuple[Hostdev, ...] = ()
    parts: tuple[HostPart, ...] = ()
    machine: str = ""
    memory: int = 0  # KiB
    hard_limit: int | None = None  # KiB
    locked: bool = False
    viommu: bool = False
    ports: tuple[Port, ...] = ()
    taken: tuple[Address, ...] = ()
    conventional_bus: bool = False
    numa_nodes: tuple[int, ...] = ()
    manager: Manager | None = None
    run: str = ""


@lru_cache(maxsize=256)  # from one look to the next most are the same
def parse_definition(xml: str) -> Definition:
    """ValueError when the text is not the XML of a domain."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ValueError(f"not well-formed: {error}") from None
    if root.tag != "domain":
        raise ValueError(f"expected <domain>, not <{root.tag}>")
    arguments = read_arguments([arg.get("value", "") for arg in root.iterfind(_ARGUMENTS)])
    return Definition(
        hostdevs=(*(one for _, one in _hostdevs(root)), *_nvme_disks(root), *arguments.hostdevs),
        parts=tuple(dict.fromkeys((*_parts(root), *arguments.parts))),
        machine=_attribute(root.find("os/type"), "machine"),
        memory=_kib(root.find("memory")) or 0,
        hard_limit=_kib(root.find("memtune/hard_limit")),
        locked=root.find("memoryBacking/locked") is not None,
        viommu=root.find("devices/iommu") is not None,
        ports=tuple(_ports(root)),
        taken=tuple(filter(None, map(_address, root.iterfind("devices/*/address[@type='pci']")))),
        conventional_bus=any(
            controller.get("model") in _CONVENTIONAL
            for controller in root.iterfind("devices/controller[@type='pci']")
        ),
        numa_nodes=_numa_nodes(root),
        manager=manager_of(root),
        run=root.get("id", ""),
    )


def parse_domain(
    *,
    name: str,
    uuid: str,
    state: DomainState,
    autostart: bool = False,
    live: str | None = None,
    config: str | None = None,
    job: str | None = None,
    resident: int | None = None,
) -> Domain:
    """One domain from its live and its persistent XML; the live one decides where both say something."""
    running = parse_definition(live) if live else None
    persistent = parse_definition(config) if config else None
    decisive = running or persistent or Definition()
    return Domain(
        name=name,
        uuid=uuid,
        state=state,
        autostart=autostart,
        live=running.hostdevs if running else (),
        config=persistent.hostdevs if persistent else (),
        parts=running.parts if running else (),
        config_parts=persistent.parts if persistent else (),
        machine=decisive.machine,
        memory=decisive.memory,
        resident=resident,
        hard_limit=decisive.hard_limit,
        locked=decisive.locked,
        viommu=decisive.viommu,
        ports=decisive.ports,
        taken=decisive.taken,
        conventional_bus=decisive.conventional_bus,
        numa_nodes=decisive.numa_nodes,
        manager=decisive.manager,
        job=job,
        run=running.run if running else "",
        transient=config is None,
    )


def hostdev_of(xml: str, address: Address, mdev: str | None = None) -> tuple[str, Hostdev] | None:
    """The element that gives the domain this function, or that mediated device of it, and what it says.

    ValueError as of `parse_definition`.
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ValueError(f"not well-formed: {error}") from None
    for element, hostdev in _hostdevs(root):
        if hostdev.is_of(address, mdev):
            return ElementTree.tostring(element, encoding="unicode").strip(), hostdev
    return None


def _hostdevs(root: Element) -> Iterator[tuple[Element, Hostdev]]:
    """`<hostdev type='pci'>`, its SR-IOV spelling `<interface type='hostdev'>`, `<hostdev type='mdev'>`."""
    for element in root.iterfind("devices/*"):
        kind = (element.tag, element.get("type"))
        source = element.find("source/address")
        host = _address(source) if kind in (("hostdev", "pci"), ("interface", "hostdev")) else None
        mdev = _attribute(source, "uuid").lower() if kind == ("hostdev", "mdev") else ""
        if host is None and not mdev:
            continue
        guest = element.find("address")
        hostdev = Hostdev(
            address=host,
            mdev=mdev or None,
            alias=_attribute(element.find("alias"), "name") or None,
            managed=element.get("managed") == "yes",
            guest=_address(guest),
            multifunction=_attribute(guest, "multifunction") == "on",
            unassigned=_attribute(guest, "type") == "unassigned",
            ramfb=element.get("ramfb") == "on",
            written=Written.INTERFACE if element.tag == "interface" else Written.HOSTDEV,
            rom=_rom(element.find("rom")),
            driver=IOMMUFD if _attribute(element.find("driver"), "iommufd") == "yes" else VFIO,
        )
        yield element, hostdev


def _rom(rom: Element | None) -> str:
    if _attribute(rom, "bar") == "off" or _attribute(rom, "enabled") == "no":
        return NONE
    return _attribute(rom, "file") or DEFAULT


def _nvme_disks(root: Element) -> Iterator[Hostdev]:
    """`<disk type='nvme'>`, also as a backing store, a mirror or a slice: QEMU drives the whole function."""
    for disk in root.iterfind("devices/disk"):
        for source in disk.iter("source"):
            host = _address(source.find("address")) if source.get("type") == "pci" else None
            if host is not None:
                yield Hostdev(
                    address=host,
                    alias=_attribute(disk.find("alias"), "name") or None,
                    managed=source.get("managed") == "yes",
                    guest=_address(disk.find("address")),
                    written=Written.NVME_DISK,
                    target=_attribute(disk.find("target"), "dev"),
                )


_PATHS = ("dev", "file", "path", "evdev", "rendernode")  # attributes that name a file of the host
_TEXTS = ("path", "backend", "block", "char")  # <memory model='nvdimm'>, <rng>, <hostdev mode='capabilities'>


def _parts(root: Element) -> Iterator[HostPart]:
    """What the devices below name of the host: disks, interfaces, device files, whole buses."""
    for device in root.iterfind("devices/*"):
        target = _attribute(device.find("target"), "dev")
        source = device.find("source")
        if device.tag == "interface" and _attribute(source, "dev") and device.get("type") == "direct":
            yield HostPart(kind=PartKind.INTERFACE, name=_attribute(source, "dev"), target=target)
        elif device.tag == "hostdev" and device.get("type") == "net":
            yield HostPart(kind=PartKind.INTERFACE, name=(device.findtext("source/interface") or "").strip())
        elif device.tag == "hostdev" and device.get("type") == "scsi":
            name = _attribute(device.find("source/adapter"), "name")
            if name:  # iSCSI has none
                yield HostPart(kind=PartKind.SCSI_HOST, name=name.removeprefix("scsi_"))
        elif device.tag == "hostdev" and device.get("type") == "usb":
            bus = _number(_attribute(device.find("source/address"), "bus"))
            if bus is not None:
                yield HostPart(kind=PartKind.USB_BUS, name=str(bus))
        kind = PartKind.DISK if device.tag in ("disk", "filesystem") else PartKind.NODE
        for path in _host_paths(device):
            if kind is PartKind.DISK or path.startswith("/dev/"):
                yield HostPart(kind=kind, name=path, target=target)


def _host_paths(device: Element) -> Iterator[str]:
    for element in device.iter():
        if element.tag == "target":
            continue  # what the guest sees
        for path in (*(element.get(name) for name in _PATHS), element.text if element.tag in _TEXTS else ""):
            if path and path.strip().startswith("/"):
                yield path.strip()


def _ports(root: Element) -> Iterator[Port]:
    used = {_number(address.get("bus")) for address in root.iterfind("devices/*/address[@type='pci']")}
    windows = reserved(root)
    for controller in root.iterfind("devices/controller[@type='pci']"):
        index = _number(controller.get("index"))
        if controller.get("model") in _PLUGGABLE and index is not None:
            hotplug = _attribute(controller.find("target"), "hotplug") != "off"
            yield Port(
                index=index,
                hotplug=hotplug,
                occupied=index in used,
                memory_window=windows.get((index, MEMORY)),
                prefetchable_window=windows.get((index, PREFETCHABLE)),
            )


def reserved(root: Element) -> dict[tuple[int, str], int]:
    """Bytes that the firmware is asked to keep free, by the bus of their port and MEMORY or PREFETCHABLE."""
    found: dict[tuple[int, str], int] = {}
    for controller in root.iterfind("devices/controller[@type='pci']"):
        index, kept = _number(controller.get("index")), _attribute(controller.find("target"), "memReserve")
        if index is not None and kept.isdecimal():
            found[index, MEMORY] = int(kept) << 10
    return found | overridden(root)


def overridden(root: Element) -> dict[tuple[int, str], int]:
    """Those of <qemu:override>, which come after libvirt's own element."""
    found: dict[tuple[int, str], int] = {}
    for device in root.iterfind(_OVERRIDES):
        index = _number(device.get("alias", "").removeprefix("pci."))  # libvirt's alias of the controller
        for told in device.iterfind(_RESERVED):
            name, size = told.get("name", ""), _number(told.get("value"))
            if index is not None and size is not None and name in (MEMORY, PREFETCHABLE):
                found[index, name] = size
    return found


def _numa_nodes(root: Element) -> tuple[int, ...]:
    nodes: set[int] = set()
    for element in root.iterfind("numatune/*"):
        nodes |= parse_list(element.get("nodeset") or "")
    return tuple(sorted(nodes))


_MOST = 1 << 16  # processors, or NUMA nodes


def parse_list(text: str) -> frozenset[int]:
    """libvirt's and the kernel's "0-3,^2,8"; what is no number is not counted."""
    numbers: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, _, last = part.removeprefix("^").partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            continue
        span = range(int(first[:6]), min(int((last or first)[:6]) + 1, _MOST))
        if part.startswith("^"):
            numbers.difference_update(span)
        else:
            numbers.update(span)
    return frozenset(numbers)


def _address(element: Element | None) -> Address | None:
    """A PCI address element; libvirt leaves parts that are zero out in what people write."""
    if element is None or element.get("type", "pci") != "pci":
        return None
    domain, bus, slot, function = (
        _number(element.get(name, "0")) for name in ("domain", "bus", "slot", "function")
    )
    if domain is None or bus is None or slot is None or function is None or element.get("bus") is None:
        return None
    return Address(f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}")


def _attribute(element: Element | None, name: str) -> str:
    return "" if element is None else element.get(name, "")


def _number(text: str | None) -> int | None:
    """As C reads it: 0x10, 16, 020."""
    text = text or ""
    try:
        return int(text, 8 if re.fullmatch("0[0-7]+", text) else 0)
    except ValueError:
        return None


def _kib(element: Element | None) -> int | None:
    if element is None or not (element.text or "").strip().isdecimal():
        return None
    return int(int((element.text or "0").strip()) * _KIB.get(element.get("unit", "KiB").lower(), 1))
