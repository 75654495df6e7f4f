"""The ground that a host's devices stand on: firmware, boot loader, kernel, modules, services, libvirt.

None anywhere: it was not to be seen by who asked, or a record does not hold it.
"""

from enum import StrEnum

from msgspec import Struct, field

from gpupass.model.address import Address


class Family(StrEnum):
    """Distributions that have their tools in common (ID and ID_LIKE of os-release(5))."""

    DEBIAN = "debian"
    FEDORA = "fedora"
    SUSE = "suse"
    ARCH = "arch"
    PROXMOX = "proxmox"
    OTHER = "other"


class LoaderKind(StrEnum):
    """Who tells the kernel its command line, and by which tool that is changed here."""

    UPDATE_GRUB = "update-grub"  # Debian's, Ubuntu's, and Proxmox VE's with GRUB
    GRUBBY = "grubby"
    GRUB2_MKCONFIG = "grub2-mkconfig"
    GRUB_MKCONFIG = "grub-mkconfig"
    ENTRIES = "systemd-boot"  # its entries are files that people write
    SDBOOTUTIL = "sdbootutil"
    PROXMOX_BOOT_TOOL = "proxmox-boot-tool"
    UNIFIED = "unified kernel image"
    KERNEL_INSTALL = "kernel-install"
    OSTREE = "rpm-ostree"
    UNKNOWN = "unknown"


class Loader(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`words` are what the next boots are told by `files`, `made` what the loader's own file says by now."""

    kind: LoaderKind = LoaderKind.UNKNOWN
    files: tuple[str, ...] = ()
    words: tuple[str, ...] | None = None
    made: tuple[str, ...] | None = None


class Distribution(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    family: Family = Family.OTHER
    id: str = ""
    version: str = ""
    name: str = ""  # for people


class Cpu(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of the first processor."""

    vendor: str = ""  # GenuineIntel, AuthenticAMD; "": another architecture
    virtual: bool = False  # vmx or svm
    guest: bool = False  # this host is a virtual machine itself
    physical_bits: int | None = None


class Firmware(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    efi: bool = False
    secure_boot: bool | None = None
    tables: tuple[str, ...] = ()  # of DMAR, IVRS, IORT


class Kernel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it is, was told and says."""

    release: str = ""
    words: tuple[str, ...] = ()  # /proc/cmdline
    lockdown: str | None = None  # none, integrity, confidentiality
    panics: tuple[str, ...] = ()  # sysctls that make a hanging task one
    stuck: tuple[str, ...] = ()  # tasks that hang while they unbind a device
    said: tuple[str, ...] | None = None  # lines of its log about devices; None: not to be read


class ModuleOption(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line `options MODULE WORDS` of modprobe.d."""

    module: str
    words: tuple[str, ...]
    file: str


class Modules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`directory`: are those of the running kernel still on the disk? None: it has none, nor has any other.

    Names with underscores.
    """

    directory: bool | None = True
    loaded: frozenset[str] = frozenset()
    builtin: frozenset[str] = frozenset()
    loadable: frozenset[str] = frozenset()
    parameters: dict[str, str] = field(default_factory=dict)  # "kvm.nested": "Y"
    hidden: frozenset[str] = frozenset()  # parameters that only root reads
    options: tuple[ModuleOption, ...] = ()
    blacklist: frozenset[str] = frozenset()
    at_boot: tuple[str, ...] = ()  # modules-load.d, /etc/modules
    kept: dict[str, str] = field(default_factory=dict)  # DKMS modules: source tree → kernels built for

    def has(self, module: str) -> bool:
        return module in self.loaded or module in self.builtin or module in self.loadable


class Services(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of the units that matter here."""

    active: frozenset[str] = frozenset()
    enabled: frozenset[str] = frozenset()
    sockets: frozenset[str] = frozenset()  # libvirt's: names of daemons
    display_manager: str = ""
    limits: dict[str, str] = field(default_factory=dict)  # "libvirtd.service LimitMEMLOCK": "infinity"


class Virtualisation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """libvirt's and QEMU's versions and settings."""

    libvirt: tuple[int, int, int] | None = None
    qemu: tuple[int, int, int] | None = None
    kvm: bool | None = None  # /dev/kvm is there
    settings: dict[str, str] = field(default_factory=dict)  # of qemu.conf, as they are written
    unreadable: bool = False  # qemu.conf is root's
    hooks: tuple[str, ...] = ()  # others' that bind, unbind or load drivers
    at_shutdown: str = ""  # libvirt-guests: suspend, shutdown


class Memory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    transparent: str = ""  # pages: always, madvise, never
    nodes: int = 1


class FunctionGround(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What only the doctor asks of a PCI function."""

    address: Address
    unassigned: tuple[int, ...] = ()  # sizes of BARs without an address
    vf_unassigned: tuple[int, ...] = ()
    low: tuple[int, ...] = ()  # sizes of 64-bit BARs below 4 GiB
    errors: dict[str, int] = field(default_factory=dict)  # AER: fatal, nonfatal
    ari: bool | None = None  # forwarding by the port above
    unbind_lock: bool | None = None
    variants: tuple[str, ...] = ()  # vfio drivers made for it
    usb: tuple[str, ...] = ()  # what is plugged into this controller
    render: bool = False  # it has a render node


class Others(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whoever else decides about devices."""

    driverctl: tuple[Address, ...] = ()
    rules: tuple[str, ...] = ()  # udev rules that write driver_override
    cdi: tuple[str, ...] = ()  # specifications of others that name GPUs
    plugins: tuple[str, ...] = ()  # kubelet's device plugins
    missing_mdevs: tuple[str, ...] = ()  # mdevctl wants them at boot, and their type is not there


class Nvidia(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What NVIDIA's driver and its programs tell of themselves."""

    version: str = ""
    open: bool | None = None
    gsp: bool | None = None
    switches: bool = False
    fabric_mode: str = ""
    vgpu: bool = False  # the host driver for vGPUs


class Own(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """gpupass's own things."""

    profile: bool = False
    units: tuple[str, ...] = ()  # enabled
    shadowed: tuple[str, ...] = ()  # units in /etc before packaged ones
    early: tuple[Address, ...] = ()
    container: bool = False


class Ground(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Read only when the doctor asks. `as_root`: nothing was hidden from who asked; `recorded`: elsewhere."""

    as_root: bool = False
    recorded: bool = False
    distribution: Distribution = Distribution()
    loader: Loader | None = None
    cpu: Cpu | None = None
    firmware: Firmware | None = None
    kernel: Kernel = Kernel()
    modules: Modules | None = None
    services: Services | None = None
    virtualisation: Virtualisation | None = None
    memory: Memory | None = None
    functions: tuple[FunctionGround, ...] | None = None
    others: Others | None = None
    nvidia: Nvidia | None = None
    own: Own | None = None

    def function(self, address: Address) -> FunctionGround | None:
        return next((one for one in self.functions or () if one.address == address), None)
