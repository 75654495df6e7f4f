"""The only wiring of observe → plan → apply → verify."""

from gpupass.app.change import Ending, Report
from gpupass.app.recovery import quarantine_clear, quarantined, recover, unfinished
from gpupass.app.verbs import attach, bind, detach, move, unbind

__all__ = [
    "Ending",
    "Report",
    "attach",
    "bind",
    "detach",
    "move",
    "quarantine_clear",
    "quarantined",
    "recover",
    "unbind",
    "unfinished",
]
