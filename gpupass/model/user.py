"""Who can hold a device, or a part of one."""

from enum import StrEnum

from msgspec import Struct


class UserKind(StrEnum):
    """Who can hold a device."""

    DOMAIN = "domain"  # in a domain's live XML
    DOMAIN_CONFIG = "domain-config"  # in a domain's persistent XML
    VM = "vm"  # a guest that libvirt does not tell of, named by its UUID
    PROCESS = "process"  # a host process with the device's node open or mapped
    KERNEL = "kernel"  # the kernel itself: its console, its framebuffer
    DISK = "disk"  # the host's file systems, swap, volumes, or a guest's disk lie behind it
    NETWORK = "network"  # the host's network, or a guest's, goes through it
    BOOT_DISPLAY = "boot-display"


class Holder(StrEnum):
    """What has to end so that the user lets go: `remedies` has a way for each."""

    NOBODY = ""  # nothing more is known than the kind of user
    PROCESS = "process"
    DESKTOP = "desktop"  # what draws the screen of a login session
    UNIT = "unit"  # after the sockets, paths and timers that would start it again
    STOPPABLE = "stoppable"  # a service that may be stopped around a change: its name there, and its units
    USER_UNIT = "user-unit"
    DOMAIN = "domain"  # libvirt's, by its QEMU
    DOMAIN_DISK = "domain-disk"
    DOMAIN_INTERFACE = "domain-interface"
    PROXMOX = "proxmox"  # its VMs
    PROXMOX_CONFIG = "proxmox-config"  # one that is shut down
    QEMU = "qemu"  # a guest of nobody known
    DOCKER = "docker"
    PODMAN = "podman"
    KUBERNETES = "kubernetes"
    INCUS = "incus"
    LXD = "lxd"
    LXC = "lxc"
    PROXMOX_CONTAINER = "proxmox-container"
    NSPAWN = "nspawn"
    SLURM = "slurm"  # its jobs
    MOUNT = "mount"
    ROOT = "root"  # a file system that no running host is without
    SWAP = "swap"
    LVM = "lvm"
    CRYPT = "crypt"
    MULTIPATH = "multipath"
    MAPPER = "mapper"
    RAID = "raid"
    BCACHE = "bcache"
    DRBD = "drbd"
    BLOCK = "block"  # whatever else stands on a disk
    ZFS = "zfs"
    CEPH = "ceph"
    TARGET = "target"  # LIO's: iSCSI, Fibre Channel, vhost-scsi
    NVME_TARGET = "nvme-target"
    LOOP = "loop"
    ROUTE = "route"
    BRIDGE = "bridge"
    SWITCH = "switch"  # Open vSwitch
    ABOVE = "above"  # an interface that stands on another: VLAN, MACsec, ipvlan, macvtap
    MASTER = "master"  # an interface that others are members of: bond, team, VRF
    NAMESPACE = "namespace"  # a container has the interface
    VDPA = "vdpa"
    CONSOLE = "console"
    FRAMEBUFFER = "framebuffer"
    MODULE = "module"


class User(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One user of one device; `handle` is what a command calls the holder."""

    kind: UserKind
    name: str  # domain name, process name, mount point, interface
    detail: str = ""  # "pid 12, /dev/vfio/7", "10.0.0.0/8", …
    pid: int | None = None
    holder: Holder = Holder.NOBODY
    handle: str = ""

    @property
    def works(self) -> bool:
        """At work with the device now, so that it cannot just go."""
        return self.kind in (UserKind.DOMAIN, UserKind.PROCESS)

    @property
    def words(self) -> str:
        """ "python (pid 4711)", "domain web", "VM 1b4e28ba-…"."""
        if self.kind is UserKind.PROCESS and self.pid is not None:
            return f"{self.name} (pid {self.pid})"
        kinds = {UserKind.DOMAIN: "domain ", UserKind.VM: "VM "}
        return kinds.get(self.kind, "") + self.name
