"""How a GPU instance is cut into compute instances; pure."""

from gpupass.methods.mig.packing import Piece, pack
from gpupass.model.mig import ComputeInstance, LayoutEntry, MigProfile, Placement


def compute_starts(whole: int, slices: int) -> tuple[int, ...]:
    """Where a part of so many compute slices may start in a GPU instance of `whole`; () when there is none.

    A part is the whole or about half of it at most (NVIDIA go-nvlib, nvmdev: 2C <= G + 1), and starts at
    multiples of its size, 3c at multiples of four: this gives the counts of `nvidia-smi mig -lcip`. A driver
    tells it only of instances that are there (nvml.h, nvmlGpuInstanceGetComputeInstanceProfileInfo).
    """
    if not 0 < slices <= whole or (slices != whole and 2 * slices > whole + 1):
        return ()
    return tuple(range(0, whole - slices + 1, 4 if slices == 3 else slices))


def parts_of(profile: MigProfile, entry: LayoutEntry) -> tuple[int, ...]:
    """The compute slices of each part that is wanted, largest first."""
    return tuple(sorted((profile.slices,) if entry.compute is None else entry.compute, reverse=True))


def pack_compute(
    whole: int, parts: tuple[int, ...], there: tuple[ComputeInstance, ...] = ()
) -> tuple[Placement, ...] | None:
    """Where each part goes, so that the fewest users, then the fewest of those `there` are lost."""
    pieces = tuple(
        Piece(
            size=part,
            starts=compute_starts(whole, part),
            saves=tuple(
                (old.placement.start, (-len(old.users), -1)) for old in there if old.placement.size == part
            ),
        )
        for part in parts
    )
    starts = pack(pieces, (0, 0))
    if starts is None:
        return None
    return tuple(Placement(start=start, size=part) for start, part in zip(starts, parts, strict=True))
