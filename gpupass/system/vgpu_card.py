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
from gpupass.system.door import System
from gpupass.system.nvml_library import CHANGE_SECONDS, READ_SECONDS, Opened, text

_POLICIES = {1: "best-effort", 2: "equal-share", 3: "fixed-share"}  # NVML_VGPU_SCHEDULER_POLICY_*


def read_card(opened: Opened, device: Any) -> VgpuCard | None:
    """None: the driver does not tell, as one without vGPU."""
    nvml = opened.nvml

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
        types=tuple(_types(opened, supported or ())),
    )


def _types(opened: Opened, supported: Iterable[Any]) -> Iterator[VgpuType]:
    """By the ids that current_vgpu_type takes, too (Proxmox VE's qemu-server)."""
    nvml, known = opened.nvml, opened.known.vgpu_types
    for number in map(int, supported):
        with suppress(nvml.NVMLError):
            if number not in known:
                known[number] = type_label(text(nvml.nvmlVgpuTypeGetName(number)))
            yield VgpuType(id=number, name=known[number])


def card(system: System, address: Address) -> VgpuCard | None:
    return system.nvml.ask(address, _card, address, seconds=READ_SECONDS)


def _card(opened: Opened, address: Address) -> VgpuCard | None:
    with opened.gpu(address, f"read the vGPU settings of {address}") as (_, device):
        return read_card(opened, device)


def set_mixed(system: System, address: Address, mixed: bool) -> None:
    system.nvml.ask(address, _set_mixed, address, mixed, seconds=CHANGE_SECONDS)


def _set_mixed(opened: Opened, address: Address, mixed: bool) -> None:
    what = f"let vGPUs of {'several sizes' if mixed else 'one size'} share {address}"
    with opened.gpu(address, what) as (nvml, device):
        nvml.nvmlDeviceSetVgpuHeterogeneousMode(device, int(mixed))


def set_scheduler(system: System, address: Address, policy: str) -> None:
    system.nvml.ask(address, _set_scheduler, address, policy, seconds=CHANGE_SECONDS)


def _set_scheduler(opened: Opened, address: Address, policy: str) -> None:
    with opened.gpu(address, f"have the vGPUs of {address} take turns by {policy}") as (nvml, device):
        state = nvml.c_nvmlVgpuSchedulerSetState_t()
        state.schedulerPolicy = next(number for number, name in _POLICIES.items() if name == policy)
        nvml.nvmlDeviceSetVgpuSchedulerState(device, state)
