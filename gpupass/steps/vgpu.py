"""The vGPU type of a VF in NVIDIA's vendor-specific VFIO framework: current_vgpu_type.

Source: Proxmox VE's qemu-server: one type after another goes through 0, the list of creatable types is read
again before each creation, and right after a guest has gone 0 may be refused for some seconds.
"""

import errno
from typing import Any

from gpupass.errors import GpupassError, KernelRefused
from gpupass.methods.vgpu_types import parse_types
from gpupass.model.step import SetVgpuType
from gpupass.system import System

_SECONDS = 60.0
_CLOSING = 10.0
_LOOK_AGAIN = 0.5


def current(step: SetVgpuType, system: System) -> int:
    text = system.read(f"{_directory(step)}/current_vgpu_type") or ""
    if not text.isdecimal():
        raise GpupassError(
            f"cannot read the vGPU type of {step.address}: its driver does not tell it",
            f"ls {_directory(step)}",
        )
    return int(text)


def do(step: SetVgpuType, system: System) -> None:
    """GpupassError when the driver does not offer the type any more, or refuses it."""
    _reach(step, step.id, system)


def undo(step: SetVgpuType, before: Any, system: System) -> None:
    _reach(step, int(before), system)


def _reach(step: SetVgpuType, wanted: int, system: System) -> None:
    now = current(step, system)
    if now == wanted:
        return
    if now:
        _clear(step, system)
    if wanted:
        _set(step, wanted, system)
    found = current(step, system)
    if found != wanted:
        raise GpupassError(
            f"cannot make {step.address} a vGPU {step.type}: its type reads {found or 'none'}", "dmesg"
        )


def _set(step: SetVgpuType, wanted: int, system: System) -> None:
    offered = parse_types(system.read(f"{_directory(step)}/creatable_vgpu_types") or "")
    if wanted not in {kind.id for kind in offered}:
        names = ", ".join(kind.name for kind in offered) or "nothing"
        raise GpupassError(
            f"cannot make {step.address} a vGPU {step.type}: its card has room for {names}",
            f"cat {_directory(step)}/creatable_vgpu_types",
        )
    _write(step, str(wanted), f"make {step.address} a vGPU {step.type}", system)


def _clear(step: SetVgpuType, system: System) -> None:
    what = f"remove the vGPU of {step.address}"
    deadline = system.monotonic() + _CLOSING
    while True:
        try:
            return _write(step, "0", what, system)
        except KernelRefused as error:
            if error.errno not in (errno.EPERM, errno.EBUSY):
                raise
            if system.monotonic() >= deadline:
                raise GpupassError(
                    f"cannot {what}: somebody has it open", f"gpupass show {step.address}"
                ) from None
        system.sleep(_LOOK_AGAIN)


def _write(step: SetVgpuType, value: str, what: str, system: System) -> None:
    path = f"{_directory(step)}/current_vgpu_type"
    system.write(path, value, step.address, what=what, seconds=_SECONDS)


def _directory(step: SetVgpuType) -> str:
    return f"/sys/bus/pci/devices/{step.address}/nvidia"
