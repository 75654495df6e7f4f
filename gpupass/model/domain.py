"""A libvirt domain as far as handing it a device goes."""

from enum import StrEnum

from msgspec import Struct

from gpupass.model.address import Address
from gpupass.model.options import DEFAULT, VFIO, Options

QEMU = "qemu:///system"  # the libvirt that is asked unless another is named


class DomainState(StrEnum):
    """libvirt's virDomainState, the ones that matter here."""

    RUNNING = "running"
    PAUSED = "paused"
    SHUT_OFF = "shut off"
    CRASHED = "crashed"  # on_crash preserve: its QEMU is there and has its devices
    PMSUSPENDED = "suspended by the guest"
    SHUTTING_DOWN = "shutting down"
    OTHER = "other"


class Written(StrEnum):
    """How a domain's XML, or a QEMU's command line, names a function that the guest drives."""

    HOSTDEV = "hostdev"
    INTERFACE = "interface"  # <interface type='hostdev'>
    NVME_DISK = "nvme-disk"  # <disk type='nvme'>: QEMU drives it by VFIO
    QEMU_ARGUMENT = "qemu-argument"  # <qemu:commandline>, which libvirt does not look into


class PartKind(StrEnum):
    """What of the host a domain stands on beside the functions that it has."""

    DISK = "disk"  # a block device, or a file on one
    INTERFACE = "interface"
    NODE = "node"  # any other device file
    SCSI_HOST = "scsi-host"
    USB_BUS = "usb-bus"


class HostPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One such part; `name` is a path, an interface or a number, `target` what the domain calls it."""

    kind: PartKind
    name: str
    target: str = ""


class Manager(StrEnum):
    """Who else gives some domains their devices."""

    NOVA = "nova"  # OpenStack
    OVIRT = "ovirt"
    KUBEVIRT = "kubevirt"
    OPENNEBULA = "opennebula"


class Hostdev(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `<hostdev>`: a PCI function by its address, or a mediated device by its UUID.

    `guest` is its address inside the guest, None when unassigned.
    """

    address: Address | None = None
    mdev: str | None = None
    alias: str | None = None
    managed: bool = False
    guest: Address | None = None
    multifunction: bool = False
    unassigned: bool = False
    ramfb: bool = False  # QEMU's vfio-pci-nohotplug
    written: Written = Written.HOSTDEV
    target: str = ""  # vda, where it is written as a disk
    rom: str = DEFAULT  # a path, none or default
    driver: str = VFIO  # or iommufd

    def is_of(self, address: Address, mdev: str | None = None) -> bool:
        """Is it this function, or that mediated device of it?"""
        return self.address == address if mdev is None else self.mdev == mdev

    def lacks(self, options: Options) -> Options:
        """Those of the options in the XML that it has otherwise."""
        return Options(
            rom=options.rom if options.rom != self.rom else None,
            guest_address=options.guest_address if options.guest_address != self.guest else None,
            driver=options.driver if options.driver != self.driver else None,
        )


class Port(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place a PCI device can be plugged into: a pcie-root-port or downstream port.

    The windows (bytes) are what the guest's firmware left room for; None: not known.
    """

    index: int  # the bus it makes
    hotplug: bool
    occupied: bool
    memory_window: int | None = None
    prefetchable_window: int | None = None


class Domain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Memory in KiB, as libvirt counts it."""

    name: str
    uuid: str
    state: DomainState
    autostart: bool = False
    live: tuple[Hostdev, ...] = ()
    config: tuple[Hostdev, ...] = ()
    parts: tuple[HostPart, ...] = ()  # of the live XML
    config_parts: tuple[HostPart, ...] = ()
    machine: str = ""
    memory: int = 0
    resident: int | None = None  # what of it is in the host's memory now
    hard_limit: int | None = None
    locked: bool = False
    viommu: bool = False
    ports: tuple[Port, ...] = ()
    taken: tuple[Address, ...] = ()  # PCI addresses of the guest that something has
    conventional_bus: bool = False  # it has a bus for conventional PCI devices
    numa_nodes: tuple[int, ...] = ()  # host nodes its memory is bound to
    manager: Manager | None = None
    job: str | None = None  # "migration", "save", …: a job that forbids device changes
    run: str = ""  # its number, another one at each start; "": it has no QEMU
    transient: bool = False  # nothing is left of it when it stops

    @property
    def active(self) -> bool:
        return self.state in (DomainState.RUNNING, DomainState.PAUSED)
