"""NVML of the simulated vGPU card: the calls of gpupass.system that change or tell something, refused as NVML would.

NVML has one machine for each process: here it is the one that was looked at last.
"""

from gpupass.errors import GpupassError
from gpupass.model.host import VgpuCard, VgpuType
from gpupass.model.mig import MigGpu, Placement
from gpupass.system import mig_change, vgpu_card
from gpupass.system.nvml import GpuAnswer
from tests.simulated import Machine
from tests.simulated_vgpu import CARD, KINDS, UUID, SimulatedVgpu

_looked_at: list["NvmlMachine"] = []


class NvmlMachine(Machine):
    """Every look at it brings NVML to it."""

    def read_bytes(self, path: str, limit: int = 1 << 24) -> bytes | None:
        _looked_at[:] = [self]
        return super().read_bytes(path, limit)

    def names(self, path: str) -> tuple[str, ...]:
        _looked_at[:] = [self]
        return super().names(path)


def play(monkeypatch) -> None:
    """For the time of a test."""
    monkeypatch.setattr("gpupass.observe.nvidia.read_gpus", _answers)
    for name, call in _MIG.items():
        monkeypatch.setattr(mig_change, name, call)
    for name, call in _VGPU_CARD.items():
        monkeypatch.setattr(vgpu_card, name, call)


def _answers(*asked: object) -> tuple[tuple[GpuAnswer, ...], str]:
    (machine,) = _looked_at
    if machine.driver(CARD) != "nvidia":
        return (), ""
    vgpu = machine.vgpu
    gpu = vgpu.gpu if vgpu.mig else MigGpu(profiles=vgpu.gpu.profiles)
    answer = GpuAnswer(
        bus_id=CARD,
        uuid=UUID,
        minor=5,
        mig=vgpu.mig,
        mig_pending=vgpu.pending,
        mig_gpu=gpu,
        vgpu_card=_card(CARD),
    )
    return (answer,), ""


def _of(address: str) -> SimulatedVgpu:
    (machine,) = _looked_at
    if address != CARD or machine.driver(CARD) != "nvidia":
        raise GpupassError(f"cannot ask for {address}: NVML says: Not Found")
    return machine.vgpu


def _card(address: str) -> VgpuCard:
    vgpu = _of(address)
    types = tuple(VgpuType(id=kind.id, name=kind.name) for kind in KINDS) if vgpu.tells_types else ()
    return VgpuCard(mixed=None if vgpu.mig else vgpu.mixed, scheduler=vgpu.scheduler, types=types)


def _has_part(address: str, uuid: str, where: tuple[int, int], place: Placement) -> bool:
    whole = _of(address).instance(*where)
    return whole is not None and any(part.placement == place for part in whole.compute)


_MIG = {
    "mode": lambda address: (_of(address).mig, _of(address).pending),
    "set_mode": lambda address, on: _of(address).set_mig(on),
    "users": lambda system, address: (),
    "has_gpu_instance": lambda address, where: _of(address).instance(*where) is not None,
    "make_gpu_instance": lambda address, number, place, name: _of(address).make_instance(number, place),
    "destroy_gpu_instance": lambda system, address, where, name: _of(address).destroy_instance(*where),
    "has_compute_instance": _has_part,
    "make_compute_instance": lambda address, uuid, where, place, name: _of(address).set_compute(
        *where, place, present=True
    ),
    "destroy_compute_instance": lambda system, address, uuid, where, place, name: _of(address).set_compute(
        *where, place, present=False
    ),
}
_VGPU_CARD = {
    "card": _card,
    "set_mixed": lambda address, mixed: _of(address).set_mixed(mixed),
    "set_scheduler": lambda address, policy: _of(address).set_scheduler(policy),
}
