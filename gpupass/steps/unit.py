"""Whether systemd starts a unit at boot, and whether it runs now."""

from typing import Any, ClassVar

from gpupass.errors import GpupassError
from gpupass.step import Step
from gpupass.system import System
from gpupass.system.services import is_active, start, stop
from gpupass.system.units import is_enabled


class EnableUnit(Step, frozen=True, kw_only=True):
    """Whether systemd starts a unit at boot."""

    unit: str
    on: bool

    Before: ClassVar[Any] = bool

    @property
    def target(self) -> str:
        return f"unit:{self.unit}"

    def words(self) -> str:
        return f"{'enable' if self.on else 'disable'} {self.unit}"

    def seconds(self) -> float:
        return 0.0

    def current(self, system: System) -> bool:
        return is_enabled(system, self.unit)

    def do(self, system: System, deadline: float) -> None:
        _set(system, self.unit, self.on)

    def undo(self, before: Any, system: System) -> None:
        _set(system, self.unit, bool(before))


class RunUnit(Step, frozen=True, kw_only=True):
    """Whether one of our own units runs; `anew`: also one that does is started again."""

    unit: str
    on: bool
    anew: bool = False

    Before: ClassVar[Any] = bool

    @property
    def target(self) -> str:
        return f"unit:{self.unit}"

    def words(self) -> str:
        verb = "stop" if not self.on else "restart" if self.anew else "start"
        return f"{verb} {self.unit}"

    def seconds(self) -> float:
        return 1.0

    def current(self, system: System) -> bool:
        return is_active(system, self.unit)

    def do(self, system: System, deadline: float) -> None:
        if self.on and (self.anew or not is_active(system, self.unit)):
            start(system, self.unit, self.anew)
        elif not self.on:
            stop(system, self.unit)

    def undo(self, before: Any, system: System) -> None:
        if bool(before):
            start(system, self.unit, anew=self.anew)
        else:
            stop(system, self.unit)


def _set(system: System, unit: str, on: bool) -> None:
    if is_enabled(system, unit) == on:
        return
    verb = "enable" if on else "disable"
    system.run("systemctl", verb, unit)
    if is_enabled(system, unit) != on:
        raise GpupassError(f"cannot {verb} {unit}: systemctl has not done it", f"systemctl cat {unit}")
