"""The only door to the machine: files, processes, libvirt, NVML; and to a recorded one, without writers.

What it offers is imported when it is asked for: who needs one small part of it pays for no other.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpupass.system.door import System
    from gpupass.system.reader import Reader
    from gpupass.system.recorded_host import RecordedHost

__all__ = ["Reader", "RecordedHost", "System"]
_WHERE = {"Reader": "reader", "RecordedHost": "recorded_host", "System": "door"}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
