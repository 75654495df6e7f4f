"""A profile: which GPUs are meant, how each is used, and which domain gets what. YAML is its only spelling.

Every field a person may write carries its description (`key`); the parser and the published JSON Schema
are made from these classes, so a key exists in one place.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gpupass.model.address import Address
from gpupass.model.key import key
from gpupass.model.mig import LayoutEntry

VERSION = 1
CDI, NVIDIA_CTK = "cdi", "nvidia-ctk"  # of `containers`


class Use(StrEnum):
    """How a device is used."""

    HOST = "host"
    PASSTHROUGH = "passthrough"
    SRIOV = "sriov"
    MIG = "mig"
    MDEV = "mdev"
    VGPU = "vgpu"
    PARTITION = "partition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something stands in a file; lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


NAME = r"[A-Za-z][A-Za-z0-9._-]{0,62}"
DRIVER = r"[A-Za-z0-9_-]{1,63}"
_NAME_FORM = "a letter, then letters, digits, '.', '_' or '-'"
_DRIVER_FORM = "letters, digits, '_' or '-'"
_ADDRESS = r"([0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{1,2}:[01]?[0-9a-fA-F]\.[0-7]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """Every condition given must hold; names that stay the same (uuid, serial, slot) are the best.

    Without an address, UUID, serial, slot or class only GPUs and accelerators are meant; bridges and
    virtual functions never are.
    """

    address: Address | None = key("PCI address, 0000:01:00.0", default=None, pattern=_ADDRESS)
    uuid: str | None = key("NVIDIA GPU UUID, GPU-…", default=None)
    serial: str | None = key("serial number, of the board or PCI Express", default=None)
    slot: str | None = key("physical slot name", default=None, also=("physical-slot",))
    vendor: str | None = key(
        "nvidia, amd, intel, or four hex digits", default=None, pattern="nvidia|amd|intel|[0-9a-fA-F]{4}"
    )
    model: str | None = key("glob on the device's name or vendor:device, *A100*", default=None)
    class_: str | None = key(
        "display, accelerator, network, storage, or hex digits of the PCI class",
        default=None,
        spelled="class",
        pattern="display|accelerator|network|storage|[0-9a-fA-F]{2,6}",
    )
    numa: int | None = key("NUMA node", default=None, minimum=0)
    parent: str | None = key(
        "parent of mediated devices that is no PCI function, by its name in /sys/class/mdev_bus",
        default=None,
        pattern=NAME,
        form=_NAME_FORM,
    )
    driver: str | None = key(
        "kernel driver that has it, or had it before gpupass bound it",
        default=None,
        pattern=DRIVER,
        form=_DRIVER_FORM,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VfDriver:
    """The driver of one virtual function, numbered from 0; None: left without one."""

    index: int = key("number of the VF", minimum=0)
    driver: str | None = key("its driver", pattern=DRIVER, form=_DRIVER_FORM)


def _quantum() -> Any:
    return key(
        "milliseconds of GPU time in one turn (Intel); 0: no limit",
        default=None,
        spelled="execution-quantum",
        minimum=0,
        also=("exec-quantum", "exec_quantum_ms", "execution_quantum"),
    )


def _timeout() -> Any:
    return key(
        "microseconds until work that does not yield is stopped (Intel); 0: no limit",
        default=None,
        spelled="preemption-timeout",
        minimum=0,
        also=("preempt-timeout", "preempt_timeout_us", "preemption_timeout"),
    )


def _memory() -> Any:
    return key(
        "MiB of GPU memory (Intel cards with their own); without it they share evenly",
        default=None,
        minimum=1,
        also=("lmem", "vram", "lmem_quota", "vram_quota"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """How long the physical function itself has the GPU, beside its virtual functions."""

    quantum: int | None = _quantum()
    timeout: int | None = _timeout()


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one virtual function gets of the GPU."""

    quantum: int | None = _quantum()
    timeout: int | None = _timeout()
    memory: int | None = _memory()


