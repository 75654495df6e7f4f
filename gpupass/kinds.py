"""Every kind of step and mark there is: what journals, saved plans and the store are read back with."""

from typing import Any, Union

from gpupass import step
from gpupass.definition.define import DefineDomain
from gpupass.lending.claims import EndClaim
from gpupass.lending.force import DestroyDomain
from gpupass.lending.plug import AttachDevice, DetachDevice
from gpupass.methods import METHODS
from gpupass.model.mark import MARKS, Mark
from gpupass.step import Deed
from gpupass.steps.attribute import SetAttribute
from gpupass.steps.bind import BindDriver
from gpupass.steps.file import WriteFile
from gpupass.steps.kernel_arguments import SetKernelArguments
from gpupass.steps.mdev import SetMdev
from gpupass.steps.module import LoadModule
from gpupass.steps.persistence import SetPersistence
from gpupass.steps.refresh import Refresh
from gpupass.steps.release import AwaitRelease
from gpupass.steps.remember import Remember
from gpupass.steps.reset import ResetDevice
from gpupass.steps.stopping import AwaitIdle, SetConsole, SetFramebuffer, SetUnit
from gpupass.steps.tuning import ResizeBar, Tune
from gpupass.steps.unit import EnableUnit, RunUnit
from gpupass.steps.vf_link import SetVf
from gpupass.steps.vfs import SetVfs
from gpupass.steps.vgpu_params import SetVgpuParams

_OF_ALL: tuple[type[Deed], ...] = (
    SetUnit,
    SetConsole,
    SetFramebuffer,
    AwaitIdle,
    LoadModule,
    SetPersistence,
    BindDriver,
    SetVfs,
    SetMdev,
    SetVgpuParams,
    Remember,
    EndClaim,
    ResetDevice,
    AttachDevice,
    DetachDevice,
    DestroyDomain,
    AwaitRelease,
    WriteFile,
    DefineDomain,
    EnableUnit,
    RunUnit,
    Refresh,
    SetKernelArguments,
    SetAttribute,
    Tune,
    ResizeBar,
    SetVf,
)
STEPS: tuple[type[Deed], ...] = tuple(
    dict.fromkeys((*_OF_ALL, *(kind for method in METHODS for kind in method.steps)))
)
AnyStep: Any = Union[STEPS]  # noqa: UP007 - of a tuple

_MARKS: tuple[type[Mark], ...] = (*MARKS, *(mark for method in METHODS for mark in method.marks))
AnyMark: Any = Union[_MARKS]  # noqa: UP007 - of a tuple
vars(step)["AnyMark"] = AnyMark  # msgspec asks when it reads the first step
