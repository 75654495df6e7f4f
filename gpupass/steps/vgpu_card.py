"""Settings of a card for all its vGPUs; NVML is asked again after each change."""

from typing import Any

from gpupass.errors import GpupassError
from gpupass.model.host import VgpuCard
from gpupass.model.step import SetVgpuScheduler, SetVgpuSharing
from gpupass.system import vgpu_card


def current(step: SetVgpuSharing | SetVgpuScheduler) -> bool | str | None:
    card = vgpu_card.card(step.address) or VgpuCard()
    return card.mixed if isinstance(step, SetVgpuSharing) else card.scheduler


def do(step: SetVgpuSharing | SetVgpuScheduler) -> None:
    _reach(step, step.mixed if isinstance(step, SetVgpuSharing) else step.policy)


def undo(step: SetVgpuSharing | SetVgpuScheduler, before: Any) -> None:
    """None: the driver has not told, so nothing is known to go back to."""
    if before is not None:
        _reach(step, before)


def _reach(step: SetVgpuSharing | SetVgpuScheduler, wanted: bool | str) -> None:
    if current(step) == wanted:
        return
    if isinstance(step, SetVgpuSharing):
        vgpu_card.set_mixed(step.address, bool(wanted))
    else:
        vgpu_card.set_scheduler(step.address, str(wanted))
    if current(step) != wanted:
        raise GpupassError(
            f"cannot change the vGPU settings of {step.address}: the driver has not taken {wanted}",
            "nvidia-smi vgpu -q",
        )
