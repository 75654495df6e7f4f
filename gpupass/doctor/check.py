"""What a check is: an id that stays, what it matters for, and a function that tells what it finds."""

from collections.abc import Callable, Iterator
from enum import StrEnum

from msgspec import Struct

from gpupass.doctor.remedy import Remedy, Type
from gpupass.model.address import Address
from gpupass.model.domain import Domain
from gpupass.model.ground import Ground
from gpupass.model.host import Device, Host


class Purpose(StrEnum):
    """What a host is wanted for; words of `--for`."""

    PASSTHROUGH = "passthrough"
    SRIOV = "sriov"
    MIG = "mig"
    VGPU = "vgpu"
    MDEV = "mdev"
    REMOTING = "remoting"
    HOTPLUG = "hotplug"
    DESKTOP = "desktop"


ALL = frozenset(Purpose)
VFIO = frozenset(
    {Purpose.PASSTHROUGH, Purpose.SRIOV, Purpose.VGPU, Purpose.MDEV, Purpose.HOTPLUG, Purpose.DESKTOP}
)
WHOLE = frozenset({Purpose.PASSTHROUGH, Purpose.HOTPLUG, Purpose.DESKTOP})
GUESTS = frozenset({*VFIO, Purpose.REMOTING})


class Level(StrEnum):
    """Of one finding."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"  # cannot be seen, and its remedy is as whom to look


class Said(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check has found. `level` None: the check's own; `about` a device or a domain, "": the host."""

    why: str
    remedy: Remedy | None = None
    level: Level | None = None
    about: str = ""


class Sight(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What checks are told: a host, its ground, and whom they are asked about."""

    host: Host
    ground: Ground
    chosen: frozenset[Address] | None = None  # None: every GPU
    guests: frozenset[str] | None = None  # domains by name; None: all of them
    purposes: frozenset[Purpose] = frozenset()  # what somebody asks about; (): nothing in particular

    @property
    def gpus(self) -> tuple[Device, ...]:
        """Whose sharing is asked about, with all their facts; a virtual function is told with its card."""
        return tuple(
            device
            for device in self.host.devices
            if device.detail is not None
            and (
                device.is_gpu and device.physfn is None
                if self.chosen is None
                else device.address in self.chosen
            )
        )

    @property
    def members(self) -> tuple[Device, ...]:
        """Their IOMMU groups' functions, bridges left out."""
        found = {
            member.address: member
            for gpu in self.gpus
            for member in self.host.group_of(gpu)
            if not member.is_bridge and member.detail is not None
        }
        return tuple(found.values())

    @property
    def domains(self) -> tuple[Domain, ...]:
        return tuple(
            domain for domain in self.host.domains if self.guests is None or domain.name in self.guests
        )

    def of_vendor(self, vendor: int) -> tuple[Device, ...]:
        return tuple(gpu for gpu in self.gpus if gpu.vendor == vendor)


Told = Iterator[Said]


class Check(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`worst` is the level of what it finds wrong, unless that says another, never a worse one.

    A function that tells nothing is not concerned with this host.
    """

    id: str
    title: str
    purposes: frozenset[Purpose]
    worst: Level
    find: Callable[[Sight], Told]


def fine(why: str, about: str = "") -> Said:
    return Said(why=why, level=Level.PASS, about=about)


def hidden(sight: Sight, what: str, about: str = "") -> Said:
    """What nobody can tell yet, and who could."""
    if sight.ground.recorded:
        remedy = Type(words="record the host again: gpupass record DIR")
        return Said(why=f"the record does not hold {what}", level=Level.UNKNOWN, remedy=remedy, about=about)
    words = "this host does not tell" if sight.ground.as_root else "run it as root: sudo gpupass doctor"
    remedy = Type(words=words)
    return Said(why=f"not to be seen: {what}", level=Level.UNKNOWN, remedy=remedy, about=about)
