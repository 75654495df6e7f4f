"""Cutting a GPU anew, against every way there is: nothing is lost that need not be, nothing possible is refused."""

import random
from collections import Counter
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpupass.methods.mig.compute import compute_starts
from gpupass.methods.mig.recut import plan_recut
from gpupass.model.mig import ComputeInstance, GpuInstance, LayoutEntry, MigGpu, MigProfile, Placement
from tests.mig_boards import ALL_BOARDS, board, python

BOARDS = tuple(
    name for name in ALL_BOARDS if name != "RTX-PRO-6000"
)  # whose engines "every way" knows nothing of
SETTINGS = settings(max_examples=300, deadline=None)


def cases():
    """A GPU and a wish. Made from a seed: hypothesis's own choices leave most GPUs empty and most wishes short."""
    return st.integers(0, 2**48).map(random.Random).map(case)


def case(chance):
    gpu = cut_gpu(chance, board(chance.choice(BOARDS)) if chance.random() < 0.7 else invented(chance))
    return gpu, wish(chance, gpu)


def invented(chance):
    """A board that NVIDIA never built: any profiles with any places on 4 to 8 slices."""
    slices, profiles = chance.randint(4, 8), []
    for number in range(chance.randint(1, 4)):
        size = chance.randint(1, chance.choice((2, slices)))
        starts = chance.sample(range(slices - size + 1), chance.randint(1, slices - size + 1))
        parts = chance.randint(1, min(size, 4))
        profiles.append(
            MigProfile(
                id=number,
                name=f"{parts}g.{number + 1}gb",
                slices=parts,
                memory=size * 1024,
                most=chance.randint(1, len(starts)),
                placements=tuple(Placement(start=start, size=size) for start in sorted(starts)),
            )
        )
    return MigGpu(profiles=tuple(profiles))


def cut_gpu(chance, gpu):
    """The board in any state: instances that may be cut further, some of them in use."""
    instances, taken, pids = [], 0, iter(range(1000, 2000))
    for _ in range(chance.randint(0, 12)):
        profile = min(chance.choices(gpu.profiles, k=2), key=lambda one: one.size)
        place = chance.choice(profile.placements)
        if taken & place.mask or sum(one.profile == profile.name for one in instances) == profile.most:
            continue
        taken |= place.mask
        compute, used = [], 0
        parts = [chance.randint(1, 2) for _ in range(4)]
        for size in chance.choice([[profile.slices]] * 2 + [parts, parts, []]):
            starts = [s for s in compute_starts(profile.slices, size) if not used & mask(s, size)]
            if starts:
                where = Placement(start=chance.choice(starts), size=size)
                used |= where.mask
                users = tuple(python(next(pids)) for _ in range(chance.choice((0, 0, 0, 1, 2))))
                compute.append(ComputeInstance(id=len(compute), placement=where, users=users))
        number = len(instances) + 1
        instances.append(
            GpuInstance(id=number, profile=profile.name, placement=place, compute=tuple(compute))
        )
    return MigGpu(profiles=gpu.profiles, instances=tuple(instances))


def wish(chance, gpu):
    """Some of what is there, and something else: that is where much can be lost without need."""
    some = chance.sample(gpu.instances, chance.randint(0, min(5, len(gpu.instances))))
    entries = [described(one, chance.random() < 0.2) for one in some]
    for number, entry in enumerate(entries):
        if chance.random() < 0.3 and entry.compute:
            fewer = tuple(chance.sample(entry.compute, len(entry.compute) - 1))
            entries[number] = replace(entry, compute=fewer)
    for _ in range(chance.randint(0, 2)):
        profile = chance.choice(gpu.profiles)
        start = chance.choice([None, None, None, *(place.start for place in profile.placements)])
        parts = tuple(chance.randint(1, profile.slices) for _ in range(chance.randint(0, 3)))
        compute = parts if chance.random() < 0.2 else None
        entries.append(LayoutEntry(profile=profile.name, start=start, compute=compute))
    chance.shuffle(entries)
    return tuple(entries)


def described(instance, with_start):
    return LayoutEntry(
        profile=instance.profile,
        start=instance.placement.start if with_start else None,
        compute=tuple(part.placement.size for part in instance.compute),
    )


def mask(start, size):
    return ((1 << size) - 1) << start


# ── every way there is ───────────────────────────────────────────────────────────────────────────────────


def ways(sizes_and_starts, taken=0):
    """Every choice of starts without an overlap."""
    if not sizes_and_starts:
        yield ()
        return
    (size, starts), *others = sizes_and_starts
    for start in starts:
        if not taken & mask(start, size):
            for then in ways(others, taken | mask(start, size)):
                yield (start, *then)


def least(costs):
    return min(costs, default=None)


def compute_cost(profile, parts, instance):
    """(users lost, compute instances lost) of the best way to cut an instance so; None: there is none."""
    old = {part.placement: part for part in instance.compute} if instance is not None else {}
    costs = []
    for starts in ways([(part, compute_starts(profile.slices, part)) for part in parts]):
        kept = {Placement(start=s, size=n) for s, n in zip(starts, parts, strict=True)}
        lost = [part for place, part in old.items() if place not in kept]
        costs.append((sum(len(part.users) for part in lost), len(lost)))
    return least(costs)


