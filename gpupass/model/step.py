"""Steps: each is one write, as data, with the reason for it."""

import re
from enum import StrEnum

from msgspec import Struct

from gpupass.model.address import Address
from gpupass.model.mig import Placement
from gpupass.model.record import Record, RecordKind

_ATTRIBUTE = re.compile(r"/sys/(bus/pci/devices|kernel/debug/dri)(/[\w:-][\w:.-]*)+")
_WORD = re.compile(r"[\w,=-]*")


def require_file_of(address: Address, path: str) -> None:
    """ValueError when it is not a file below the device's own directories."""
    if not _ATTRIBUTE.fullmatch(path) or f"/{address}/" not in path:
        raise ValueError(f"{path!r} is no file of {address}")


class _Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True, tag_field="step"):
    """In JSON each is told by the name of its class."""


class LoadModule(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """modprobe."""

    module: str
    why: str = ""


class SetPersistence(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """NVIDIA persistence mode of one GPU."""

    address: Address
    uuid: str
    on: bool
    why: str = ""


class BindDriver(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`driver` None: no driver at all. `override` None: the kernel chooses by itself again."""

    address: Address
    driver: str | None
    override: str | None
    why: str = ""


class SetVfs(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many virtual functions a physical function has; another number than before goes through none.

    `script`: NVIDIA's sriov-manage makes them, always all of them; its driver refuses the kernel's own way.
    `keep`: files of the PF that lose their values with the functions; a rollback that makes these again sets
    them before.
    """

    address: Address
    count: int
    autoprobe: bool  # may the kernel bind new ones to their host driver?
    script: bool = False
    keep: tuple[str, ...] = ()
    why: str = ""

    def __post_init__(self) -> None:
        for path in self.keep:
            require_file_of(self.address, path)


class SetMdev(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Is there a mediated device of this type and UUID on the parent?"""

    address: Address
    uuid: str
    type: str  # its id in mdev_supported_types
    present: bool
    why: str = ""


class SetVgpuType(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The vGPU type of a VF of the vendor-specific framework; `id` 0: no vGPU."""

    address: Address
    id: int
    type: str  # its name, "A100-4C"
    why: str = ""


class SetVgpuParams(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a vGPU's plugin is told when its guest starts: "frame_rate_limiter=0 disable_vnc=1"."""

    address: Address
    params: str
    mdev: str | None = None
    why: str = ""


class SetMigMode(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """MIG mode of one NVIDIA GPU. `reset_follows`: the plan resets the GPU, so that it may stay pending."""

    address: Address
    uuid: str
    on: bool
    reset_follows: bool = False
    why: str = ""


class ResetGpu(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reset an NVIDIA GPU through its driver, if its MIG mode is pending. `back`: only on the way back.

    Persistence mode, which keeps the GPU open, is off meanwhile. Steps are undone last first, so the reset
    that a rollback needs must stand before the mode.
    """

    address: Address
    uuid: str
    back: bool = False
    why: str = ""


class SetGpuInstance(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a MIG GPU has this GPU instance; the placement counts memory slices of the GPU."""

    address: Address
    uuid: str
    profile: str
    profile_id: int
    placement: Placement
    present: bool
    why: str = ""


class SetComputeInstance(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the GPU instance `profile` at `start` has a compute instance; placed in its own slices."""

    address: Address
    uuid: str
    profile: str
    profile_id: int
    start: int
    placement: Placement
    present: bool
    why: str = ""


class SetVgpuSharing(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """May vGPUs of several sizes share the card (NVIDIA's heterogeneous mode)?"""

    address: Address
    mixed: bool
    why: str = ""


class SetVgpuScheduler(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the vGPUs of a card take turns: best-effort, equal-share or fixed-share."""

    address: Address
    policy: str
    why: str = ""


class WriteRecord(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Remember (`record`) or forget (None) one fact about a device."""

    kind: RecordKind
    address: Address
    record: Record | None
    mdev: str | None = None  # the fact is about this mediated device of it
    why: str = ""


class ResetDevice(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reset `addresses`, which share one slot or bus, and read their configuration space back."""

    addresses: tuple[Address, ...]
    method: str  # "function": sysfs reset of each; "bus": VFIO hot reset of all; "none": impossible
    why: str = ""


class AttachDevice(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give one function to a running domain, live only; `exposed` False: owned but not seen by the guest.

    With `mdev` that mediated device (UUID) of `address`.
    """

    address: Address
    mdev: str | None = None
    domain: str
    uuid: str
    alias: str
    exposed: bool
    connect: str
    why: str = ""


class DetachDevice(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask a running domain to let go of one function or mediated device, and wait until it has."""

    address: Address
    mdev: str | None = None
    domain: str
    uuid: str
    alias: str
    exposed: bool
    connect: str
    why: str = ""


class AwaitRelease(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Until no process holds the VFIO files of these functions."""

    addresses: tuple[Address, ...]
    group: int
    why: str = ""


class WriteFile(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One whole file of the host; `text` None: no such file. `prune`: an empty directory goes with it."""

    path: str
    text: str | None
    mode: int = 0o644
    prune: bool = False
    why: str = ""


class EnableUnit(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether systemd starts a unit at boot."""

    unit: str
    on: bool
    why: str = ""


class FileReader(StrEnum):
    """Who has to be told that files have changed."""

    SYSTEMD = "systemd"
    UDEV = "udev"
    INITRAMFS_TOOLS = "initramfs-tools"
    DRACUT = "dracut"


class Refresh(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Have `what` read its files again. `back`: only on the way back.

    Steps are undone last first, so the refresh that a rollback needs must stand before the files.
    """

    what: FileReader
    back: bool = False
    why: str = ""


class SetAttribute(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sysfs or debugfs file of a device. ValueError: `path` or `value` is nothing that a device has."""

    address: Address
    path: str
    value: str
    why: str = ""

    def __post_init__(self) -> None:
        require_file_of(self.address, self.path)
        if not _WORD.fullmatch(self.value):
            raise ValueError(f"{self.value!r} is no value of {self.path}")


class SetMemoryPartition(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another memory mode of all AMD GPUs of a hive: amdgpu lets go of them and takes them again."""

    addresses: tuple[Address, ...]
    mode: str  # NPS4
    why: str = ""


class ReloadModule(_Step, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take a kernel module out and load it with `options` ("vf_num=8,1"); all its devices go meanwhile.

    `back`: the options of a rollback, where the module does not tell those it was loaded with.
    """

    module: str
    options: str
    back: str = ""
    addresses: tuple[Address, ...] = ()  # of its devices
    why: str = ""


Step = (
    LoadModule
    | SetPersistence
    | BindDriver
    | SetVfs
    | SetMigMode
    | ResetGpu
    | SetGpuInstance
    | SetComputeInstance
    | SetMdev
    | SetVgpuType
    | SetVgpuParams
    | SetVgpuSharing
    | SetVgpuScheduler
    | WriteRecord
    | ResetDevice
    | AttachDevice
    | DetachDevice
    | AwaitRelease
    | WriteFile
    | EnableUnit
    | Refresh
    | SetAttribute
    | SetMemoryPartition
    | ReloadModule
)


def addresses_of(step: Step) -> tuple[Address, ...]:
    """The functions a step is about; none for a kernel module or a file."""
    match step:
        case LoadModule() | WriteFile() | EnableUnit() | Refresh():
            return ()
        case ResetDevice() | AwaitRelease() | SetMemoryPartition() | ReloadModule():
            return step.addresses
        case _:
            return (step.address,)
