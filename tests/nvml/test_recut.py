"""What the solver plans, the library does: from layout to layout on one GPU, read back and planned anew after each."""

import pytest

from gpupass.methods.mig.layouts import named_layout
from gpupass.methods.mig.recut import plan_recut
from gpupass.model.mig import ComputeInstance, GpuInstance, MigGpu, MigProfile, Placement
from tests.mig_boards import BOARDS
from tests.nvml.double import Double, Session

WHOLE = {1: 0, 2: 1, 3: 2, 4: 3, 7: 4}  # compute slices → NVML_COMPUTE_INSTANCE_PROFILE_*


def read(nvml):
    """The GPU as an observer will read it."""
    profiles = [
        MigProfile(
            id=id_,
            name=name.removeprefix("MIG "),
            slices=slices,
            memory=mib,
            most=most,
            placements=tuple(Placement(start=start, size=size) for start, size in nvml.placements(0, id_)),
        )
        for id_, name, most, mib, *_, slices in nvml.profiles(0)
    ]
    names = {profile.id: profile.name for profile in profiles}
    instances = [
        GpuInstance(
            id=gi,
            profile=names[profile],
            placement=Placement(start=start, size=size),
            compute=tuple(
                ComputeInstance(id=ci, placement=Placement(start=at, size=much))
                for ci, _, at, much, _ in nvml.compute_instances(0, gi)
            ),
        )
        for gi, profile, start, size in nvml.instances(0)
    ]
    return MigGpu(profiles=tuple(profiles), instances=tuple(instances))


def carry_out(nvml, recut):
    for old in recut.destroyed:
        for part in old.compute:
            nvml.destroy_compute(0, old.id, part.id)
        nvml.destroy(0, old.id)
    for new in recut.created:
        gi = nvml.create(0, new.profile.id, new.placement.start, new.placement.size)[0]
        for place in new.compute:
            nvml.create_compute(0, gi, WHOLE[place.size], place.start, place.size)


@pytest.mark.parametrize("board", BOARDS)
def test_from_layout_to_layout(tmp_path, board):
    machine = Double(tmp_path / "state", board, resets=True)
    with Session(machine) as nvml:
        nvml.init()
        assert nvml.set_mode(0, 1) == 0
        gpu = read(nvml)
        for name in (
            "balanced",
            "all-1g",
            "all-2g",
            "balanced",
            *(f"all-{p.name}" for p in gpu.profiles),
            "empty",
        ):
            wish = named_layout(name, gpu)
            gpu = read(nvml)
            recut = plan_recut(gpu, wish)
            assert not recut.refusals
            carry_out(nvml, recut)
            gpu = read(nvml)
            assert sorted(one.profile for one in gpu.instances) == sorted(entry.profile for entry in wish)
            assert not plan_recut(gpu, wish).changes
