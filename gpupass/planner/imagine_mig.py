"""A MIG GPU as it will be after a step; pure."""

from typing import assert_never

from msgspec.structs import replace

from gpupass.model.host import Device
from gpupass.model.mig import ComputeInstance, GpuInstance, MigGpu, MigState
from gpupass.model.step import ResetGpu, SetComputeInstance, SetGpuInstance, SetMigMode

MigStep = SetMigMode | ResetGpu | SetGpuInstance | SetComputeInstance
_NO_ID = -1  # the driver chooses one


def cut_after(device: Device, step: MigStep) -> Device:
    nvidia = device.facts.nvidia
    if nvidia is None or nvidia.cut is None:
        return device
    cut = _after(nvidia.cut, step)
    return replace(device, detail=replace(device.facts, nvidia=replace(nvidia, cut=cut)))


def _after(state: MigState, step: MigStep) -> MigState:
    match step:
        case SetMigMode():
            return replace(state, on=state.on if state.resets else step.on, pending=step.on)
        case ResetGpu(back=True):
            return state
        case ResetGpu():
            gpu = replace(state.gpu, instances=()) if state.gpu is not None else None
            return replace(state, on=state.pending, gpu=gpu)
        case SetGpuInstance() | SetComputeInstance():
            gpu = _recut(state.gpu, step) if state.gpu is not None else None
            return replace(state, gpu=gpu)
        case _:
            assert_never(step)


def _recut(gpu: MigGpu, step: SetGpuInstance | SetComputeInstance) -> MigGpu:
    match step:
        case SetGpuInstance():
            rest = [one for one in gpu.instances if not _is(one, step.profile, step.placement.start)]
            made = GpuInstance(id=_NO_ID, profile=step.profile, placement=step.placement)
            return replace(gpu, instances=tuple(_sorted([*rest, made] if step.present else rest)))
        case SetComputeInstance():
            return replace(
                gpu,
                instances=tuple(
                    _with_part(one, step) if _is(one, step.profile, step.start) else one
                    for one in gpu.instances
                ),
            )


def _is(instance: GpuInstance, profile: str, start: int) -> bool:
    return instance.profile == profile and instance.placement.start == start


def _with_part(instance: GpuInstance, step: SetComputeInstance) -> GpuInstance:
    rest = [part for part in instance.compute if part.placement != step.placement]
    made = ComputeInstance(id=_NO_ID, placement=step.placement)
    parts = [*rest, made] if step.present else rest
    return replace(instance, compute=tuple(sorted(parts, key=lambda part: part.placement)))


def _sorted(instances: list[GpuInstance]) -> list[GpuInstance]:
    return sorted(instances, key=lambda one: (one.placement, one.profile))
