"""NVIDIA MIG: how a GPU must be cut anew to be as a layout wants it; pure.

Everything about the GPU comes from its driver (`MigGpu`). Of all ways to the layout the one is taken that
loses the fewest users, then GPU instances, then compute instances, and that leaves the most room for more.
Before all that come the instances that somebody wants spared.
"""

from collections.abc import Iterator

from msgspec import Struct

from gpupass.methods.mig.check import listed, mistakes
from gpupass.methods.mig.compute import pack_compute, parts_of
from gpupass.methods.mig.packing import Piece, pack
from gpupass.model.mig import (
    ComputeInstance,
    GpuInstance,
    LayoutEntry,
    MigGpu,
    MigProfile,
    Placement,
)
from gpupass.model.user import User
from gpupass.plan import Disruption, Finding

Wanted = tuple[MigProfile, LayoutEntry]
_NOTHING = (0, 0, 0, 0, 0)  # spared ones, users, GPU instances, compute instances, room


class KeptInstance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A GPU instance that stays; its compute instances may change."""

    instance: GpuInstance
    destroyed: tuple[ComputeInstance, ...] = ()
    created: tuple[Placement, ...] = ()


class NewInstance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A GPU instance to be made, with its compute instances."""

    profile: MigProfile
    placement: Placement
    compute: tuple[Placement, ...]


