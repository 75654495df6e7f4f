"""How an NVIDIA GPU can be cut (MIG), how it is cut, and how somebody wants it cut.

Two counts that must not be confused: a GPU instance's place counts *memory* slices of the GPU (0-7 on an
A100), a compute instance's place counts *compute* slices of its GPU instance (nvml.h, GpuInstancePlacement).
"""

import re
from dataclasses import dataclass, field
from itertools import chain

from gpupass.model.key import key
from gpupass.model.user import User

_NAME = re.compile(r"(\d+)g\.(\d+)gb([+-].+)?")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Placement:
    """`size` slices from `start` on."""

    start: int
    size: int

    @property
    def slices(self) -> range:
        return range(self.start, self.start + self.size)

    @property
    def mask(self) -> int:
        """One bit for each slice."""
        return ((1 << self.size) - 1) << self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class MigProfile:
    """One kind of GPU instance, as the driver tells it (nvmlDeviceGetGpuInstanceProfileInfo)."""

    id: int  # what instances are made by: 19, 14, 9, …
    name: str  # "3g.20gb", "1g.5gb+me": without the driver's "MIG "
    slices: int  # compute slices
    memory: int  # MiB
    most: int  # how many of them fit on an empty GPU
    placements: tuple[Placement, ...]  # where it may stand, in memory slices; one at least, of one size

    @property
    def size(self) -> int:
        """Memory slices."""
        return self.placements[0].size

    @property
    def attributes(self) -> tuple[str, ...]:
        return attributes_of(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeInstance:
    """A part of a GPU instance's compute slices; the unit a process runs on."""

    id: int
    placement: Placement
    users: tuple[User, ...] = ()
    uuid: str | None = field(default=None, compare=False)  # MIG-…: another one each time it is made

    @property
    def name(self) -> str:
        return f"{self.placement.size}c@{self.placement.start}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuInstance:
    """A part of a GPU. Its id says nothing of its place, and neither survives a reset."""

    id: int
    profile: str
    placement: Placement
    compute: tuple[ComputeInstance, ...] = ()
    users: tuple[User, ...] = ()  # of the instance as such: guests; processes are with its compute instances

    @property
    def name(self) -> str:
        return instance_name(self.profile, self.placement)

    @property
    def all_users(self) -> tuple[User, ...]:
        return (*self.users, *chain.from_iterable(part.users for part in self.compute))


@dataclass(frozen=True, slots=True, kw_only=True)
class MigGpu:
    """One GPU in MIG mode."""

    profiles: tuple[MigProfile, ...]
    instances: tuple[GpuInstance, ...] = ()

    def profile(self, name: str) -> MigProfile | None:
        return next((profile for profile in self.profiles if profile.name == name), None)

    @property
    def slices(self) -> int:
        """Compute slices of the whole GPU."""
        return max((profile.slices for profile in self.profiles), default=0)

    @property
    def size(self) -> int:
        """Memory slices of the whole GPU."""
        return max(
            (place.start + place.size for profile in self.profiles for place in profile.placements), default=0
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MigState:
    """MIG of one GPU that is capable of it. `pending` is the mode after its next reset."""

    on: bool
    pending: bool
    resets: bool = True  # another mode takes a reset of the GPU: so it is before Hopper
    gpu: MigGpu | None = None  # None: not asked for, or …
    unseen: str = ""  # … why it could not be seen


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutEntry:
    """One GPU instance somebody wants."""

    profile: str = key(
        "profile of the GPU instance, 3g.20gb",
        pattern=r"[0-9][0-9A-Za-z.,+-]{0,60}",
        form="a profile like 1g.5gb, 1g.5gb+me or 3g.20gb",
    )
    start: int | None = key("its first memory slice (default: where it fits best)", default=None, minimum=0)
    compute: tuple[int, ...] | None = key(
        "compute slices of each compute instance: [2c, 2c] (default: one, the whole of it)",
        default=None,
        minimum=1,
        unit="c",
    )


def instance_name(profile: str, placement: Placement) -> str:
    """What a GPU instance is called, whatever its id and UUID: 3g.20gb@4."""
    return f"{profile}@{placement.start}"


def attributes_of(name: str) -> tuple[str, ...]:
    """("me",) of "1g.5gb+me", ("-me",) of "1g.24gb-me" (NVIDIA go-nvlib, mig_profile.go)."""
    found = _NAME.fullmatch(name)
    if found is None or not found[3]:
        return ()
    words = tuple(found[3][1:].split(","))
    return words if found[3][0] == "+" else tuple(f"-{word}" for word in words)


def measures_of(name: str) -> tuple[int, int] | None:
    """Compute slices and GB of a profile's name; None: it is no such name."""
    found = _NAME.fullmatch(name)
    return (int(found[1]), int(found[2])) if found is not None else None
