"""NVIDIA's vendor-specific VFIO framework: VFs that the nvidia driver itself lends."""

from gpupass.model.host import Vgpu
from gpupass.model.vgpu_types import parse_types
from gpupass.observe.number import number
from gpupass.system import Reader

_NO_INSTANCE = 0xFFFFFFFF


def read_vgpu(system: Reader, path: str) -> Vgpu | None:
    """None: this function is not lent that way."""
    current = system.read(f"{path}/nvidia/current_vgpu_type")
    if current is None:
        return None
    return Vgpu(
        current=number(current) or 0,
        creatable=parse_types(system.read(f"{path}/nvidia/creatable_vgpu_types") or ""),
        params=system.read(f"{path}/nvidia/vgpu_params") or "",
        instance=_instance(system.read(f"{path}/nvidia/gpu_instance_id")),
    )


def _instance(text: str | None) -> int | None:
    """Not to be read without a vGPU; all ones for one that is not MIG-backed."""
    found = number(text)
    return found if found != _NO_INSTANCE else None
