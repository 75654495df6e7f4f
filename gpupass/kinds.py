"""Every kind of step there is: what journals and saved plans are read back with."""

from typing import Any, Union

from gpupass.lending.plug import AttachDevice, DetachDevice
from gpupass.step import Deed
from gpupass.steps.attribute import SetAttribute
from gpupass.steps.bind import BindDriver
from gpupass.steps.file import WriteFile
from gpupass.steps.mdev import SetMdev
from gpupass.steps.mig import SetComputeInstance, SetGpuInstance
from gpupass.steps.mig_mode import ResetGpu, SetMigMode
from gpupass.steps.module import LoadModule, ReloadModule
from gpupass.steps.partition import SetComputePartition, SetMemoryPartition
from gpupass.steps.persistence import SetPersistence
from gpupass.steps.record import WriteRecord
from gpupass.steps.refresh import Refresh
from gpupass.steps.release import AwaitRelease
from gpupass.steps.reset import ResetDevice
from gpupass.steps.unit import EnableUnit
from gpupass.steps.vfs import SetVfs
from gpupass.steps.vgpu import SetVgpuType
from gpupass.steps.vgpu_card import SetVgpuScheduler, SetVgpuSharing
from gpupass.steps.vgpu_params import SetVgpuParams

STEPS: tuple[type[Deed], ...] = (
    LoadModule,
    SetPersistence,
    BindDriver,
    SetVfs,
    SetMigMode,
    ResetGpu,
    SetGpuInstance,
    SetComputeInstance,
    SetMdev,
    SetVgpuType,
    SetVgpuParams,
    SetVgpuSharing,
    SetVgpuScheduler,
    WriteRecord,
    ResetDevice,
    AttachDevice,
    DetachDevice,
    AwaitRelease,
    WriteFile,
    EnableUnit,
    Refresh,
    SetAttribute,
    SetComputePartition,
    SetMemoryPartition,
    ReloadModule,
)

AnyStep: Any = Union[STEPS]  # noqa: UP007 - of a tuple
