"""What a vGPU's plugin is told: `vgpu_params` of a VF or a mediated device.

Single keys cannot be taken back, a blank takes all; the driver reads them when the guest starts, and refuses
while it runs (NVIDIA AI Enterprise, vGPU C-series).
"""

from typing import Any

from gpupass.errors import GpupassError
from gpupass.model.step import SetVgpuParams
from gpupass.system import System


def current(step: SetVgpuParams, system: System) -> str:
    return " ".join(sorted(_words(system.read(_path(step)) or "")))


def do(step: SetVgpuParams, system: System) -> None:
    _reach(step, step.params, system)


def undo(step: SetVgpuParams, before: Any, system: System) -> None:
    """A vGPU that has gone meanwhile has none either."""
    if system.exists(_path(step)):
        _reach(step, str(before), system)


def _reach(step: SetVgpuParams, wanted: str, system: System) -> None:
    if _words(current(step, system)) == _words(wanted):
        return
    what = f"set the parameters of the vGPU {step.mdev or step.address}"
    system.write(_path(step), " ", step.address, what=what)
    if wanted:
        system.write(_path(step), wanted, step.address, what=what)
    if not _words(wanted) <= _words(current(step, system)):
        raise GpupassError(
            f"cannot set {wanted} for the vGPU of {step.mdev or step.address}: the driver has not taken it",
            f"cat {_path(step)}",
        )


def _words(text: str) -> set[str]:
    return set(text.replace(",", " ").split())


def _path(step: SetVgpuParams) -> str:
    if step.mdev is not None:
        return f"/sys/bus/mdev/devices/{step.mdev}/nvidia/vgpu_params"
    return f"/sys/bus/pci/devices/{step.address}/nvidia/vgpu_params"
