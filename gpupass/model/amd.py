"""How an AMD GPU is split: compute partitions, memory partitions, and the hive that shares the latter."""

from msgspec import Struct

AMDGPU = "amdgpu"  # the driver
GIM_OPTIONS = "/etc/modprobe.d/gpupass-gim.conf"
GIM_COUNTS = "vf_num"


class Partition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One compute partition; it has no PCI function of its own."""

    name: str  # cpx3
    render: str | None = None  # renderD131


class Amd(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As amdgpu tells it, on bare metal; `computes` are what it takes in the present memory mode."""

    compute: str | None = None  # SPX, DPX, TPX, QPX, CPX
    memory: str | None = None  # NPS1, NPS2, NPS4, NPS8
    computes: tuple[str, ...] = ()
    memories: tuple[str, ...] = ()
    hive: str | None = None  # GPUs with the same one change their memory mode together
    partitions: tuple[Partition, ...] = ()


class Gim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As AMD's SR-IOV host driver tells it."""

    compute: str | None = None  # follows from the number of VFs
    memory: str | None = None
    counts: tuple[int, ...] = ()  # of VFs, as gpupass has told every boot; one for each GPU of GIM


def vf_counts(options: str) -> tuple[int, ...]:
    """Of GIM's options ("vf_num=8,1"): the virtual functions of each GPU; () where they say nothing."""
    values = dict(option.partition("=")[::2] for option in options.split()).get(GIM_COUNTS, "")
    return tuple(int(value) for value in values.split(",") if value.isdecimal())
