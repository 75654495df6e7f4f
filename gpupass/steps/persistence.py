"""NVIDIA persistence mode, which keeps the device open (nvidia-smi -pm)."""

from typing import Any

from gpupass.model.step import SetPersistence
from gpupass.system import System


def current(step: SetPersistence, system: System) -> bool:
    answer = system.run(
        "nvidia-smi", "-i", step.uuid, "--query-gpu=persistence_mode", "--format=csv,noheader"
    )
    return answer.strip() == "Enabled"


def do(step: SetPersistence, system: System) -> None:
    _set(system, step.uuid, step.on)


def undo(step: SetPersistence, before: Any, system: System) -> None:
    _set(system, step.uuid, bool(before))


def _set(system: System, uuid: str, on: bool) -> None:
    system.run("nvidia-smi", "-i", uuid, "-pm", "1" if on else "0")
