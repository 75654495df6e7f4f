"""A GPU is cut anew with the least that can be lost, or the reason is told why it cannot be."""

import pytest
from msgspec.structs import replace

from gpupass.methods.mig.check import nearest_profile
from gpupass.methods.mig.compute import compute_starts, pack_compute
from gpupass.methods.mig.recut import plan_recut
from gpupass.model.mig import ComputeInstance, GpuInstance, LayoutEntry, MigGpu, MigProfile, Placement
from gpupass.model.user import User, UserKind
from gpupass.plan import Disruption
from tests.mig_boards import board, cut, instance, published, python


def entry(text):
    """3g.20gb, 3g.20gb@4, 3g.20gb=2c+1c, 3g.20gb@4=2c+1c; "=" alone: without compute instances."""
    text, equals, parts = text.partition("=")
    profile, at, start = text.partition("@")
    compute = tuple(int(part.removesuffix("c")) for part in parts.split("+") if part) if equals else None
    return LayoutEntry(profile=profile, start=int(start) if at else None, compute=compute)


def layout(text):
    return tuple(map(entry, text.split()))


def told(recut):
    """(kept, destroyed, created), each as profile@start …"""
    assert not recut.refusals
    return (
        " ".join(f"{k.instance.profile}@{k.instance.placement.start}" for k in recut.kept),
        " ".join(f"{old.profile}@{old.placement.start}" for old in recut.destroyed),
        " ".join(f"{new.profile.name}@{new.placement.start}" for new in recut.created),
    )


EMPTY, FULL = (), (("1g.5gb", 0), ("1g.5gb", 1), ("1g.5gb", 2), ("1g.5gb", 3), ("1g.5gb", 4), ("1g.5gb", 5), ("1g.5gb", 6))  # fmt: skip
CASES = {
    # from, wish, kept, destroyed, created
    "the-order-does-not-matter": (EMPTY, "1g.5gb 1g.5gb 2g.10gb 3g.20gb", "", "", "3g.20gb@4 2g.10gb@0 1g.5gb@2 1g.5gb@3"),
    "mig-parted-finds-this-by-trying": (EMPTY, "1g.5gb 1g.5gb 2g.10gb 2g.10gb 1g.5gb", "", "", "2g.10gb@0 2g.10gb@2 1g.5gb@4 1g.5gb@5 1g.5gb@6"),
    "room-is-left-for-more": (EMPTY, "1g.5gb", "", "", "1g.5gb@6"),
    "3g-beside-4g": (EMPTY, "3g.20gb 4g.20gb", "", "", "4g.20gb@0 3g.20gb@4"),
    "a-start-is-obeyed": (EMPTY, "3g.20gb@0", "", "", "3g.20gb@0"),
    "nothing": (FULL, " ".join(["1g.5gb"] * 7), " ".join(f"1g.5gb@{n}" for n in range(7)), "", ""),
    "all-away": (FULL[:2], "", "", "1g.5gb@0 1g.5gb@1", ""),
    "one-of-seven": (FULL, " ".join(["1g.5gb"] * 6), " ".join(f"1g.5gb@{n}" for n in range(6)), "1g.5gb@6", ""),
    "one-more": (FULL[:6], " ".join(["1g.5gb"] * 7), " ".join(f"1g.5gb@{n}" for n in range(6)), "", "1g.5gb@6"),
    "only-what-is-in-the-way": (FULL, "3g.20gb 1g.5gb 1g.5gb 1g.5gb", "1g.5gb@0 1g.5gb@1 1g.5gb@2", "1g.5gb@3 1g.5gb@4 1g.5gb@5 1g.5gb@6", "3g.20gb@4"),
    "kept-although-low": ((("1g.5gb", 3),), "1g.5gb 3g.20gb", "1g.5gb@3", "", "3g.20gb@4"),
    "moved-because-it-must": ((("1g.5gb", 3),), "1g.5gb 4g.20gb", "", "1g.5gb@3", "4g.20gb@0 1g.5gb@6"),
    "another-kind-at-the-same-place": ((("3g.20gb", 0),), "4g.20gb", "", "3g.20gb@0", "4g.20gb@0"),
    "me-is-another-profile": ((("1g.5gb", 0),), "1g.5gb+me@0", "", "1g.5gb@0", "1g.5gb+me@0"),
    "the-one-in-use-stays": ((("1g.5gb", 0, 1), ("1g.5gb", 5)), "1g.5gb 3g.20gb", "1g.5gb@0", "1g.5gb@5", "3g.20gb@4"),
    "two-idle-ones-go-for-one-in-use": ((("1g.5gb", 0, 1), ("1g.5gb", 4), ("1g.5gb", 5)), "1g.5gb 1g.5gb 3g.20gb", "1g.5gb@0", "1g.5gb@4 1g.5gb@5", "3g.20gb@4 1g.5gb@1"),
}  # fmt: skip


@pytest.mark.parametrize(("state", "wish", "kept", "destroyed", "created"), CASES.values(), ids=CASES)
def test_from_a_state_to_a_layout(state, wish, kept, destroyed, created):
    assert told(plan_recut(cut("A100-40", *state), layout(wish))) == (kept, destroyed, created)


