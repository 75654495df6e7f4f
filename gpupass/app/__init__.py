"""The only wiring of observe → plan → apply → verify: intents, and the one trip of all of them.

What it offers is imported when it is asked for: a verb pays for no other.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpupass.app.boot import disable, early_bind, enable, file_changes
    from gpupass.app.promises import promise, take_back
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
    "promise",
    "quarantine_clear",
    "quarantined",
    "recover",
    "start_anew",
    "take_back",
    "together",
    "unbind",
    "unfinished",
]
_WHERE = {
    "boot": ("disable", "early_bind", "enable", "file_changes"),
    "promises": ("promise", "take_back"),
    "recovery": ("quarantine_clear", "quarantined", "recover", "start_anew", "unfinished"),
    "report": ("Ending", "Report"),
    "verbs": ("adopt", "attach", "bind", "detach", "move", "together", "unbind"),
}


def __getattr__(name: str) -> Any:
    for module, names in _WHERE.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
