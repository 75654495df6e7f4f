"""One JSON spelling of the model: what is written down is read back; Steps carry their kind."""

from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

from gpupass.model.address import Address, parent_address
from gpupass.model.apply import Apply
from gpupass.model.encode import SCHEMA, encode
from gpupass.model.record import Record
from gpupass.model.step import Step

__all__ = ["SCHEMA", "decode", "decode_apply", "decode_record", "decode_step", "encode", "encode_step"]
_STEPS: dict[str, type[Step]] = {kind.__name__: kind for kind in get_args(Step)}


def encode_step(step: Step) -> dict[str, Any]:
    return {"step": type(step).__name__, **encode(step)}


def decode_step(data: dict[str, Any]) -> Step:
    """ValueError when this is no step of this version."""
    data = dict(data)
    kind = _STEPS.get(str(data.pop("step", None)))
    if kind is None:
        raise ValueError("unknown kind of step")
    step: Step = _decode(kind, data)
    return step


def decode_apply(data: dict[str, Any]) -> Apply:
    """ValueError when this is no apply of this version."""
    apply: Apply = _decode(Apply, data)
    return apply


def decode_record(data: dict[str, Any]) -> Record:
    """ValueError when this is no record of this version."""
    record: Record = _decode(Record, data)
    return record


def decode(kind: Any, data: Any) -> Any:
    """ValueError when the data are not of this type: plain, optional, tuple, dict, TypedDict or dataclass."""
    return _decode(kind, data)


_hints = cache(get_type_hints)


def _decode(kind: Any, data: Any) -> Any:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        if data is None and NoneType in get_args(kind):
            return None
        return _decode(next(arm for arm in get_args(kind) if arm is not NoneType), data)
    if origin is tuple:
        if not isinstance(data, list):
            raise ValueError(f"expected a list, not {data!r}")
        return tuple(_decode(get_args(kind)[0], item) for item in data)
    if origin is dict:
        if not isinstance(data, dict):
            raise ValueError(f"expected a mapping, not {data!r}")
        name, value = get_args(kind)
        return {_decode(name, key): _decode(value, item) for key, item in data.items()}
    if is_typeddict(kind):
        hints = _hints(kind)
        if not isinstance(data, dict) or data.keys() != hints.keys():
            raise ValueError(f"expected {', '.join(hints)}, not {data!r}")
        return {name: _decode(hint, data[name]) for name, hint in hints.items()}
    if is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(data, dict) or not data.keys() <= {f.name for f in fields(kind)}:
            raise ValueError(f"expected the fields of {kind.__name__}, not {data!r}")
        hints = _hints(kind)
        try:
            return kind(**{name: _decode(hints[name], item) for name, item in data.items()})
        except TypeError as error:
            raise ValueError(str(error)) from None
    if kind is Address and (not isinstance(data, str) or parent_address(data) != data):
        raise ValueError(f"expected an address, not {data!r}")
    kind = getattr(kind, "__supertype__", kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise ValueError(f"expected {kind.__name__}, not {data!r}")
    return data
