"""One look at a host: its PCI functions, its libvirt domains, who uses what, and what could not be seen."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cached_property
from typing import Protocol, TypeVar, overload

from msgspec import Struct, field
from msgspec.structs import replace

from gpupass.model.accelerators import KNOWN
from gpupass.model.address import Address, Name
from gpupass.model.amd import Amd, Gim
from gpupass.model.domain import Domain
from gpupass.model.identity import Identity
from gpupass.model.intel import Intel
from gpupass.model.mark import M, Mark, MarkKey, tag_of
from gpupass.model.mdev import Mdev, MdevBus, MdevType
from gpupass.model.mig import MigState
from gpupass.model.nodes import Nodes
from gpupass.model.seen import S, Seen
from gpupass.model.user import User
from gpupass.model.vf_link import VfLink


class Change(Protocol):
    """What changes a host: a step."""

    @property
    def marks(self) -> tuple[Mark, ...]: ...
    @property
    def forgets(self) -> tuple[MarkKey, ...]: ...
    def after(self, host: "Host") -> "Host": ...


class Bar(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One base address register; `sizes` are the bytes a resizable BAR could have."""

    index: int
    size: int
    prefetchable: bool
    is_64bit: bool
    is_io: bool = False
    sizes: tuple[int, ...] = ()


