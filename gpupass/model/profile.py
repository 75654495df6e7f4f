"""A profile: which GPUs are meant, how each is used, and which domain gets what. YAML is its only spelling.

Every field a person may write carries its description (`Key`); the parser and the published JSON Schema
are made from these classes, so a key exists in one place.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Struct

from gpupass.model.address import Address
from gpupass.model.key import Key
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


class Place(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where something stands in a file; lines and columns count from 1, no file: it is written nowhere.

    All places are equal: where something stands changes nothing of what it says.
    """

    file: str = ""
    line: int = 0
    column: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place)

    def __hash__(self) -> int:
        return 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


NAME = r"[A-Za-z][A-Za-z0-9._-]{0,62}"
DRIVER = r"[A-Za-z0-9_-]{1,63}"
_NAME_FORM = "a letter, then letters, digits, '.', '_' or '-'"
_DRIVER_FORM = "letters, digits, '_' or '-'"
_ADDRESS = r"([0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{1,2}:[01]?[0-9a-fA-F]\.[0-7]"


class Select(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every condition given must hold; names that stay the same (uuid, serial, slot) are the best.

    Without an address, UUID, serial, slot or class only GPUs and accelerators are meant; bridges and
    virtual functions never are.
    """

    address: Annotated[Address | None, Key("PCI address, 0000:01:00.0", pattern=_ADDRESS)] = None
    uuid: Annotated[str | None, Key("NVIDIA GPU UUID, GPU-…")] = None
    serial: Annotated[str | None, Key("serial number, of the board or PCI Express")] = None
    slot: Annotated[str | None, Key("physical slot name", also=("physical-slot",))] = None
    vendor: Annotated[
        str | None, Key("nvidia, amd, intel, or four hex digits", pattern="nvidia|amd|intel|[0-9a-fA-F]{4}")
    ] = None
    model: Annotated[str | None, Key("glob on the device's name or vendor:device, *A100*")] = None
    class_: Annotated[
        str | None,
        Key(
            "display, accelerator, network, storage, or hex digits of the PCI class",
            spelled="class",
            pattern="display|accelerator|network|storage|[0-9a-fA-F]{2,6}",
        ),
    ] = None
    numa: Annotated[int | None, Key("NUMA node", minimum=0)] = None
    parent: Annotated[
        str | None,
        Key(
            "parent of mediated devices that is no PCI function, by its name in /sys/class/mdev_bus",
            pattern=NAME,
            form=_NAME_FORM,
        ),
    ] = None
    driver: Annotated[
        str | None,
        Key(
            "kernel driver that has it, or had it before gpupass bound it", pattern=DRIVER, form=_DRIVER_FORM
        ),
    ] = None


class VfDriver(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The driver of one virtual function, numbered from 0; None: left without one."""

    index: Annotated[int, Key("number of the VF", minimum=0)]
    driver: Annotated[str | None, Key("its driver", pattern=DRIVER, form=_DRIVER_FORM)]


_Quantum = Annotated[
    int | None,
    Key(
        "milliseconds of GPU time in one turn (Intel); 0: no limit",
        spelled="execution-quantum",
        minimum=0,
        also=("exec-quantum", "exec_quantum_ms", "execution_quantum"),
    ),
]


_Timeout = Annotated[
    int | None,
    Key(
        "microseconds until work that does not yield is stopped (Intel); 0: no limit",
        spelled="preemption-timeout",
        minimum=0,
        also=("preempt-timeout", "preempt_timeout_us", "preemption_timeout"),
    ),
]


_Memory = Annotated[
    int | None,
    Key(
        "MiB of GPU memory (Intel cards with their own); without it they share evenly",
        minimum=1,
        also=("lmem", "vram", "lmem_quota", "vram_quota"),
    ),
]


class Turn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the physical function itself has the GPU, beside its virtual functions."""

    quantum: _Quantum = None
    timeout: _Timeout = None


class Share(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one virtual function gets of the GPU."""

    quantum: _Quantum = None
    timeout: _Timeout = None
    memory: _Memory = None


class VfShare(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The share of one virtual function, numbered from 0; what it does not say is as for all."""

    index: Annotated[int, Key("number of the VF", minimum=0)]
    share: Annotated[Share, Key("its share", minimum=1)]


class Vf(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the virtual functions are driven, and what each gets of the GPU."""

    driver: Annotated[
        str | None, Key("driver of every VF; none: left without one", pattern=DRIVER, form=_DRIVER_FORM)
    ] = None
    autoprobe: Annotated[bool, Key("let the kernel bind new VFs to their host driver first")] = False
    drivers: Annotated[
        tuple[VfDriver, ...], Key("drivers of single VFs, by number: {2: igbvf, 3: null}", mapping=True)
    ] = ()
    quantum: _Quantum = None
    timeout: _Timeout = None
    memory: _Memory = None
    shares: Annotated[
        tuple[VfShare, ...], Key("other shares for single VFs, by number: {2: {memory: 4096}}", mapping=True)
    ] = ()


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all rules have in common."""

    name: Annotated[
        str, Key("what attachments and the command line call the device", pattern=NAME, form=_NAME_FORM)
    ]
    select: Annotated[Select, Key("which device is meant", minimum=1, also=("match", "selector"))]
    count: Annotated[int | None, Key("take the first so many, in the order of addresses", minimum=1)] = None
    optional: Annotated[bool, Key("no error when nothing matches")] = False
    take_over: Annotated[bool, Key("change what gpupass did not make, too", spelled="take-over")] = False
    place: Place = Place()


class HostRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use: host`: the host works with the device."""

    driver: Annotated[
        str | None, Key("host driver (default: the one before, or the kernel's choice)", pattern=DRIVER)
    ] = None


class PassthroughRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use: passthrough`: the whole function can be given to a domain."""

    driver: Annotated[str, Key("the VFIO driver", pattern=DRIVER, form=_DRIVER_FORM)] = "vfio-pci"
    with_: Annotated[
        tuple[Address, ...],
        Key("other devices of the IOMMU group that may move along", spelled="with", pattern=_ADDRESS),
    ] = ()
    allow_boot_display: Annotated[
        bool, Key("take the boot display, too: the console goes dark", spelled="allow-boot-display")
    ] = False


class SriovRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use: sriov`: virtual functions of the device can be given to domains, as NAME/vf0, NAME/vf1, …"""

    vfs: Annotated[
        int, Key("how many virtual functions", minimum=0, also=("vf-count", "num-vfs", "sriov-numvfs"))
    ]
    vf: Annotated[Vf, Key("how they are driven, and what each gets of the GPU")] = Vf()
    pf: Annotated[Turn, Key("what the physical function keeps for itself (Intel)")] = Turn()


COMPUTES = ("SPX", "DPX", "TPX", "QPX", "CPX")
MEMORIES = ("NPS1", "NPS2", "NPS4", "NPS8")


class PartitionRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use: partition`: an AMD GPU in parts, for containers of the host."""

    compute: Annotated[
        str, Key("compute partitions: SPX is the whole GPU, CPX as many as it has dies", choices=COMPUTES)
    ]
    memory: Annotated[
        str | None, Key("memory partitions, of all GPUs of its hive; without it they stay", choices=MEMORIES)
    ] = None


class MigRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use: mig`: an NVIDIA GPU is cut into GPU instances, called NAME/3g.20gb@4: profile and first slice."""

    layout: Annotated[
        tuple[LayoutEntry, ...] | str,
        Key(
            "GPU instances, as profiles (3g.20gb) or {profile, start, compute}; or a layout's name: "
            "balanced, empty, all-1g, all-1g.5gb+me",
            short="profile",
            word=r"[A-Za-z][0-9A-Za-z.,+-]{0,60}",
            also=("mig-devices", "instances", "profiles"),
        ),
    ]


_TYPE = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
_TYPE_FORM = "letters, digits, '_', '.' or '-'"


class TypeCount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many of one type."""

    type: Annotated[str, Key("the type's name", pattern=_TYPE, form=_TYPE_FORM)]
    count: Annotated[int, Key("how many", minimum=0)]

    @property
    def parts(self) -> tuple[str, ...]:
        """What their slots are called."""
        return tuple(f"{self.type}-{number}" for number in range(self.count))


class MdevRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use: mdev`: mediated devices for domains, as NAME/TYPE-0, NAME/TYPE-1, …"""

    types: Annotated[tuple[TypeCount, ...], Key("how many of which type: {i915-GVTg_V5_4: 2}", mapping=True)]


class VgpuParam(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing a vGPU's plugin is told when its guest starts."""

    name: Annotated[str, Key("parameter", pattern=r"[A-Za-z][A-Za-z0-9_.-]{0,62}", form=_TYPE_FORM)]
    value: Annotated[
        str, Key("value", pattern=r"[A-Za-z0-9_.:/-]{1,63}", form="letters, digits, or one of '_.:/-'")
    ]


class VgpuRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use: vgpu`: NVIDIA vGPUs for domains, as NAME/TYPE-0, NAME/TYPE-1, …"""

    types: Annotated[
        tuple[TypeCount, ...], Key("how many of which type: {A100-4C: 3, A100-8C: 1}", mapping=True)
    ]
    layout: Annotated[
        tuple[LayoutEntry, ...] | str | None,
        Key(
            "GPU instances for MIG-backed types (H100-1-10C), as in use: mig",
            short="profile",
            word=r"[A-Za-z][0-9A-Za-z.,+-]{0,60}",
        ),
    ] = None
    params: Annotated[
        tuple[VgpuParam, ...], Key("vgpu_params of each, {frame_rate_limiter: 0}", mapping=True)
    ] = ()
    scheduler: Annotated[
        str | None, Key("how they take turns", choices=("best-effort", "equal-share", "fixed-share"))
    ] = None


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


class Attachment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A running domain has the device; a domain that does not run gets it when it does."""

    domain: Annotated[str, Key("name of the libvirt domain", also=("vm", "guest"))]
    device: Annotated[
        str,
        Key(
            "a rule's name, NAME/vf0 for a VF, NAME/1 for the second of several; or a PCI address",
            also=("gpu", "name"),
        ),
    ]
    place: Place = Place()


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The wanted state of a host's GPUs."""

    version: int = VERSION
    gpus: tuple[Rule, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    containers: str | None = None  # whose CDI specification every apply refreshes
