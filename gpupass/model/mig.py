"""How an NVIDIA GPU can be cut (MIG), how it is cut, and how somebody wants it cut.

Two counts that must not be confused: a GPU instance's place counts *memory* slices of the GPU (0-7 on an
A100), a compute instance's place counts *compute* slices of its GPU instance (nvml.h, GpuInstancePlacement).
"""

import re
from itertools import chain
from typing import Annotated

from msgspec import Struct

from gpupass.model.key import Key
from gpupass.model.user import User

_NAME = re.compile(r"(\d+)g\.(\d+)gb([+-].+)?")


class Placement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, order=True):
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


class MigProfile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


class ComputeInstance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a GPU instance's compute slices; the unit a process runs on."""

    id: int
    placement: Placement
    users: tuple[User, ...] = ()
    uuid: str | None = None  # MIG-…: another one each time it is made, so that it makes no difference

    @property
    def name(self) -> str:
        return f"{self.placement.size}c@{self.placement.start}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ComputeInstance) and self._lasting == other._lasting

    def __hash__(self) -> int:
        return hash(self._lasting)

    @property
    def _lasting(self) -> tuple[int, Placement, tuple[User, ...]]:
        return self.id, self.placement, self.users


class GpuInstance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


class MigGpu(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


class MigState(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """MIG of one GPU that is capable of it. `pending` is the mode after its next reset."""

    on: bool
    pending: bool
    resets: bool = True  # another mode takes a reset of the GPU: so it is before Hopper
    gpu: MigGpu | None = None  # None: not asked for, or …
    unseen: str = ""  # … why it could not be seen


class LayoutEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One GPU instance somebody wants."""

    profile: Annotated[
        str,
        Key(
            "profile of the GPU instance, 3g.20gb",
            pattern=r"[0-9][0-9A-Za-z.,+-]{0,60}",
            form="a profile like 1g.5gb, 1g.5gb+me or 3g.20gb",
        ),
    ]
    start: Annotated[int | None, Key("its first memory slice (default: where it fits best)", minimum=0)] = (
        None
    )
    compute: Annotated[
        tuple[int, ...] | None,
        Key(
            "compute slices of each compute instance: [2c, 2c] (default: one, the whole of it)",
            minimum=1,
            unit="c",
        ),
    ] = None


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