class Link(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """PCIe link, speeds as the kernel words them ("16.0 GT/s PCIe")."""

    speed: str
    width: int
    max_speed: str
    max_width: int


class Sriov(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A physical function's virtual functions (sysfs-bus-pci: sriov_*, virtfn*)."""

    total: int
    enabled: int
    autoprobe: bool
    vfs: tuple[Address, ...] = ()  # by number
    offset: int | None = None  # routing id of VF 0, counted from the PF's …
    stride: int | None = None  # … and from one VF to the next
    vf_device: int | None = None  # the VFs' device id


def vf_address(pf: Address, sriov: Sriov, number: int) -> Address | None:
    """Where VF `number` will be: PF + offset + number x stride (PCIe SR-IOV, First VF Offset, VF Stride)."""
    if not sriov.offset or sriov.stride is None or (number and not sriov.stride):
        return None  # with no VFs enabled a device need not know (PCIe SR-IOV, NumVFs)
    domain, bus, rest = pf.split(":")
    slot, _, function = rest.partition(".")
    routing_id = (int(bus, 16) << 8 | int(slot, 16) << 3 | int(function)) + sriov.offset
    routing_id += number * sriov.stride
    return Address(f"{domain}:{routing_id >> 8:02x}:{routing_id >> 3 & 31:02x}.{routing_id & 7}")


class VgpuType(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of creatable_vgpu_types; ids are those of one physical card."""

    id: int
    name: str  # "A100-4C": without "NVIDIA " or "GRID "


class Vgpu(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A VF that NVIDIA's driver itself lends (vendor-specific VFIO: VF/nvidia/ in sysfs)."""

    current: int = 0  # id of its type; 0: it has none and cannot be opened
    creatable: tuple[VgpuType, ...] = ()
    params: str = ""
    instance: int | None = None  # id of the GPU instance that its vGPU is on
    told: bool = True  # False: what it offers is to be seen when some steps are done


class VgpuCard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a card with vGPUs has for all of them; None: its driver does not tell."""

    mixed: bool | None = None  # may several sizes share it (heterogeneous mode)?
    scheduler: str | None = None  # how they take turns: best-effort, equal-share, fixed-share
    types: tuple[VgpuType, ...] = ()  # all it could ever have; (): the driver does not tell


class Acs(StrEnum):
    """Does this port or function keep its peers apart (PCI_ACS_SV|RR|CR|UF all enabled)?"""

    ENABLED = "enabled"
    MISSING = "missing"
    UNKNOWN = "unknown"  # extended configuration space could not be read


class Nvidia(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What NVML says of a GPU that the nvidia driver runs; memory in MiB."""

    uuid: str
    serial: str | None = None
    name: str | None = None  # its product name
    part_number: str | None = None  # of the board
    mig_mode: str | None = field(
        default=None, name="mig"
    )  # "enabled", "disabled", "enabled (pending: disabled)", None: not capable
    memory_total: int | None = None
    memory_used: int | None = None
    persistence: bool | None = None
    minor: int | None = None
    mig: MigState | None = field(default=None, name="cut")  # None: not capable of MIG, or …
    mig_unseen: str = field(default="", name="cut_unseen")  # … why that is not known
    vgpu_card: VgpuCard | None = None


class Detail(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The facts that cost many reads; only functions somebody asked about have them."""

    revision: int = 0
    host_driver: str | None = None  # what the kernel would bind without an override
    driver_override: str | None = None
    numa_node: int | None = None
    boot_display: bool = False
    express: bool = True  # False: conventional PCI, which no PCIe port takes
    link: Link | None = None
    bars: tuple[Bar, ...] = ()
    reset_methods: tuple[str, ...] = ()
    power_state: str | None = None  # D0, D3hot, D3cold, unknown
    runtime_status: str | None = None  # active, suspended
    sriov: Sriov | None = None
    mdev_types: tuple[MdevType, ...] = ()
    mdevs: tuple[Mdev, ...] = ()  # alive on this parent
    vgpu: Vgpu | None = None
    serial: str | None = None  # PCIe Device Serial Number, or the vendor's
    acs: Acs = Acs.UNKNOWN
    multifunction: bool = False
    responds: bool = True  # False: configuration space reads all ones
    nvidia: Nvidia | None = None
    intel: Intel | None = None
    amd: Amd | None = None
    gim: Gim | None = None


def lends(driver: str) -> bool:
    """vfio-pci or a variant of it (mlx5_vfio_pci, nvgrace-gpu-vfio-pci, …): such a driver wants the group."""
    return driver.replace("-", "_").endswith("vfio_pci")


class Device(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One PCI function."""

    address: Address
    vendor: int
    device: int
    class_code: int  # 24 bit: base, sub, interface
    driver: str | None = None
    group: int | None = None  # IOMMU group
    parent: Address | None = None  # the bridge above
    physfn: Address | None = None  # the PF, when this is a VF
    subsystem: str = ""  # vendor:device of the board
    slot: str | None = None  # physical slot name
    lends_itself: bool = False  # its own driver lends it, without vfio-pci: a VF of NVIDIA's vGPU
    name: str = ""  # hardware database, or vendor:device
    detail: Detail | None = None
    users: tuple[User, ...] = ()

    @property
    def facts(self) -> Detail:
        """The detail; asking for it where it was not read is a bug of the caller."""
        if self.detail is None:
            raise LookupError(f"{self.address} was observed without detail")
        return self.detail

    @property
    def on_vfio(self) -> bool:
        """vfio-pci, one of its variants (nvgrace_gpu_vfio_pci, mlx5_vfio_pci, …), or a driver like them."""
        return self.lends_itself or lends(self.driver or "")

    @property
    def is_bridge(self) -> bool:
        """Part of the bus or the chipset. "Other bridge" (0680) is an endpoint: an NVSwitch is one."""
        return self.class_code >> 16 == 0x06 and self.class_code >> 8 != 0x0680

    @property
    def is_gpu(self) -> bool:
        """A display, or an accelerator."""
        return self.class_code >> 16 == 0x03 or self.is_accelerator

    @property
    def is_accelerator(self) -> bool:
        return self.class_code >> 16 == 0x12 or (self.vendor, self.device) in KNOWN

    @property
    def is_network(self) -> bool:
        return self.class_code >> 16 == 0x02

    @property
    def is_storage(self) -> bool:
        """Mass storage, and what it is behind: Fibre Channel (0c04), a card reader or eMMC (0805)."""
        return self.class_code >> 16 == 0x01 or self.class_code >> 8 in (0x0C04, 0x0805)

    @property
    def ids(self) -> str:
        return f"{self.vendor:04x}:{self.device:04x}"

    @property
    def identity(self) -> Identity:
        """As far as it was looked at."""
        serial = self.detail.serial if self.detail is not None else None
        return Identity(ids=self.ids, subsystem=self.subsystem, serial=serial or "")


Base = Device | MdevBus  # what everything is cut from in the end
B = TypeVar("B", Device, MdevBus)


class OfBoth(Protocol):
    """What changes about mediated devices, whatever their parent is."""

    def __call__(self, parent: B, /) -> B: ...


class Iommu(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`remapping` None: the kernel did not let us see.

    `direct` are regions of a group that its firmware wants mapped one to one (RMRR, IVMD, RMR): the kernel
    refuses every attach of a group with such (iommu.c, require_direct). (group, "0xbdf6e000-0xbdf82fff").
    `strangers` are what a group holds beside PCI functions and a host driver runs: (group, name, driver).
    """

    enabled: bool
    interrupt_remapping: bool | None = None
    unsafe_interrupts: bool = False  # allow_unsafe_interrupts: VFIO does without remapping
    direct: tuple[tuple[int, str], ...] = ()
    strangers: tuple[tuple[int, str, str], ...] = ()


NVIDIA = "nvidia"  # the driver
SRIOV_MANAGE = "/usr/lib/nvidia/sriov-manage"  # NVIDIA's script for VFs


class Host(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Everything one observation saw."""

    devices: tuple[Device, ...]  # sorted by address
    mdev_buses: tuple[MdevBus, ...] = ()
    domains: tuple[Domain, ...] = ()
    iommu: Iommu = field(default_factory=lambda: Iommu(enabled=False))
    boot_id: str = ""
    machine_id: str = ""
    kernel: str = ""
    libvirt: tuple[int, int, int] | None = None  # its version, where a device asks for one
    sriov_manage: bool = False  # SRIOV_MANAGE is installed
    vendor_reset: bool = False  # the module of that name is loaded, which brings device_specific
    nvidia_ctk: bool | None = None  # its program for containers is; None: nobody asked, or a record is silent
    available_memory: int | None = None  # bytes (MemAvailable)
    marks: tuple[Mark, ...] = ()  # what gpupass remembers: claims, quarantine, origins, what it made
    seen: tuple[Seen, ...] = ()  # what only ways to share a GPU look at
    nodes: Nodes | None = None  # device files, where somebody asked for them
    awake: frozenset[Address] = frozenset()  # who may never sleep (power/control), where somebody asked
    links: dict[Address, VfLink] = field(default_factory=dict)  # of network VFs, where somebody asked
    roms: dict[str, str | None] = field(default_factory=dict)  # why a file is none, where somebody asked
    stoppable: tuple[str, ...] = ()  # names of what may be stopped for a change
    unseen: tuple[str, ...] = ()  # "libvirt: not running", …

    @cached_property
    def _by_address(self) -> dict[Address, Device]:
        return {device.address: device for device in self.devices}

    @cached_property
    def _groups(self) -> dict[int, tuple[Device, ...]]:
        groups: dict[int, list[Device]] = {}
        for device in self.devices:
            if device.group is not None:
                groups.setdefault(device.group, []).append(device)
        return {number: tuple(members) for number, members in sorted(groups.items())}

    @cached_property
    def _functions(self) -> dict[Address, tuple[Device, ...]]:
        functions: dict[Address, list[Device]] = {}
        for device in self.devices:
            if device.physfn is not None:
                functions.setdefault(device.physfn, []).append(device)
        return {pf: tuple(vfs) for pf, vfs in functions.items()}

    def device(self, address: Name) -> Device | None:
        return self._by_address.get(Address(address))

    @property
    def carriers(self) -> tuple[Base, ...]:
        return (*self.devices, *self.mdev_buses)

    @cached_property
    def _buses(self) -> dict[Address, MdevBus]:
        return {bus.address: bus for bus in self.mdev_buses}

    def carrier(self, address: Name) -> Base | None:
        """A function, or a parent of mediated devices that is none."""
        return self._by_address.get(Address(address)) or self._buses.get(Address(address))

    def devices_at(self, addresses: Iterable[Name]) -> tuple[Device, ...]:
        """The functions that are there, in the order asked for."""
        return tuple(found for address in addresses if (found := self.device(address)) is not None)

    def identities(self, addresses: Iterable[Address]) -> dict[Address, Identity]:
        """Of the functions among them that are there."""
        return {one.address: one.identity for one in self.devices_at(addresses)}

    @property
    def groups(self) -> dict[int, tuple[Device, ...]]:
        return self._groups

    @overload
    def group_of(self, device: Device) -> tuple[Device, ...]: ...
    @overload
    def group_of(self, device: MdevBus) -> tuple[MdevBus, ...]: ...
    def group_of(self, device: Base) -> tuple[Base, ...]:
        """All members of the device's IOMMU group, itself included; itself alone where it is in none."""
        group = device.group if isinstance(device, Device) else None
        return (device,) if group is None else self._groups[group]

    def altered(self, address: Address, change: Callable[[Device], Device]) -> "Host":
        """With another device of this address, where there is one."""
        devices = tuple(change(one) if one.address == address else one for one in self.devices)
        return replace(self, devices=devices)

    def with_device(self, device: Device) -> "Host":
        """Seen otherwise, at the same address."""
        return self.altered(device.address, lambda _: device)

    def altered_parent(self, address: Address, change: OfBoth) -> "Host":
        """With another device, or another parent of mediated devices, of this address."""
        if address not in self._buses:
            return self.altered(address, change)
        buses = tuple(change(one) if one.address == address else one for one in self.mdev_buses)
        return replace(self, mdev_buses=buses)

    def linked(self, vf: Address, setting: str, value: str) -> "Host":
        """With another link of this virtual function."""
        link = self.links.get(vf)
        return (
            replace(self, links=self.links | {vf: link.having(setting, value)}) if link is not None else self
        )

    def altered_domain(self, uuid: str, change: Callable[[Domain], Domain]) -> "Host":
        return replace(self, domains=tuple(change(one) if one.uuid == uuid else one for one in self.domains))

    def functions_of(self, pf: Name) -> tuple[Device, ...]:
        """The virtual functions of a physical one that are there, by address."""
        return self._functions.get(Address(pf), ())

    def domain(self, name_or_uuid: str) -> Domain | None:
        return next((d for d in self.domains if name_or_uuid in (d.name, d.uuid)), None)

    @cached_property
    def _marks(self) -> dict[MarkKey, Mark]:
        return {mark.key: mark for mark in self.marks}

    @cached_property
    def _marks_of(self) -> dict[Name, tuple[Mark, ...]]:
        found: dict[Name, list[Mark]] = {}
        for mark in self.marks:
            found.setdefault(mark.carrier, []).append(mark)
        return {carrier: tuple(marks) for carrier, marks in found.items()}

    def mark(self, kind: type[M], carrier: Name, part: str = "") -> M | None:
        """About the carrier itself, or about one part of it."""
        found = self._marks.get((tag_of(kind), carrier, part))
        return found if isinstance(found, kind) else None

    def mark_of_this_boot(self, kind: type[M], carrier: Name, part: str = "") -> M | None:
        """What is remembered of drivers, VFs and mdevs tells nothing once the host has booted anew."""
        found = self.mark(kind, carrier, part)
        return found if found is not None and found.boot_id == self.boot_id else None

    def marks_of(self, kind: type[M], carrier: Name) -> tuple[M, ...]:
        """About every part of it."""
        return tuple(mark for mark in self._marks_of.get(carrier, ()) if isinstance(mark, kind))

    @cached_property
    def _seen(self) -> dict[tuple[type[Seen], Name], Seen]:
        return {(type(one), one.carrier): one for one in self.seen}

    def sight(self, kind: type[S], carrier: Name) -> S | None:
        """What a way sees of it, as `kind` is of that way."""
        found = self._seen.get((kind, carrier))
        return found if isinstance(found, kind) else None

    def seeing(self, *found: Seen) -> "Host":
        """With this in the place of what was seen of the same carriers."""
        new = {(type(one), one.carrier): one for one in found}
        return replace(self, seen=tuple((self._seen | new).values())) if new else self

    def known(self, keys: Iterable[MarkKey]) -> tuple[MarkKey, ...]:
        """Those of the keys that there is a mark of."""
        return tuple(key for key in keys if key in self._marks)

    def after(self, steps: "Iterable[Change]") -> "Host":
        """The host as it will be after some steps, so that one plan can stand on another."""
        host = self
        for step in steps:
            host = step.after(host).marked(step.marks, step.forgets)
        return host

    def marked(self, marks: Iterable[Mark], forgets: Iterable[MarkKey]) -> "Host":
        gone, new = {*forgets}, {mark.key: mark for mark in marks}
        if not gone and not new:
            return self
        known = {key: mark for key, mark in self._marks.items() if key not in gone}
        return replace(self, marks=tuple((known | new).values()))
