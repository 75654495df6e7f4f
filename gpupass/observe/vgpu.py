"""NVIDIA's vendor-specific VFIO framework: VFs that the nvidia driver itself lends."""

from gpupass.methods.vgpu_types import parse_types
from gpupass.model.host import Vgpu
from gpupass.system import System

_NO_INSTANCE = 0xFFFFFFFF


def read_vgpu(system: System, path: str) -> Vgpu | None:
    """None: this function is not lent that way."""
    current = system.read(f"{path}/nvidia/current_vgpu_type")
    if current is None:
        return None
    return Vgpu(
        current=int(current) if current.isdecimal() else 0,
        creatable=parse_types(system.read(f"{path}/nvidia/creatable_vgpu_types") or ""),
        params=system.read(f"{path}/nvidia/vgpu_params") or "",
        instance=_instance(system, path) if current != "0" else None,
    )


def _instance(system: System, path: str) -> int | None:
    """None: its vGPU is time-sliced, or the driver does not tell."""
    text = system.read(f"{path}/nvidia/gpu_instance_id") or ""
    return int(text) if text.isdecimal() and int(text) != _NO_INSTANCE else None
