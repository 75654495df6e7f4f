"""The vGPU type of a VF in NVIDIA's vendor-specific VFIO framework: current_vgpu_type.

Source: Proxmox VE's qemu-server: one type after another goes through 0, the list of creatable types is read
again before each creation, and right after a guest has gone 0 may be refused for some seconds.
"""

import errno
from typing import Any

from gpupass.errors import GpupassError, NotClean
from gpupass.methods.vgpu_types import parse_types
from gpupass.model.step import SetVgpuType
from gpupass.system import System
from gpupass.system.guarded import WriteHung

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
    try:
        _write(step, str(wanted), system)
    except OSError as error:
        raise GpupassError(
            f"cannot make {step.address} a vGPU {step.type}: {error.strerror}", f"dmesg | grep {step.address}"
        ) from None


def _clear(step: SetVgpuType, system: System) -> None:
    deadline = system.monotonic() + _CLOSING
    while True:
        try:
            return _write(step, "0", system)
        except OSError as error:
            open_still = error.errno in (errno.EPERM, errno.EBUSY)
            if not open_still or system.monotonic() >= deadline:
                why = "somebody has it open" if open_still else error.strerror
                raise GpupassError(
                    f"cannot remove the vGPU of {step.address}: {why}", f"gpupass show {step.address}"
                ) from None
        system.sleep(_LOOK_AGAIN)


def _write(step: SetVgpuType, value: str, system: System) -> None:
    try:
        system.write(f"{_directory(step)}/current_vgpu_type", value, _SECONDS)
    except WriteHung as hung:
        raise NotClean(
            step.address,
            f"the kernel does not return from current_vgpu_type (process {hung.pid} waits in {hung.where})",
            f"reboot, then: gpupass quarantine clear {step.address}",
        ) from None


def _directory(step: SetVgpuType) -> str:
    return f"/sys/bus/pci/devices/{step.address}/nvidia"
