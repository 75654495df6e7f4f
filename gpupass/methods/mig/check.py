"""What is wrong with a MIG layout whatever the GPU's state, in an operator's words; pure."""

from collections.abc import Iterator
from difflib import get_close_matches

from gpupass.methods.mig.compute import compute_starts, pack_compute, parts_of
from gpupass.model.mig import LayoutEntry, MigGpu, MigProfile, attributes_of, measures_of
from gpupass.plan import Finding


def mistakes(gpu: MigGpu, layout: tuple[LayoutEntry, ...]) -> Iterator[Finding]:
    """Unknown profiles, starts or compute instances that do not exist, more than the GPU has of something."""
    for entry in layout:
        profile = gpu.profile(entry.profile)
        yield from (_unknown(gpu, entry.profile),) if profile is None else _mistakes_of(profile, entry)
    yield from _too_many(gpu, layout)
    yield from _media(gpu, layout)


def nearest_profile(gpu: MigGpu, name: str) -> str | None:
    """What somebody may have meant: the same slices with another board's memory, or a slip of the finger."""
    word = name.lower().removeprefix("mig").strip()[:80]
    measures = measures_of(word)
    alike = [
        (abs(known[1] - measures[1]), profile.name)
        for profile in gpu.profiles
        if measures is not None
        and (known := measures_of(profile.name)) is not None
        and (known[0], profile.attributes) == (measures[0], attributes_of(word))
    ]
    if alike:
        return min(alike)[1]
    return next(iter(get_close_matches(word, [profile.name for profile in gpu.profiles], n=1)), None)


def listed(words: list[str], last: str) -> str:
    """One, two or three: with `last` before the last."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _unknown(gpu: MigGpu, name: str) -> Finding:
    right = nearest_profile(gpu, name)
    shown = name if len(name) <= 60 else f"{name[:59]}…"
    return Finding(
        message=f"this GPU has no profile '{shown}'" + (f", did you mean '{right}'?" if right else ""),
        remedy=f"it has {listed([profile.name for profile in gpu.profiles], 'and')}",
    )


def _mistakes_of(profile: MigProfile, entry: LayoutEntry) -> Iterator[Finding]:
    starts = [place.start for place in profile.placements]
    if entry.start is not None and entry.start not in starts:
        yield Finding(
            message=f"{profile.name} cannot start at slice {entry.start}",
            remedy=f"start: {listed([str(start) for start in starts], 'or')}",
        )
    parts = parts_of(profile, entry)
    wrong = [part for part in parts if not compute_starts(profile.slices, part)]
    if wrong:
        sizes = [f"{n}c" for n in range(1, profile.slices + 1) if compute_starts(profile.slices, n)]
        yield Finding(
            message=f"{profile.name} cannot have a compute instance of {wrong[0]} slices",
            remedy=f"compute: {listed(sizes, 'or')}",
        )
    elif pack_compute(profile.slices, parts) is None:
        yield Finding(
            message=f"{profile.name} has no room for {listed([f'{part}c' for part in parts], 'and')}",
            remedy=f"it has {profile.slices} compute slices",
        )


def _too_many(gpu: MigGpu, layout: tuple[LayoutEntry, ...]) -> Iterator[Finding]:
    for profile in gpu.profiles:
        count = sum(entry.profile == profile.name for entry in layout)
        if count > profile.most:
            most = {1: "one", 2: "two"}.get(profile.most, str(profile.most))
            yield Finding(
                message=f"this GPU can have {most} {profile.name} at most, not {count}",
                remedy="ask for fewer",
            )


def _media(gpu: MigGpu, layout: tuple[LayoutEntry, ...]) -> Iterator[Finding]:
    """A GPU has one set of what +me gives; +me.all leaves nothing for others (MIG User Guide, profiles)."""
    names = sorted({entry.profile for entry in layout if gpu.profile(entry.profile) is not None})
    takers = [name for name in names if {"me", "me.all"} & {*attributes_of(name)}]
    if len(takers) > 1:
        yield Finding(
            message=f"{listed(takers, 'and')} need the media engines that a GPU has once",
            remedy="ask for one of them",
        )
    for taker in takers:
        others = [name for name in names if name not in takers and "-me" not in attributes_of(name)]
        if "me.all" in attributes_of(taker) and others:
            yield Finding(
                message=f"{taker} takes all media engines and leaves none for {listed(others, 'and')}",
                remedy="beside it only profiles with -me fit",
            )
