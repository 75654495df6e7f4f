"""The only wiring of observe → plan → apply → verify: intents, and the one trip of all of them."""

from gpupass.app.boot import disable, early_bind, enable, file_changes
from gpupass.app.recovery import quarantine_clear, quarantined, recover, start_anew, unfinished
from gpupass.app.report import Ending, Report
from gpupass.app.verbs import adopt, attach, bind, detach, move, together, unbind

__all__ = [
    "Ending",
    "Report",
    "adopt",
    "attach",
    "bind",
    "detach",
    "disable",
    "early_bind",
    "enable",
    "file_changes",
    "move",
    "quarantine_clear",
    "quarantined",
    "recover",
    "start_anew",
    "together",
    "unbind",
    "unfinished",
]
