"""Steps that only make what a later one removes are left out; pure.

A guest's slot is made anew when it comes back; where the profile has no use for it any more it just goes.
"""

from collections.abc import Iterable

from gpupass.lending.plug import AttachDevice
from gpupass.step import Deed
from gpupass.steps.mdev import SetMdev
from gpupass.steps.vgpu import SetVgpuType
from gpupass.steps.vgpu_params import SetVgpuParams

Subject = tuple[str, str]


def without_detours(steps: Iterable[Deed]) -> tuple[Deed, ...]:
    steps = tuple(steps)
    dropped: set[int] = set()
    made: dict[Subject, set[int]] = {}  # the steps that make it as it is
    for number, step in enumerate(steps):
        match step:
            case SetVgpuType():
                subject, present = (step.address, ""), step.id != 0
            case SetMdev():
                subject, present = (step.address, step.uuid), step.present
            case SetVgpuParams():
                made.get((step.address, step.mdev or ""), set()).add(number)
                continue
            case AttachDevice():
                made.pop((step.address, step.mdev or ""), None)
                continue
            case _:
                continue
        if present:
            made[subject] = {number}
        elif subject in made:
            dropped |= made.pop(subject) | {number}
    return tuple(step for number, step in enumerate(steps) if number not in dropped)
