"""YAML text → Profile and back; pure: who reads files is handed in.

Who writes one does not import what reads it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpupass.profiles.findings import ProfileInvalid
    from gpupass.profiles.load import load_profile, why_unreadable
    from gpupass.profiles.schema import profile_schema
    from gpupass.profiles.write import write_profile

__all__ = ["ProfileInvalid", "load_profile", "profile_schema", "why_unreadable", "write_profile"]
_WHERE = {
    "ProfileInvalid": "findings",
    "load_profile": "load",
    "why_unreadable": "load",
    "profile_schema": "schema",
    "write_profile": "write",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
