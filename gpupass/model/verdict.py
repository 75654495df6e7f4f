"""What an IOMMU group allows: who would move along, who must stay with the host, and why."""

from enum import StrEnum

from msgspec import Struct

from gpupass.model.address import Address


class StayKind(StrEnum):
    """Why a member must stay with the host; only a boot display may be given away on request."""

    DISK = "disk"
    NETWORK = "network"
    BOOT_DISPLAY = "boot-display"
    BRIDGE = "bridge"
    DOMAIN = "domain"
    SRIOV = "sr-iov"  # it has virtual functions, which would vanish
    QUARANTINE = "quarantine"
    PROCESS = "process"  # an unbind under an open file can block for ever
    KERNEL = "kernel"  # its console is on it
    SILENT = "silent"  # it does not answer
    NO_GROUP = "no-group"
    INTERRUPTS = "interrupts"  # the host does not remap them
    RESERVED = "reserved"  # the firmware wants memory of it mapped one to one
    STRANGER = "stranger"  # its group holds what is no PCI function, and a host driver has that
    REFUSED = "refused"  # attach says why

    @property
    def overridable(self) -> bool:
        return self is StayKind.BOOT_DISPLAY


class Staying(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One member that must stay, for one reason; `name` is the mount point, interface or domain."""

    address: Address
    kind: StayKind
    name: str
    reason: str  # "root disk /dev/nvme0n1p2 is on 0000:03:00.0"
    remedy: str


class Companion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One member that a host driver runs and that has to move to vfio-pci with the device."""

    address: Address
    driver: str
    same_slot: bool  # another function of the device itself


class ResetAbility(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one member can be reset; no methods: it would go on as its last user left it."""

    address: Address
    methods: tuple[str, ...]


class Verdict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`viable`: nobody must stay and the host can isolate the group, so all of it may go to one guest."""

    group: int | None
    target: Address  # whom the companions accompany
    members: tuple[Address, ...]
    viable: bool
    staying: tuple[Staying, ...] = ()
    companions: tuple[Companion, ...] = ()
    idle: tuple[Address, ...] = ()  # endpoints without any driver: they may stay where they are
    bridges: tuple[Address, ...] = ()  # they stay with the host and do no harm
    reasons: tuple[str, ...] = ()  # why it is not viable
    warnings: tuple[str, ...] = ()
    acs: str | None = None  # why the group is larger than one device
    advice: tuple[str, ...] = ()  # … and where one would be alone
    resets: tuple[ResetAbility, ...] = ()
