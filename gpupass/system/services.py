"""Services of a running systemd: asked for, stopped, started: those that may be stopped, and our own."""

from typing import TYPE_CHECKING

from gpupass.errors import GpupassError

if TYPE_CHECKING:
    from gpupass.system.door import System

_SECONDS = 120.0  # systemd itself kills what does not stop within 90 (DefaultTimeoutStopSec)
_ACTIVE = ("active", "activating", "reloading", "refreshing")


def is_active(system: "System", unit: str) -> bool:
    return _state(system, unit).get("ActiveState") in _ACTIVE


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


def _state(system: "System", unit: str) -> dict[str, str]:
    shown = system.run("systemctl", "show", "--property=LoadState,ActiveState", "--", unit)
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