class Recut(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From the GPU as it is to the layout: destroy, then create in this order. With `refusals`: nothing."""

    kept: tuple[KeptInstance, ...] = ()
    destroyed: tuple[GpuInstance, ...] = ()
    created: tuple[NewInstance, ...] = ()  # largest first
    refusals: tuple[Finding, ...] = ()

    @property
    def disruptions(self) -> tuple[Disruption, ...]:
        """Whoever works on what is destroyed."""
        return tuple(_disruptions(self.destroyed, self.kept))

    @property
    def changes(self) -> bool:
        """Is there anything to do?"""
        parts = any(kept.destroyed or kept.created for kept in self.kept)
        return bool(self.destroyed or self.created or parts)


def plan_recut(
    gpu: MigGpu,
    layout: tuple[LayoutEntry, ...],
    disrupt: bool = False,
    spare: frozenset[GpuInstance] = frozenset(),
) -> Recut:
    """`disrupt`: what is in use may be destroyed; it is then named in `disruptions`.

    Instances to `spare` are changed only where the layout can be reached in no other way.
    """
    findings = tuple(dict.fromkeys(mistakes(gpu, layout)))
    if findings:
        return Recut(refusals=findings)
    wanted = _largest_first(gpu, layout)
    starts = _pack(gpu, wanted, spare)
    if starts is None:
        return Recut(refusals=(_no_room(gpu, wanted),))
    recut = _recut(gpu, wanted, starts)
    if recut.disruptions and not disrupt:
        return Recut(refusals=tuple(in_use(gpu, recut)))
    return recut


# ── the best way from here to there ────────────────────────────────────────────────────────────────────────


def _largest_first(gpu: MigGpu, layout: tuple[LayoutEntry, ...]) -> tuple[Wanted, ...]:
    pairs = [(profile, entry) for entry in layout if (profile := gpu.profile(entry.profile)) is not None]
    return tuple(sorted(pairs, key=lambda pair: (-pair[0].size, -pair[0].slices, pair[0].name)))


def _pack(
    gpu: MigGpu, wanted: tuple[Wanted, ...], spare: frozenset[GpuInstance] = frozenset()
) -> tuple[int, ...] | None:
    places = tuple(place.mask for profile in gpu.profiles for place in profile.placements)
    return pack(tuple(_piece(gpu, profile, entry, spare) for profile, entry in wanted), _NOTHING, places)


def _piece(gpu: MigGpu, profile: MigProfile, entry: LayoutEntry, spare: frozenset[GpuInstance]) -> Piece:
    saves = {}
    for instance in gpu.instances:
        if instance.profile == profile.name:
            kept = _kept(profile, entry, instance)
            saves[instance.placement.start] = (
                -1 if instance in spare and not kept.destroyed else 0,
                _users_lost(kept) - len(instance.all_users),
                -1,
                len(kept.destroyed) - len(instance.compute),
                0,
            )
    return Piece(
        size=profile.size,
        starts=tuple(
            sorted(place.start for place in profile.placements if entry.start in (None, place.start))
        ),
        saves=tuple(saves.items()),
    )


def _users_lost(kept: KeptInstance) -> int:
    return sum(len(part.users) for part in kept.destroyed)


def _kept(profile: MigProfile, entry: LayoutEntry, instance: GpuInstance) -> KeptInstance:
    """The instance with other compute instances, as few of them as can be."""
    wanted = pack_compute(profile.slices, parts_of(profile, entry), instance.compute) or ()
    there = {part.placement for part in instance.compute}
    return KeptInstance(
        instance=instance,
        destroyed=tuple(part for part in instance.compute if part.placement not in wanted),
        created=tuple(place for place in wanted if place not in there),
    )


def _recut(gpu: MigGpu, wanted: tuple[Wanted, ...], starts: tuple[int, ...]) -> Recut:
    there = {(instance.profile, instance.placement.start): instance for instance in gpu.instances}
    kept, created = [], []
    for (profile, entry), start in zip(wanted, starts, strict=True):
        instance = there.pop((profile.name, start), None)
        if instance is not None:
            kept.append(_kept(profile, entry, instance))
            continue
        compute = pack_compute(profile.slices, parts_of(profile, entry)) or ()
        place = Placement(start=start, size=profile.size)
        created.append(NewInstance(profile=profile, placement=place, compute=compute))
    destroyed = tuple(there.values())
    return Recut(
        kept=tuple(kept),
        destroyed=destroyed,
        created=tuple(created),
    )


def _disruptions(destroyed: tuple[GpuInstance, ...], kept: tuple[KeptInstance, ...]) -> Iterator[Disruption]:
    for instance in destroyed:
        for user in instance.all_users:
            yield Disruption(victim=_named(user), loses=_at(instance))
    for one in kept:
        for part in one.destroyed:
            for user in part.users:
                yield Disruption(victim=_named(user), loses=f"{part.placement.size}c of {_at(one.instance)}")


# ── why not, in an operator's words ────────────────────────────────────────────────────────────────────────

_REMEDY = "end what uses it, or add --allow-disruption"


def _no_room(gpu: MigGpu, wanted: tuple[Wanted, ...]) -> Finding:
    """Says which entry is the first that has no place left, in the order of size."""
    needed = sum(profile.size for profile, _ in wanted)
    if needed > gpu.size:
        return Finding(
            message=f"the layout needs {needed} memory slices, and this GPU has {gpu.size}",
            remedy="ask for fewer or smaller instances",
        )
    empty = MigGpu(profiles=gpu.profiles)
    fitting = next(count for count in range(len(wanted)) if _pack(empty, wanted[: count + 1]) is None)
    profile, entry = wanted[fitting]
    beside = listed([_entry(other) for _, other in wanted[:fitting]], "and")
    return Finding(
        message=f"{_needs(profile, entry.start)}; beside {beside} there is no such place",
        remedy="ask for fewer or smaller instances, or other starts",
    )


def in_use(gpu: MigGpu, recut: Recut) -> Iterator[Finding]:
    """One reason for each new instance that is in the way of users, and for each used one nobody wants."""
    told: set[GpuInstance] = set()
    for new in recut.created:
        lost = [old for old in recut.destroyed if old.all_users and old.placement.mask & new.placement.mask]
        if lost:
            told.update(lost)
            mask = 0
            for place in new.profile.placements:
                mask |= place.mask
            users = [old for old in gpu.instances if old.all_users and old.placement.mask & mask]
            yield Finding(message=f"{_needs(new.profile)}; {_used(users)}", remedy=_REMEDY)
    for old in recut.destroyed:
        if old.all_users and old not in told:
            message = f"the layout leaves no {_at(old)}, which is used by {_users(old.all_users)}"
            yield Finding(message=message, remedy=_REMEDY)
    for kept in recut.kept:
        for part in kept.destroyed:
            if part.users:
                yield Finding(
                    message=f"the layout leaves no compute instance {part.placement.size}c in "
                    f"{_at(kept.instance)}, which is used by {_users(part.users)}",
                    remedy=_REMEDY,
                )


def _needs(profile: MigProfile, start: int | None = None) -> str:
    places = [place for place in profile.placements if start in (None, place.start)]
    if places[0].size == 1:
        return f"{profile.name} needs slice {listed([str(place.start) for place in places], 'or')}"
    return f"{profile.name} needs slices {listed([_span(place) for place in places], 'or')}"


def _used(instances: list[GpuInstance]) -> str:
    return ", ".join(
        f"{_slices(old.placement)} {'are' if old.placement.size > 1 else 'is'} used by "
        f"{old.profile} ({_users(old.all_users, inside=True)})"
        for old in sorted(instances, key=lambda old: old.placement)
    )


def _users(users: tuple[User, ...], inside: bool = False) -> str:
    return "; ".join(dict.fromkeys(_named(user, inside) for user in users))


def _named(user: User, inside: bool = False) -> str:
    """`inside`: stands in parentheses already."""
    return f"{user.name}, pid {user.pid}" if inside and user.pid is not None else user.words


def _entry(entry: LayoutEntry) -> str:
    return entry.profile if entry.start is None else f"{entry.profile} at slice {entry.start}"


def _at(instance: GpuInstance) -> str:
    return f"{instance.profile} at {_slices(instance.placement)}"


def _slices(place: Placement) -> str:
    return f"slice {place.start}" if place.size == 1 else f"slices {_span(place)}"


def _span(place: Placement) -> str:
    return f"{place.start}-{place.start + place.size - 1}"
