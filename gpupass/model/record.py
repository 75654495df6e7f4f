"""What gpupass itself remembers about a device, one small file each in its state directory."""

from enum import StrEnum

from msgspec import Struct

from gpupass.model.address import Address


class RecordKind(StrEnum):
    """Why a device is remembered."""

    ORIGIN = "origin"  # the driver and override it had before the first bind
    CLAIM = "claim"  # handed to a domain and not yet verified clean again
    VFS = "vfs"  # the virtual functions of this one were made by gpupass
    MIG = "mig"  # GPU instances of this one were made by gpupass, or its MIG mode switched on
    MDEV = "mdev"  # this mediated device was made by gpupass
    VGPU = "vgpu"  # the vGPU type of this VF was set by gpupass
    PARTITION = "partition"  # the compute or memory mode of this AMD GPU was changed by gpupass
    QUARANTINE = "quarantine"  # nobody gets it until a person says so


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One remembered fact; `why` is for people, the other fields by kind."""

    kind: RecordKind
    address: Address
    why: str = ""
    driver: str | None = None  # origin
    override: str | None = None  # origin …
    gpu_uuid: str | None = None  # … and the names that only its host driver knows
    gpu_serial: str | None = None
    domain: str | None = None  # claim: name …
    uuid: str | None = None  # … and UUID of the domain
    alias: str | None = None  # claim
    mdev: str | None = None  # mdev, and the claim of one: its UUID
    part: str | None = None  # mdev, vgpu: what the slot is called …
    type: str | None = None  # … its type …
    params: str = ""  # … and the vgpu_params that a profile had told it
    declared: bool = False  # claim: a profile said so, and may unsay it
    vfs: int | None = None  # vfs: how many …
    autoprobe: bool | None = None  # … sriov_drivers_autoprobe before …
    script: bool = False  # … and whether NVIDIA's sriov-manage made them
    instances: tuple[str, ...] = ()  # mig: what was made, 3g.20gb@4 …
    mode: bool = False  # … and whether the mode was off before
    compute: str | None = None  # partition: the compute mode before, SPX …
    memory: str | None = None  # … and the memory mode, where it was changed for this one
    boot_id: str = ""
    since: str = ""  # ISO 8601, UTC