REFUSALS = {
    "unknown": (EMPTY, "3g.40gb", "this GPU has no profile '3g.40gb', did you mean '3g.20gb'?"),
    "too-many": (EMPTY, "3g.20gb 3g.20gb 3g.20gb", "this GPU can have two 3g.20gb at most, not 3"),
    "too-large": (EMPTY, "4g.20gb 3g.20gb 1g.5gb", "the layout needs 9 memory slices, and this GPU has 8"),
    "no-such-start": (EMPTY, "3g.20gb@2", "3g.20gb cannot start at slice 2"),
    "starts-that-quarrel": (EMPTY, "3g.20gb@0 4g.20gb", "3g.20gb needs slices 0-3; beside 4g.20gb there is no such place"),
    "no-place": (EMPTY, "3g.20gb 2g.10gb 2g.10gb@4", "2g.10gb needs slices 4-5; beside 3g.20gb and 2g.10gb there is no such place"),
    "no-such-part": (EMPTY, "4g.20gb=3c", "4g.20gb cannot have a compute instance of 3 slices"),
    "no-room-for-parts": (EMPTY, "3g.20gb=2c+1c+1c", "3g.20gb has no room for 2c, 1c and 1c"),
    "me-twice": (EMPTY, "1g.5gb+me 1g.5gb+me", "this GPU can have one 1g.5gb+me at most, not 2"),
    "in-use": ((("1g.5gb", 5, 4242), ("2g.10gb", 0, 7)), "3g.20gb 2g.10gb", "3g.20gb needs slices 0-3 or 4-7; slices 0-1 are used by 2g.10gb (python, pid 7), slice 5 is used by 1g.5gb (python, pid 4242)"),
    "in-use-and-not-wanted": ((("1g.5gb", 5, 4242),), "", "the layout leaves no 1g.5gb at slice 5, which is used by python (pid 4242)"),
}  # fmt: skip


