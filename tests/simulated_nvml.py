"""NVML of the simulated vGPU card: the calls of gpupass.system that change or tell something, refused as NVML would."""

from collections.abc import Callable

from gpupass.errors import GpupassError
from gpupass.model.host import VgpuCard, VgpuType
from gpupass.model.mig import MigGpu, Placement
from gpupass.system import mig_change, vgpu_card
from gpupass.system.nvml import GpuAnswer
from tests.simulated import Machine
from tests.simulated_vgpu import CARD, KINDS, UUID, SimulatedVgpu


def play(monkeypatch) -> None:
    """For the time of a test."""
    monkeypatch.setattr("gpupass.observe.nvidia.read_gpus", _answers)
    for name, call in _MIG.items():
        monkeypatch.setattr(mig_change, name, call)
    for name, call in _VGPU_CARD.items():
        monkeypatch.setattr(vgpu_card, name, call)


def _answers(machine: Machine, *asked: object) -> tuple[tuple[GpuAnswer, ...], str]:
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
        vgpu_card=_card(machine, CARD),
    )
    return (answer,), ""


def _of(machine: Machine, address: str) -> SimulatedVgpu:
    if address != CARD or machine.driver(CARD) != "nvidia":
        raise GpupassError(f"cannot ask for {address}: NVML says: Not Found")
    return machine.vgpu


def _card(machine: Machine, address: str) -> VgpuCard:
    vgpu = _of(machine, address)
    types = tuple(VgpuType(id=kind.id, name=kind.name) for kind in KINDS) if vgpu.tells_types else ()
    return VgpuCard(mixed=None if vgpu.mig else vgpu.mixed, scheduler=vgpu.scheduler, types=types)


def _has_part(machine: Machine, address: str, uuid: str, where: tuple[int, int], place: Placement) -> bool:
    whole = _of(machine, address).instance(*where)
    return whole is not None and any(part.placement == place for part in whole.compute)


def _has_instance(machine: Machine, address: str, where: tuple[int, int]) -> bool:
    return _of(machine, address).instance(*where) is not None


def _make_instance(machine: Machine, address: str, number: int, place: Placement, name: str) -> bool:
    _of(machine, address).make_instance(number, place)
    return _has_instance(machine, address, (number, place.start))


def _destroy_instance(machine: Machine, address: str, where: tuple[int, int], name: str) -> bool:
    _of(machine, address).destroy_instance(*where)
    return _has_instance(machine, address, where)


def _set_part(present: bool) -> Callable[..., bool]:
    def change(
        machine: Machine, address: str, uuid: str, where: tuple[int, int], place: Placement, name: str
    ) -> bool:
        _of(machine, address).set_compute(*where, place, present=present)
        return _has_part(machine, address, uuid, where, place)

    return change


_MIG = {
    "mode": lambda machine, address: (_of(machine, address).mig, _of(machine, address).pending),
    "set_mode": lambda machine, address, on: _of(machine, address).set_mig(on),
    "users": lambda machine, address: (),
    "has_gpu_instance": _has_instance,
    "make_gpu_instance": _make_instance,
    "destroy_gpu_instance": _destroy_instance,
    "has_compute_instance": _has_part,
    "make_compute_instance": _set_part(True),
    "destroy_compute_instance": _set_part(False),
}
_VGPU_CARD = {
    "card": _card,
    "set_mixed": lambda machine, address, mixed: _of(machine, address).set_mixed(mixed),
    "set_scheduler": lambda machine, address, policy: _of(machine, address).set_scheduler(policy),
}
