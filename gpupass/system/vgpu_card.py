"""What an NVIDIA card has for all of its vGPUs, through NVML: sizes side by side, and how they take turns.

Source: nvml.h. Several sizes (heterogeneous mode) can be switched only while there is no vGPU, the scheduler
only while no guest runs; neither outlives the driver.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from gpupass.model.address import Address
from gpupass.model.host import VgpuCard, VgpuType
from gpupass.model.vgpu_types import type_label
from gpupass.system.nvml_library import CHANGE_SECONDS, LIBRARY, READ_SECONDS, gpu_at, text

_POLICIES = {1: "best-effort", 2: "equal-share", 3: "fixed-share"}  # NVML_VGPU_SCHEDULER_POLICY_*


def read_card(nvml: Any, device: Any) -> VgpuCard | None:
    """None: the driver does not tell, as one without vGPU."""

    def ask(question: str) -> Any:
        try:
            return getattr(nvml, question)(device)
        except (nvml.NVMLError, AttributeError):  # the function, or pynvml's, is newer than this one
            return None

    mixed = ask("nvmlDeviceGetVgpuHeterogeneousMode")
    turns = ask("nvmlDeviceGetVgpuSchedulerState")
    supported = ask("nvmlDeviceGetSupportedVgpus")
    if mixed is None and turns is None and not supported:
        return None
    return VgpuCard(
        mixed=None if mixed is None else bool(mixed),
        scheduler=None if turns is None else _POLICIES.get(turns.schedulerPolicy),
        types=tuple(_types(nvml, supported or ())),
    )


def _types(nvml: Any, supported: Iterable[Any]) -> Iterator[VgpuType]:
    """By the ids that current_vgpu_type takes, too (Proxmox VE's qemu-server)."""
    for number in map(int, supported):
        with suppress(nvml.NVMLError):
            if number not in LIBRARY.vgpu_types:
                LIBRARY.vgpu_types[number] = type_label(text(nvml.nvmlVgpuTypeGetName(number)))
            yield VgpuType(id=number, name=LIBRARY.vgpu_types[number])


def card(address: Address) -> VgpuCard | None:
    return LIBRARY.ask(address, _card, address, seconds=READ_SECONDS)


def _card(address: Address) -> VgpuCard | None:
    with gpu_at(address, f"read the vGPU settings of {address}") as (nvml, device):
        return read_card(nvml, device)


def set_mixed(address: Address, mixed: bool) -> None:
    LIBRARY.ask(address, _set_mixed, address, mixed, seconds=CHANGE_SECONDS)


def _set_mixed(address: Address, mixed: bool) -> None:
    what = f"let vGPUs of {'several sizes' if mixed else 'one size'} share {address}"
    with gpu_at(address, what) as (nvml, device):
        nvml.nvmlDeviceSetVgpuHeterogeneousMode(device, int(mixed))


def set_scheduler(address: Address, policy: str) -> None:
    LIBRARY.ask(address, _set_scheduler, address, policy, seconds=CHANGE_SECONDS)


def _set_scheduler(address: Address, policy: str) -> None:
    with gpu_at(address, f"have the vGPUs of {address} take turns by {policy}") as (nvml, device):
        state = nvml.c_nvmlVgpuSchedulerSetState_t()
        state.schedulerPolicy = next(number for number, name in _POLICIES.items() if name == policy)
        nvml.nvmlDeviceSetVgpuSchedulerState(device, state)
