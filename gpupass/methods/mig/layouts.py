"""MIG layouts by name, made of what the GPU's driver offers; pure."""

from difflib import get_close_matches

from gpupass.errors import Usage
from gpupass.methods.mig.check import listed, nearest_profile
from gpupass.model.mig import LayoutEntry, MigGpu, MigProfile

EMPTY = "empty"
BALANCED = "balanced"
_ALL = "all-"


def named_layout(name: str, gpu: MigGpu) -> tuple[LayoutEntry, ...]:
    """Usage when this GPU has no layout of that name.

    empty          MIG mode, and no instances yet (mig-parted: all-enabled)
    balanced       some of each size (mig-parted: all-balanced)
    all-1g         as many as there can be of the smallest profile with one slice
    all-1g.5gb+me  … of just this profile (mig-parted spells it all-1g.5gb.me)
    """
    if name in (EMPTY, f"{_ALL}enabled"):
        return ()
    if name.removeprefix(_ALL) == BALANCED:
        return balanced(gpu)
    profile = _meant(name.removeprefix(_ALL), gpu) if name.startswith(_ALL) else None
    if profile is None:
        known = [EMPTY, BALANCED, *(f"{_ALL}{profile.name}" for profile in gpu.profiles)]
        profile_meant = nearest_profile(gpu, name.removeprefix(_ALL))
        near = [f"{_ALL}{profile_meant}"] if profile_meant else get_close_matches(name.lower(), known, n=1)
        raise Usage(
            f"this GPU has no layout '{name[:60]}'" + (f", did you mean '{near[0]}'?" if near else ""),
            f"it has {listed(known, 'and')}",
        )
    return (LayoutEntry(profile=profile.name),) * profile.most


def balanced(gpu: MigGpu) -> tuple[LayoutEntry, ...]:
    """Half of the slices that are left, again and again: 3g, 2g, 1g, 1g of seven and 2g, 1g, 1g of four.

    The same as mig-parted's all-balanced for every board it knows (its config-default.yaml).
    """
    entries, left = [], gpu.slices
    while left:
        profile = _plain(max(left // 2, 1), gpu)
        if profile is None:
            raise Usage("this GPU has no balanced layout", "name the profiles instead")
        entries.append(LayoutEntry(profile=profile.name))
        left -= profile.slices
    return tuple(entries)


def _meant(word: str, gpu: MigGpu) -> MigProfile | None:
    spelled = {profile.name.replace("+", "."): profile for profile in gpu.profiles}
    slices = word.removesuffix("g")
    if slices != word and slices.isdecimal() and slices.isascii():
        return _plain(int(slices[:3]), gpu)
    return gpu.profile(word) or spelled.get(word)


def _plain(slices: int, gpu: MigGpu) -> MigProfile | None:
    """Without attributes, with the least memory."""
    plain = [one for one in gpu.profiles if one.slices == slices and not one.attributes]
    return min(plain, key=lambda one: one.memory, default=None)
