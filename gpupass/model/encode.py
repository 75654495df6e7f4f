"""The model as JSON-ready data: plain dictionaries, enums as their values."""

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

SCHEMA = 1


def encode(value: object) -> Any:
    """Dataclasses, enums and tuples as JSON-ready data."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    return value
