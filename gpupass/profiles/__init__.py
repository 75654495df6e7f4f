"""YAML text → Profile and back; pure: who reads files is handed in."""

from gpupass.profiles.findings import ProfileInvalid
from gpupass.profiles.load import load_profile, why_unreadable
from gpupass.profiles.schema import profile_schema
from gpupass.profiles.write import write_profile

__all__ = ["ProfileInvalid", "load_profile", "profile_schema", "why_unreadable", "write_profile"]