@pytest.mark.parametrize(("state", "wish", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_reasons(state, wish, reason):
    recut = plan_recut(cut("A100-40", *state), layout(wish))
    assert [finding.message for finding in recut.refusals] == [reason]
    assert all(finding.remedy for finding in recut.refusals) and not recut.changes


def test_media_engines_are_shared_by_two_profiles():
    (finding,) = plan_recut(board("A30"), layout("2g.12gb+me 1g.6gb+me")).refusals
    assert finding.message == "1g.6gb+me and 2g.12gb+me need the media engines that a GPU has once"


def test_a_profile_that_the_gpu_does_not_have_needs_no_media_engines_of_it():
    (finding,) = plan_recut(cut("A100-40"), layout("1g.5gb+me 9g.90gb+me")).refusals
    assert finding.message.startswith("this GPU has no profile '9g.90gb+me'")


def test_me_all_leaves_nothing_for_others():
    """The profiles of an RTX PRO 6000 Blackwell (NVIDIA MIG User Guide): twelve slices of memory, quarters."""
    quarters = tuple(Placement(start=start, size=3) for start in (0, 3, 6, 9))
    names = {"1g.24gb": 4, "1g.24gb+me": 1, "1g.24gb+gfx": 4, "1g.24gb+me.all": 1, "1g.24gb-me": 4}
    gpu = MigGpu(
        profiles=tuple(
            MigProfile(id=n, name=name, slices=1, memory=24186, most=most, placements=quarters)
            for n, (name, most) in enumerate(names.items())
        )
    )
    (finding,) = plan_recut(gpu, layout("1g.24gb+me.all 1g.24gb+gfx 1g.24gb-me")).refusals
    assert finding.message == "1g.24gb+me.all takes all media engines and leaves none for 1g.24gb+gfx"
    assert told(plan_recut(gpu, layout("1g.24gb+me.all 1g.24gb-me 1g.24gb-me")))[2].count("-me@") == 2


def test_what_is_in_use_goes_only_when_allowed_and_is_named():
    gpu = cut("A100-40", ("1g.5gb", 5, 4242), ("1g.5gb", 0))
    assert plan_recut(gpu, layout("7g.40gb")).refusals
    recut = plan_recut(gpu, layout("7g.40gb"), disrupt=True)
    assert told(recut) == ("", "1g.5gb@5 1g.5gb@0", "7g.40gb@0")
    assert recut.disruptions == (Disruption(victim="python (pid 4242)", loses="1g.5gb at slice 5"),)


def test_a_guest_is_a_user_of_its_instance():
    """Cut around it where that can be; a refusal says who it is."""
    gpu = board("A100-40")
    guests = (User(kind=UserKind.DOMAIN, name="web"), User(kind=UserKind.VM, name="1b4e28ba"))
    used = replace(instance(gpu, "3g.20gb", 0), users=guests)
    gpu = board("A100-40", instance(gpu, "3g.20gb", 4), used)
    assert told(plan_recut(gpu, layout("3g.20gb"))) == ("3g.20gb@0", "3g.20gb@4", "")
    (finding,) = plan_recut(gpu, layout("7g.40gb")).refusals
    assert "slices 0-3 are used by 3g.20gb (domain web; VM 1b4e28ba)" in finding.message
    recut = plan_recut(gpu, layout("7g.40gb"), disrupt=True)
    assert [one.victim for one in recut.disruptions] == ["domain web", "VM 1b4e28ba"]


def part(number, start, size, *pids):
    return ComputeInstance(
        id=number, placement=Placement(start=start, size=size), users=tuple(map(python, pids))
    )


def test_compute_instances_change_within_what_stays():
    gpu = board("A100-40")
    gpu = board("A100-40", instance(gpu, "4g.20gb", 0, part(0, 0, 2, 11), part(1, 2, 1), part(2, 3, 1)))
    assert not plan_recut(gpu, layout("4g.20gb=1c+2c+1c")).changes
    (kept,) = plan_recut(gpu, layout("4g.20gb=2c+2c")).kept
    assert [one.id for one in kept.destroyed] == [1, 2]
    assert kept.created == (Placement(start=2, size=2),)
    (finding,) = plan_recut(gpu, layout("4g.20gb")).refusals
    assert finding.message == (
        "the layout leaves no compute instance 2c in 4g.20gb at slices 0-3, which is used by python (pid 11)"
    )
    recut = plan_recut(gpu, layout("4g.20gb"), disrupt=True)
    assert recut.disruptions == (Disruption(victim="python (pid 11)", loses="2c of 4g.20gb at slices 0-3"),)
    assert not recut.destroyed and recut.kept[0].created == (Placement(start=0, size=4),)


def test_of_like_parts_the_one_in_use_stays():
    gpu = board("A100-40")
    gpu = board("A100-40", instance(gpu, "3g.20gb", 0, part(0, 0, 1), part(1, 1, 1, 11), part(2, 2, 1)))
    (kept,) = plan_recut(gpu, layout("3g.20gb=1c")).kept
    assert [one.id for one in kept.destroyed] == [0, 2] and not kept.created


def test_each_wish_finds_the_instance_that_is_cut_as_it_says():
    gpu = board("A100-40")
    split = instance(gpu, "3g.20gb", 0, part(0, 0, 2), part(1, 2, 1))
    gpu = board("A100-40", split, instance(gpu, "3g.20gb", 4))
    assert not plan_recut(gpu, layout("3g.20gb 3g.20gb=2c+1c")).changes
    assert plan_recut(gpu, layout("3g.20gb@0 3g.20gb=2c+1c")).changes


def test_an_instance_without_compute_instances_can_be_wanted():
    (new,) = plan_recut(board("A100-40"), layout("3g.20gb=")).created
    assert new.compute == ()


def test_an_instance_of_a_profile_that_the_driver_no_longer_tells_goes_like_any_other():
    old = GpuInstance(id=1, profile="2g.11gb", placement=Placement(start=0, size=2))
    assert told(plan_recut(board("A100-40", old), layout("4g.20gb"))) == ("", "2g.11gb@0", "4g.20gb@0")


@pytest.mark.parametrize(
    ("whole", "counts"),
    [
        (1, {1: 1}),
        (2, {1: 2, 2: 1}),
        (3, {1: 3, 2: 1, 3: 1}),
        (4, {1: 4, 2: 2, 4: 1}),
        (7, {1: 7, 2: 3, 3: 2, 4: 1, 7: 1}),
    ],
)
def test_parts_of_an_instance(whole, counts):
    """The counts of `nvidia-smi mig -lcip` (NVIDIA MIG User Guide)."""
    assert {n: len(compute_starts(whole, n)) for n in range(9) if compute_starts(whole, n)} == counts


def test_parts_find_their_places():
    assert pack_compute(7, (3, 3, 1)) == tuple(
        Placement(start=start, size=size) for start, size in ((0, 3), (4, 3), (3, 1))
    )
    assert pack_compute(7, (4, 3)) == (Placement(start=0, size=4), Placement(start=4, size=3))
    assert pack_compute(7, (4, 4)) is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("3g.20gb", "3g.40gb"),
        ("1g.5gb+me", "1g.10gb+me"),
        ("2g.10gb", "2g.20gb"),
        ("MIG 7g.80GB", "7g.80gb"),
        ("4g40gb", "4g.40gb"),
        ("3g.40g", "3g.40gb"),
        ("1g.20gb-me", "1g.20gb"),
        ("banana", None),
    ],
)
def test_nearest_profile(name, meant):
    assert nearest_profile(board("H100-80"), name) == meant


@pytest.mark.parametrize(("name", "profiles", "starts"), published("choices"))
def test_a_single_instance_goes_where_the_driver_would_put_it(name, profiles, starts):
    gpu = board(name)
    first = next(profile.name for profile in gpu.profiles if profile.id == int(profiles.split(",")[0]))
    assert str(plan_recut(gpu, layout(first)).created[0].placement.start) == starts.split(",")[0]
