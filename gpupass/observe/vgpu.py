"""NVIDIA's vendor-specific VFIO framework: VFs that the nvidia driver itself lends."""

from gpupass.methods.vgpu_types import parse_types
from gpupass.model.host import Vgpu
from gpupass.system import System

_NONE = 0xFFFFFFFF  # a vGPU that is on no GPU instance


def read_vgpu(system: System, path: str) -> Vgpu | None:
    """None: this function is not lent that way."""
    current = system.read(f"{path}/nvidia/current_vgpu_type")
    if current is None:
        return None
    instance = system.read(f"{path}/nvidia/gpu_instance_id") or ""
    return Vgpu(
        current=int(current) if current.isdecimal() else 0,
        creatable=parse_types(system.read(f"{path}/nvidia/creatable_vgpu_types") or ""),
        params=system.read(f"{path}/nvidia/vgpu_params") or "",
        gpu_instance=int(instance) if instance.isdecimal() and int(instance) != _NONE else None,
    )
