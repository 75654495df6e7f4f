"""Whether systemd starts a unit at boot."""

from typing import Any

from gpupass.errors import GpupassError
from gpupass.model.step import EnableUnit
from gpupass.system import System
from gpupass.system.units import is_enabled


def current(step: EnableUnit, system: System) -> bool:
    return is_enabled(system, step.unit)


def do(step: EnableUnit, system: System) -> None:
    _set(system, step.unit, step.on)


def undo(step: EnableUnit, before: Any, system: System) -> None:
    _set(system, step.unit, bool(before))


def _set(system: System, unit: str, on: bool) -> None:
    if is_enabled(system, unit) == on:
        return
    verb = "enable" if on else "disable"
    system.run("systemctl", verb, unit)
    if is_enabled(system, unit) != on:
        raise GpupassError(f"cannot {verb} {unit}: systemctl has not done it", f"systemctl cat {unit}")
