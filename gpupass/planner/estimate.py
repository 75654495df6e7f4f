"""How long a plan will take, roughly, and what it does to the devices on the way; pure."""

from typing import assert_never

from gpupass.model.address import Address
from gpupass.model.plan import HostPlan, Plan
from gpupass.model.step import (
    AttachDevice,
    AwaitRelease,
    BindDriver,
    DetachDevice,
    EnableUnit,
    LoadModule,
    Refresh,
    ReloadModule,
    ResetDevice,
    ResetGpu,
    SetAttribute,
    SetComputeInstance,
    SetGpuInstance,
    SetMdev,
    SetMemoryPartition,
    SetMigMode,
    SetPersistence,
    SetVfs,
    SetVgpuParams,
    SetVgpuScheduler,
    SetVgpuSharing,
    SetVgpuType,
    Step,
    WriteFile,
    WriteRecord,
    addresses_of,
)


def seconds(step: Step) -> float:
    """As a host with a real GPU takes: a vendor driver's probe loads firmware, a guest unloads its driver."""
    match step:
        case BindDriver():
            return 1.0 if step.driver is None or step.driver.startswith("vfio") else 5.0
        case SetVfs():
            return 2.0
        case SetMdev() | SetVgpuType():
            return 1.0
        case ResetDevice():
            return 1.0
        case SetMigMode():
            return 2.0
        case ResetGpu():
            return 0.0 if step.back else 10.0
        case SetGpuInstance() | SetComputeInstance():
            return 0.3
        case AttachDevice():
            return 2.0
        case DetachDevice():
            return 3.0
        case (
            LoadModule()
            | SetPersistence()
            | SetVgpuParams()
            | SetVgpuScheduler()
            | SetVgpuSharing()
            | AwaitRelease()
        ):
            return 0.5
        case Refresh():
            return 30.0
        case WriteRecord() | WriteFile() | EnableUnit():
            return 0.0
        case SetAttribute():
            return 0.5
        case SetMemoryPartition():
            return 10.0 + 5.0 * len(step.addresses)
        case ReloadModule():
            return 10.0 + 10.0 * len(step.addresses)
        case _:
            assert_never(step)


def plan_seconds(plan: HostPlan, workers: int) -> float:
    """The longest device, or all of them shared among the workers."""
    times = [sum(map(seconds, one.steps)) for one in plan.to_do]
    return max(max(times, default=0.0), sum(times) / workers)


def resets(plan: HostPlan) -> tuple[Address, ...]:
    steps = [step for one in plan.to_do for step in one.steps]
    functions = [address for step in steps if isinstance(step, ResetDevice) for address in step.addresses]
    return tuple(dict.fromkeys((*functions, *(a for one in plan.to_do for a in gpu_resets(one)))))


def gpu_resets(plan: Plan) -> tuple[Address, ...]:
    """NVIDIA GPUs that are reset for another MIG mode: not without --allow-reset."""
    return tuple(step.address for step in plan.steps if isinstance(step, ResetGpu) and not step.back)


def driver_changes(plan: HostPlan) -> tuple[Address, ...]:
    kinds = BindDriver | SetMemoryPartition | ReloadModule
    found = (step for one in plan.to_do for step in one.steps if isinstance(step, kinds))
    return tuple(dict.fromkeys(address for step in found for address in addresses_of(step)))