@dataclass(frozen=True, slots=True, kw_only=True)
class VfShare:
    """The share of one virtual function, numbered from 0; what it does not say is as for all."""

    index: int = key("number of the VF", minimum=0)
    share: Share = key("its share", minimum=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vf:
    """How the virtual functions are driven, and what each gets of the GPU."""

    driver: str | None = key(
        "driver of every VF; none: left without one", default=None, pattern=DRIVER, form=_DRIVER_FORM
    )
    autoprobe: bool = key("let the kernel bind new VFs to their host driver first", default=False)
    drivers: tuple[VfDriver, ...] = key(
        "drivers of single VFs, by number: {2: igbvf, 3: null}", default=(), mapping=True
    )
    quantum: int | None = _quantum()
    timeout: int | None = _timeout()
    memory: int | None = _memory()
    shares: tuple[VfShare, ...] = key(
        "other shares for single VFs, by number: {2: {memory: 4096}}", default=(), mapping=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What all rules have in common."""

    name: str = key("what attachments and the command line call the device", pattern=NAME, form=_NAME_FORM)
    select: Select = key("which device is meant", minimum=1, also=("match", "selector"))
    count: int | None = key("take the first so many, in the order of addresses", default=None, minimum=1)
    optional: bool = key("no error when nothing matches", default=False)
    take_over: bool = key("change what gpupass did not make, too", default=False, spelled="take-over")
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRule(Rule):
    """`use: host`: the host works with the device."""

    driver: str | None = key(
        "host driver (default: the one before, or the kernel's choice)", default=None, pattern=DRIVER
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PassthroughRule(Rule):
    """`use: passthrough`: the whole function can be given to a domain."""

    driver: str = key("the VFIO driver", default="vfio-pci", pattern=DRIVER, form=_DRIVER_FORM)
    with_: tuple[Address, ...] = key(
        "other devices of the IOMMU group that may move along", default=(), spelled="with", pattern=_ADDRESS
    )
    allow_boot_display: bool = key(
        "take the boot display, too: the console goes dark", default=False, spelled="allow-boot-display"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SriovRule(Rule):
    """`use: sriov`: virtual functions of the device can be given to domains, as NAME/vf0, NAME/vf1, …"""

    vfs: int = key("how many virtual functions", minimum=0, also=("vf-count", "num-vfs", "sriov-numvfs"))
    vf: Vf = key("how they are driven, and what each gets of the GPU", default=Vf())
    pf: Turn = key("what the physical function keeps for itself (Intel)", default=Turn())


COMPUTES = ("SPX", "DPX", "TPX", "QPX", "CPX")
MEMORIES = ("NPS1", "NPS2", "NPS4", "NPS8")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionRule(Rule):
    """`use: partition`: an AMD GPU in parts, for containers of the host."""

    compute: str = key(
        "compute partitions: SPX is the whole GPU, CPX as many as it has dies", choices=COMPUTES
    )
    memory: str | None = key(
        "memory partitions, of all GPUs of its hive; without it they stay", default=None, choices=MEMORIES
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MigRule(Rule):
    """`use: mig`: an NVIDIA GPU is cut into GPU instances, called NAME/3g.20gb@4: profile and first slice."""

    layout: tuple[LayoutEntry, ...] | str = key(
        "GPU instances, as profiles (3g.20gb) or {profile, start, compute}; or a layout's name: balanced, "
        "empty, all-1g, all-1g.5gb+me",
        short="profile",
        word=r"[A-Za-z][0-9A-Za-z.,+-]{0,60}",
        also=("mig-devices", "instances", "profiles"),
    )


_TYPE = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
_TYPE_FORM = "letters, digits, '_', '.' or '-'"


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeCount:
    """How many of one type."""

    type: str = key("the type's name", pattern=_TYPE, form=_TYPE_FORM)
    count: int = key("how many", minimum=0)

    @property
    def parts(self) -> tuple[str, ...]:
        """What their slots are called."""
        return tuple(f"{self.type}-{number}" for number in range(self.count))


@dataclass(frozen=True, slots=True, kw_only=True)
class MdevRule(Rule):
    """`use: mdev`: mediated devices for domains, as NAME/TYPE-0, NAME/TYPE-1, …"""

    types: tuple[TypeCount, ...] = key("how many of which type: {i915-GVTg_V5_4: 2}", mapping=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class VgpuParam:
    """One thing a vGPU's plugin is told when its guest starts."""

    name: str = key("parameter", pattern=r"[A-Za-z][A-Za-z0-9_.-]{0,62}", form=_TYPE_FORM)
    value: str = key("value", pattern=r"[A-Za-z0-9_.:/-]{1,63}", form="letters, digits, or one of '_.:/-'")


@dataclass(frozen=True, slots=True, kw_only=True)
class VgpuRule(Rule):
    """`use: vgpu`: NVIDIA vGPUs for domains, as NAME/TYPE-0, NAME/TYPE-1, …"""

    types: tuple[TypeCount, ...] = key("how many of which type: {A100-4C: 3, A100-8C: 1}", mapping=True)
    layout: tuple[LayoutEntry, ...] | str | None = key(
        "GPU instances for MIG-backed types (H100-1-10C), as in use: mig",
        default=None,
        short="profile",
        word=r"[A-Za-z][0-9A-Za-z.,+-]{0,60}",
    )
    params: tuple[VgpuParam, ...] = key(
        "vgpu_params of each, {frame_rate_limiter: 0}", default=(), mapping=True
    )
    scheduler: str | None = key(
        "how they take turns", default=None, choices=("best-effort", "equal-share", "fixed-share")
    )


RULES: dict[Use, type[Rule]] = {
    Use.HOST: HostRule,
    Use.PASSTHROUGH: PassthroughRule,
    Use.SRIOV: SriovRule,
    Use.MIG: MigRule,
    Use.MDEV: MdevRule,
    Use.VGPU: VgpuRule,
    Use.PARTITION: PartitionRule,
}


def use_of(rule: Rule) -> Use:
    return next(use for use, kind in RULES.items() if type(rule) is kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A running domain has the device; a domain that does not run gets it when it does."""

    domain: str = key("name of the libvirt domain", also=("vm", "guest"))
    device: str = key(
        "a rule's name, NAME/vf0 for a VF, NAME/1 for the second of several; or a PCI address",
        also=("gpu", "name"),
    )
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The wanted state of a host's GPUs."""

    version: int = VERSION
    gpus: tuple[Rule, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    containers: str | None = None  # whose CDI specification every apply refreshes
