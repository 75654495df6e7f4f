"""One file per kind of step: what is (`current`), make it so (`do`), put it back (`undo`).

`do` and `undo` are idempotent: after a crash they may run twice. A step holds no policy.
"""

from types import NoneType
from typing import Any, assert_never

from msgspec import convert

from gpupass.model.record import Record
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
)
from gpupass.model.wire import from_json, to_json
from gpupass.steps import (
    attribute,
    bind,
    file,
    guest,
    mdev,
    memory_partition,
    mig,
    mig_mode,
    module,
    persistence,
    record,
    refresh,
    release,
    reset,
    unit,
    vfs,
    vgpu,
    vgpu_card,
    vgpu_params,
)
from gpupass.system import System

_BEFORE: dict[type[Step], Any] = {
    BindDriver: bind.Binding,
    SetVfs: vfs.Functions,
    SetMigMode: mig_mode.Mode,
    ResetGpu: bool,
    SetGpuInstance: bool,
    SetComputeInstance: bool,
    SetMdev: bool,
    SetVgpuType: int,
    SetVgpuParams: str,
    SetVgpuSharing: bool | None,
    SetVgpuScheduler: str | None,
    WriteRecord: Record | None,
    AttachDevice: bool,
    DetachDevice: bool,
    SetPersistence: bool,
    WriteFile: file.Before,
    EnableUnit: bool,
    SetAttribute: str | None,
    SetMemoryPartition: memory_partition.Modes,
    ReloadModule: module.Loaded,
}


def current(step: Step, system: System) -> Any:
    """The value the step would change, as JSON data: journalled before `do`, given back to `undo`."""
    match step:
        case BindDriver():
            return bind.current(step, system)
        case SetVfs():
            return vfs.current(step, system)
        case SetMigMode():
            return mig_mode.current(step, system)
        case SetGpuInstance() | SetComputeInstance():
            return mig.current(step, system)
        case SetMdev():
            return mdev.current(step, system)
        case SetVgpuType():
            return vgpu.current(step, system)
        case SetVgpuParams():
            return vgpu_params.current(step, system)
        case SetVgpuSharing() | SetVgpuScheduler():
            return vgpu_card.current(step)
        case WriteRecord():
            return record.current(step, system)
        case AttachDevice() | DetachDevice():
            return guest.current(step, system)
        case SetPersistence():
            return persistence.current(step, system)
        case WriteFile():
            return file.current(step, system)
        case EnableUnit():
            return unit.current(step, system)
        case ResetGpu():
            return mig_mode.persistence_before(step, system)
        case LoadModule() | ResetDevice() | AwaitRelease() | Refresh():
            return None
        case SetAttribute():
            return attribute.current(step, system)
        case SetMemoryPartition():
            return memory_partition.current(step, system)
        case ReloadModule():
            return module.current(step, system)
        case _:
            assert_never(step)


def require_before(step: Step, before: Any) -> None:
    """ValueError when this is no value that `current` could have told of such a step."""
    known = convert(before, _BEFORE.get(type(step), NoneType))
    if isinstance(known, dict) and from_json(to_json(known), Any) != before:  # a TypedDict may have more
        raise ValueError(f"expected {known!r}, not {before!r}")


def do(step: Step, system: System, deadline: float) -> None:
    """Reach the step's goal; waits for guests and closing files end at `deadline` (system.monotonic)."""
    match step:
        case BindDriver():
            bind.do(step, system)
        case SetVfs():
            vfs.do(step, system)
        case SetMigMode():
            mig_mode.do(step, system)
        case ResetGpu():
            mig_mode.reset(step, system)
        case SetGpuInstance() | SetComputeInstance():
            mig.do(step, system)
        case SetMdev():
            mdev.do(step, system)
        case SetVgpuType():
            vgpu.do(step, system)
        case SetVgpuParams():
            vgpu_params.do(step, system)
        case SetVgpuSharing() | SetVgpuScheduler():
            vgpu_card.do(step)
        case WriteRecord():
            record.do(step, system)
        case AttachDevice():
            guest.attach(step, system)
        case DetachDevice():
            guest.detach(step, system, deadline)
        case SetPersistence():
            persistence.do(step, system)
        case LoadModule():
            module.do(step, system)
        case ResetDevice():
            reset.do(step, system)
        case AwaitRelease():
            release.do(step, system, deadline)
        case WriteFile():
            file.do(step, system)
        case EnableUnit():
            unit.do(step, system)
        case Refresh():
            refresh.do(step, system)
        case SetAttribute():
            attribute.do(step, system)
        case SetMemoryPartition():
            memory_partition.do(step, system)
        case ReloadModule():
            module.reload(step, system)
        case _:
            assert_never(step)


def undo(step: Step, before: Any, system: System) -> None:
    """Put `before` back; GpupassError when somebody else has changed it meanwhile."""
    match step:
        case BindDriver():
            bind.undo(step, before, system)
        case SetVfs():
            vfs.undo(step, before, system)
        case SetMigMode():
            mig_mode.undo(step, before, system)
        case ResetGpu():
            mig_mode.undo_reset(step, before, system)
        case SetGpuInstance() | SetComputeInstance():
            mig.undo(step, before, system)
        case SetMdev():
            mdev.undo(step, before, system)
        case SetVgpuType():
            vgpu.undo(step, before, system)
        case SetVgpuParams():
            vgpu_params.undo(step, before, system)
        case SetVgpuSharing() | SetVgpuScheduler():
            vgpu_card.undo(step, before)
        case WriteRecord():
            record.undo(step, before, system)
        case AttachDevice():
            guest.undo_attach(step, before, system)
        case DetachDevice():
            guest.undo_detach(step, before, system)
        case SetPersistence():
            persistence.undo(step, before, system)
        case WriteFile():
            file.undo(step, before, system)
        case EnableUnit():
            unit.undo(step, before, system)
        case Refresh():
            refresh.undo(step, system)
        case LoadModule() | ResetDevice() | AwaitRelease():
            pass
        case SetAttribute():
            attribute.undo(step, before, system)
        case SetMemoryPartition():
            memory_partition.undo(step, before, system)
        case ReloadModule():
            module.undo_reload(step, before, system)
        case _:
            assert_never(step)


def committed(step: Step, system: System) -> bool:
    """After a crash: has this step's effect reached somebody it cannot be called back from?

    An unplug request cannot be cancelled (QEMU, qapi/qdev.json); a device the guest has, it keeps.
    """
    match step:
        case DetachDevice():
            guest.current(step, system)  # while libvirt cannot be asked, nobody may go on or back
            return True
        case AttachDevice():
            return guest.current(step, system) is True
        case _:
            return False
