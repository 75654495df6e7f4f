"""How the model's classes are spelled in YAML: what parser, schema and writer know of them."""

from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from gpupass.model.profile import RULES, Rule, Use

USE = "use"
USES = tuple(use.value for use in Use)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a mapping; `kind` is the type of its value, of each item when there are `many`."""

    field: str
    spelled: str
    kind: Any
    many: bool
    default: Any
    doc: str
    minimum: int | None
    choices: tuple[str | int, ...]
    pattern: str | None
    form: str | None
    also: tuple[str, ...]
    mapping: bool
    unit: str
    short: str | None
    word: str | None
    nullable: bool  # null may be written, and says something of its own

    @property
    def required(self) -> bool:
        return self.default is MISSING


def keys_of(kind: type) -> dict[str, Key]:
    """Every key of a mapping by its spelling, in the order of the model."""
    return _keys_of(kind)


@cache
def _keys_of(kind: type) -> dict[str, Key]:
    hints = get_type_hints(kind)
    keys = [_key(item, hints[item.name]) for item in fields(kind) if "doc" in item.metadata]
    return {key.spelled: key for key in keys}


def entry_of(kind: type) -> tuple[Key, Key]:
    """The two fields of an entry that is written {first: second}."""
    first, second = keys_of(kind).values()
    return first, second


@cache
def keys_of_any_use() -> dict[str, Key]:
    merged: dict[str, Key] = {}
    kinds: tuple[type, ...] = (Rule, *RULES.values())
    for kind in kinds:
        merged = {**keys_of(kind), **merged}
    return merged


def uses_with(spelled: str) -> tuple[Use, ...]:
    return tuple(use for use, kind in RULES.items() if spelled in keys_of(kind))


def spellings(keys: Iterable[Key]) -> dict[str, str]:
    """What people might write → the key it is."""
    keys = tuple(keys)
    own = {key.spelled: key.spelled for key in keys}
    return own | {word: key.spelled for key in keys for word in key.also if word not in own}


def _key(item: Any, hint: Any) -> Key:
    kind, many = _kind(hint)
    metadata = dict(item.metadata)
    spelled = metadata.pop("key") or item.name
    nullable = item.default is MISSING and NoneType in get_args(hint)
    known = {"field": item.name, "spelled": spelled, "default": item.default, "nullable": nullable}
    return Key(kind=kind, many=many, **known, **metadata)


def _kind(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, UnionType):
        arms = [arm for arm in get_args(hint) if arm is not NoneType]
        hint = next((arm for arm in arms if get_origin(arm) is tuple), arms[0])
    if get_origin(hint) is tuple:
        return get_args(hint)[0], True
    return hint, False
