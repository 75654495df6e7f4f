"""GPU instances and compute instances of a MIG GPU: there or not, found by profile and place."""

from typing import Any

from gpupass.errors import GpupassError
from gpupass.model.mig import instance_name
from gpupass.model.step import SetComputeInstance, SetGpuInstance
from gpupass.system import System, mig_change

Instance = SetGpuInstance | SetComputeInstance


def current(step: Instance, system: System) -> bool:
    """Is it there?"""
    match step:
        case SetGpuInstance():
            return mig_change.has_gpu_instance(step.address, _whole(step))
        case SetComputeInstance():
            return mig_change.has_compute_instance(step.address, step.uuid, _whole(step), step.placement)


def do(step: Instance, system: System) -> None:
    """GpupassError when the driver refuses, or says yes and a fresh look does not show it."""
    _reach(step, step.present, system)


def undo(step: Instance, before: Any, system: System) -> None:
    _reach(step, bool(before), system)


def name_of(step: Instance) -> str:
    """3g.20gb@4, or 2c@0 of 4g.20gb@0."""
    match step:
        case SetGpuInstance():
            return instance_name(step.profile, step.placement)
        case SetComputeInstance():
            part = f"{step.placement.size}c@{step.placement.start}"
            return f"{part} of {step.profile}@{step.start}"


def _whole(step: Instance) -> mig_change.At:
    """The GPU instance that it is, or is a part of."""
    return step.profile_id, step.placement.start if isinstance(step, SetGpuInstance) else step.start


def _reach(step: Instance, present: bool, system: System) -> None:
    if current(step, system) == present:
        return
    match step, present:
        case SetGpuInstance(), True:
            mig_change.make_gpu_instance(step.address, step.profile_id, step.placement, name_of(step))
        case SetGpuInstance(), False:
            mig_change.destroy_gpu_instance(system, step.address, _whole(step), name_of(step))
        case SetComputeInstance(), True:
            mig_change.make_compute_instance(
                step.address, step.uuid, _whole(step), step.placement, name_of(step)
            )
        case SetComputeInstance(), False:
            mig_change.destroy_compute_instance(
                system, step.address, step.uuid, _whole(step), step.placement, name_of(step)
            )
    if current(step, system) != present:
        verb = "make" if present else "destroy"
        raise GpupassError(
            f"cannot {verb} {name_of(step)} on {step.address}: the driver says it has, and it has not",
            f"gpupass show {step.address}",
        )