def best_cost(gpu, wish):
    """(users, GPU instances, compute instances) lost by the best of all ways; None: there is none."""
    profiles = {profile.name: profile for profile in gpu.profiles}
    counts = Counter(entry.profile for entry in wish)
    if any(counts[name] > profile.most for name, profile in profiles.items()):
        return None
    if sum(count for name, count in counts.items() if name.endswith("+me")) > 1:
        return None
    parts = [(profiles[e.profile].slices,) if e.compute is None else e.compute for e in wish]
    old = {(instance.profile, instance.placement.start): instance for instance in gpu.instances}
    known = {}

    def cost_of(number, start):
        if (number, start) not in known:
            entry = wish[number]
            instance = old.get((entry.profile, start))
            known[number, start] = compute_cost(profiles[entry.profile], parts[number], instance)
        return known[number, start]

    costs = []
    choices = [
        (
            profiles[entry.profile].size,
            [p.start for p in profiles[entry.profile].placements if entry.start in (None, p.start)],
        )
        for entry in wish
    ]
    for starts in ways(choices):
        each = [cost_of(number, start) for number, start in enumerate(starts)]
        if None in each:
            return None
        kept = {(entry.profile, start) for entry, start in zip(wish, starts, strict=True)}
        gone = [instance for key, instance in old.items() if key not in kept]
        users = sum(len(instance.all_users) for instance in gone) + sum(cost[0] for cost in each)
        compute = sum(len(instance.compute) for instance in gone) + sum(cost[1] for cost in each)
        costs.append((users, len(gone), compute))
    return least(costs)


def cost(recut):
    parts = [part for kept in recut.kept for part in kept.destroyed]
    return (
        sum(len(one.all_users) for one in recut.destroyed) + sum(len(part.users) for part in parts),
        len(recut.destroyed),
        sum(len(one.compute) for one in recut.destroyed) + len(parts),
    )


# ── what holds ───────────────────────────────────────────────────────────────────────────────────────────


@SETTINGS
@given(cases())
def test_the_least_is_lost_and_nothing_possible_is_refused(case):
    gpu, wish = case
    best = best_cost(gpu, wish)
    recut = plan_recut(gpu, wish, disrupt=True)
    assert bool(recut.refusals) == (best is None)
    if best is not None:
        assert cost(recut) == best
        assert len(recut.disruptions) == best[0]
    careful = plan_recut(gpu, wish)
    assert bool(careful.refusals) == (best is None or best[0] > 0)
    assert careful == recut if not careful.refusals else not careful.changes
    assert all(finding.message and finding.remedy for finding in (*recut.refusals, *careful.refusals))


@SETTINGS
@given(cases())
def test_the_result_is_the_wish(case):
    gpu, wish = case
    recut = plan_recut(gpu, wish, disrupt=True)
    if recut.refusals:
        return
    after = after_recut(gpu, recut)
    places = [instance.placement for instance in after.instances]
    assert not any(one.mask & other.mask for one, other in combinations(places, 2))
    for instance in after.instances:
        profile = after.profile(instance.profile)
        assert instance.placement in profile.placements
        parts = [part.placement for part in instance.compute]
        assert not any(one.mask & other.mask for one, other in combinations(parts, 2))
        assert all(part.start in compute_starts(profile.slices, part.size) for part in parts)
    assert Counter(found(gpu, entry) for entry in wish) == Counter(
        (one.profile, *sorted(part.placement.size for part in one.compute)) for one in after.instances
    )
    wanted_starts = Counter((entry.profile, entry.start) for entry in wish if entry.start is not None)
    there = Counter((one.profile, one.placement.start) for one in after.instances)
    assert wanted_starts <= there
    assert [new.placement.size for new in recut.created] == sorted(
        (new.placement.size for new in recut.created), reverse=True
    )
    assert not plan_recut(after, wish).changes


@SETTINGS
@given(cases())
def test_a_wish_that_is_the_state_changes_nothing(case):
    gpu, _ = case
    if sum(instance.profile.endswith("+me") for instance in gpu.instances) > 1:
        return
    for with_start in (False, True):
        recut = plan_recut(gpu, tuple(described(instance, with_start) for instance in gpu.instances))
        assert not recut.refusals and not recut.changes and not recut.disruptions
        assert len(recut.kept) == len(gpu.instances)


def after_recut(gpu, recut):
    """The GPU when everything has been done."""
    kept = [
        replace(
            one.instance,
            compute=tuple(
                ComputeInstance(id=number, placement=place)
                for number, place in enumerate(
                    [
                        *(p.placement for p in one.instance.compute if p not in one.destroyed),
                        *one.created,
                    ]
                )
            ),
        )
        for one in recut.kept
    ]
    created = [
        GpuInstance(
            id=100 + number,
            profile=new.profile.name,
            placement=new.placement,
            compute=tuple(ComputeInstance(id=n, placement=place) for n, place in enumerate(new.compute)),
        )
        for number, new in enumerate(recut.created)
    ]
    return MigGpu(profiles=gpu.profiles, instances=(*kept, *created))


def found(gpu, entry):
    parts = (gpu.profile(entry.profile).slices,) if entry.compute is None else entry.compute
    return (entry.profile, *sorted(parts))
