"""Services of a running systemd: asked for, stopped, started: those that may be stopped, and our own."""

from typing import TYPE_CHECKING

from gpupass.errors import GpupassError
from gpupass.system.patience import patience

if TYPE_CHECKING:
    from gpupass.system.door import System

_SECONDS = 120.0  # systemd itself kills what does not stop within 90 (DefaultTimeoutStopSec)
_LOOKING = 5.0
_TOLD = "LoadState,ActiveState,TriggeredBy"
_ACTIVE = ("active", "activating", "reloading", "refreshing")


def is_active(system: "System", unit: str) -> bool:
    return _state(system, unit).get("ActiveState") in _ACTIVE


def triggers(system: "System", unit: str) -> tuple[str, ...]:
    """The sockets, paths and timers at work that start it again; none where no systemd tells."""
    try:
        named = _state(system, unit, patience(_LOOKING)).get("TriggeredBy", "").split()
        return tuple(one for one in named if is_active(system, one))
    except GpupassError:
        return ()


def stop(system: "System", unit: str) -> None:
    """GpupassError when it is still, or again, active."""
    system.run("systemctl", "stop", "--", unit, timeout=_SECONDS)
    if is_active(system, unit):
        raise GpupassError(f"cannot stop {unit}: it is active again", f"systemctl status {unit}")


def start(system: "System", unit: str, anew: bool = False) -> None:
    """GpupassError when it does not get active; nothing where it has been removed from the host."""
    if _state(system, unit).get("LoadState") == "not-found":
        return
    try:
        system.run("systemctl", "restart" if anew else "start", "--", unit, timeout=_SECONDS)
        why = "" if is_active(system, unit) else "it does not get active"
    except GpupassError as error:
        why = error.message
    if why:
        raise GpupassError(f"cannot start {unit}: {why}", f"journalctl --unit {unit}")


def _state(system: "System", unit: str, seconds: float = 60.0) -> dict[str, str]:
    shown = system.run("systemctl", "show", f"--property={_TOLD}", "--", unit, timeout=seconds)
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
