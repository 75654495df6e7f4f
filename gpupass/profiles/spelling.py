"""How the model's classes are spelled in YAML: what parser, schema and writer know of them."""

from collections.abc import Iterable
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeGuard, Union, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, asdict, fields

from gpupass.methods import RULES
from gpupass.model import key
from gpupass.model.profile import Rule

USE = "use"
USES = tuple(RULES)


class Key(key.Key, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key of a mapping; `kind` is the type of its value, of each item when there are `many`."""

    field: str
    kind: Any
    many: bool
    default: Any
    nullable: bool  # null may be written, and says something of its own

    @property
    def required(self) -> bool:
        return self.default is NODEFAULT


def keys_of(kind: type) -> dict[str, Key]:
    """Every key of a mapping by its spelling, in the order of the model."""
    return _keys_of(kind)


@cache
def _keys_of(kind: type) -> dict[str, Key]:
    hints = get_type_hints(kind, include_extras=True)
    first = getattr(kind, "written_first", ())
    ordered = sorted(fields(kind), key=lambda item: item.name not in first)
    keys = (_key(item, hints[item.name]) for item in ordered)
    return {key.spelled: key for key in keys if key is not None}


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


def uses_with(spelled: str) -> tuple[str, ...]:
    return tuple(use for use, kind in RULES.items() if spelled in keys_of(kind))


def is_object(kind: Any) -> TypeGuard[type[Struct]]:
    """It has keys of its own."""
    return isinstance(kind, type) and issubclass(kind, Struct)


def spellings(keys: Iterable[Key]) -> dict[str, str]:
    """What people might write → the key it is."""
    keys = tuple(keys)
    own = {key.spelled: key.spelled for key in keys}
    return own | {word: key.spelled for key in keys for word in key.also if word not in own}


def _key(item: FieldInfo, hint: Any) -> Key | None:
    """None: it is not written."""
    if get_origin(hint) is not Annotated:
        return None
    hint, said = get_args(hint)
    kind, many = _kind(hint)
    nullable = item.default is NODEFAULT and NoneType in get_args(hint)
    known = asdict(said) | {"spelled": said.spelled or item.name}
    return Key(field=item.name, kind=kind, many=many, default=item.default, nullable=nullable, **known)


def _kind(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, UnionType):
        arms = [arm for arm in get_args(hint) if arm is not NoneType]
        hint = next((arm for arm in arms if get_origin(arm) is tuple), arms[0])
    if get_origin(hint) is tuple:
        return get_args(hint)[0], True
    return hint, False
