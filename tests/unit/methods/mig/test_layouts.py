"""Layouts by name are mig-parted's, and fit."""

import pytest

from gpupass.errors import Usage
from gpupass.methods.mig.layouts import named_layout
from gpupass.methods.mig.recut import plan_recut
from gpupass.model.mig import MigGpu, MigProfile, Placement
from tests.mig_boards import ALL_BOARDS, board

# NVIDIA mig-parted, deployments/systemd/config-default.yaml
BALANCED = {
    "A30": "2g.12gb 1g.6gb 1g.6gb",
    "A100-40": "3g.20gb 2g.10gb 1g.5gb 1g.5gb",
    "A100-80": "3g.40gb 2g.20gb 1g.10gb 1g.10gb",
    "H100-80": "3g.40gb 2g.20gb 1g.10gb 1g.10gb",
    "H200": "3g.71gb 2g.35gb 1g.18gb 1g.18gb",
    "H100-94": "3g.47gb 2g.24gb 1g.12gb 1g.12gb",
    "H100-96": "3g.48gb 2g.24gb 1g.12gb 1g.12gb",
    "GH200-144": "3g.72gb 2g.36gb 1g.18gb 1g.18gb",
    "B200": "3g.90gb 2g.45gb 1g.23gb 1g.23gb",
    "GB200": "3g.93gb 2g.47gb 1g.23gb 1g.23gb",
    "B300": "3g.135gb 2g.67gb 1g.34gb 1g.34gb",
    "GB300": "3g.139gb 2g.70gb 1g.35gb 1g.35gb",
    "RTX-PRO-6000": "2g.48gb 1g.24gb 1g.24gb",
}
ALL = {
    "all-1g.5gb": "1g.5gb " * 7,
    "all-1g": "1g.5gb " * 7,
    "all-1g.5gb.me": "1g.5gb+me",
    "all-1g.5gb+me": "1g.5gb+me",
    "all-1g.10gb": "1g.10gb " * 4,
    "all-2g.10gb": "2g.10gb " * 3,
    "all-3g": "3g.20gb " * 2,
    "all-4g.20gb": "4g.20gb",
    "all-7g.40gb": "7g.40gb",
    "all-enabled": "",
    "empty": "",
}


def names(layout):
    return [entry.profile for entry in layout]


@pytest.mark.parametrize("name", ALL_BOARDS)
def test_balanced(name):
    assert names(named_layout("balanced", board(name))) == BALANCED[name].split()
    assert names(named_layout("all-balanced", board(name))) == BALANCED[name].split()


@pytest.mark.parametrize(("name", "profiles"), ALL.items())
def test_all_of_one_kind(name, profiles):
    assert names(named_layout(name, board("A100-40"))) == profiles.split()


@pytest.mark.parametrize("name", ALL_BOARDS)
def test_every_named_layout_fits(name):
    gpu = board(name)
    for layout in ("balanced", "empty", *(f"all-{profile.name}" for profile in gpu.profiles)):
        assert not plan_recut(gpu, named_layout(layout, gpu)).refusals


def test_balanced_on_half_of_a_gpu():
    """RTX PRO 4500 (NVIDIA MIG User Guide): two slices, graphics or not."""
    halves = (Placement(start=0, size=1), Placement(start=1, size=1))
    profiles = [
        ("1g.16gb", 1, halves),
        ("1g.16gb+gfx", 1, halves),
        ("2g.32gb", 2, (Placement(start=0, size=2),)),
    ]
    gpu = MigGpu(
        profiles=tuple(
            MigProfile(
                id=n, name=name, slices=slices, memory=16384 * slices, most=len(places), placements=places
            )
            for n, (name, slices, places) in enumerate(profiles)
        )
    )
    assert names(named_layout("balanced", gpu)) == ["1g.16gb", "1g.16gb"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("all-1g.10gbb", "all-1g.10gb"),
        ("all-3g.20gb", "all-3g.40gb"),
        ("all-9g", None),
        ("all-²g", None),
        ("all-", None),
        ("mixed", None),
    ],
)
def test_unknown_names(name, hint):
    with pytest.raises(Usage) as raised:
        named_layout(name, board("A100-80"))
    assert hint is None or f"did you mean '{hint}'?" in raised.value.message
    assert "all-7g.80gb" in raised.value.hint


def test_a_gpu_that_tells_nothing():
    assert named_layout("balanced", MigGpu(profiles=())) == ()
