"""The JSON Schema of a profile file, made from the model."""

import re
from typing import Any

from gpupass.methods import RULES
from gpupass.model.profile import Rule
from gpupass.profiles.document import Document
from gpupass.profiles.spelling import USE, USES, Key, entry_of, is_object, keys_of

Schema = dict[str, Any]


def profile_schema() -> Schema:
    """JSON Schema, draft 2020-12."""
    definitions: Schema = {}
    root = _object(Document, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gpupass profile",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _object(kind: type, definitions: Schema) -> Schema:
    if kind is Rule:
        return _rule(definitions)
    keys = keys_of(kind).values()
    properties = {key.spelled: _key(key, definitions) for key in keys}
    required = [key.spelled for key in keys if key.required]
    if issubclass(kind, Rule):
        properties[USE] = {"const": kind.use}
    return {
        "description": " ".join((kind.__doc__ or "").split()),
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _rule(definitions: Schema) -> Schema:
    """`use` decides which keys there are."""
    branches = [
        {
            "if": {"properties": {USE: {"const": use}}, "required": [USE]},
            "then": _reference(kind, definitions),
        }
        for use, kind in RULES.items()
    ]
    use = {"description": "How a device is used.", "enum": list(USES)}
    return {"type": "object", "properties": {USE: use}, "required": [USE], "allOf": branches}


def _reference(kind: type, definitions: Schema) -> Schema:
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}
        definitions[kind.__name__] = _object(kind, definitions)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _key(key: Key, definitions: Schema) -> Schema:
    return {"description": key.doc, **_value(key, definitions)}


def _value(key: Key, definitions: Schema) -> Schema:
    if not key.many:
        return _one(key, definitions)
    if key.mapping:
        first, second = entry_of(key.kind)
        names = "0|[1-9][0-9]*" if first.kind is int else first.pattern
        named = {"propertyNames": {"pattern": f"^({names})$"}}
        entry = _one(second, definitions)
        entry = {"anyOf": [entry, {"type": "null"}]} if second.nullable else entry
        return {"type": "object", **named, "additionalProperties": entry}
    one = alone = _one(key, definitions)
    if key.short is not None:
        alone = _text(next(own for own in keys_of(key.kind).values() if own.field == key.short))
        one = {"anyOf": [alone, one]}
    items = {"type": "array", "items": one}
    if is_object(key.kind) and key.short is None:
        return items
    word = [{"type": "string", "pattern": f"^({key.word})$"}] if key.word is not None else []
    return {"anyOf": [alone, *word, items]}


def _one(key: Key, definitions: Schema) -> Schema:
    choices = {"enum": list(key.choices)} if key.choices else {}
    if is_object(key.kind):
        least = {"minProperties": key.minimum} if key.minimum is not None else {}
        return {**_reference(key.kind, definitions), **least}
    if key.kind is bool:
        return {"type": "boolean", **choices}
    if key.unit:
        return {"type": "string", "pattern": f"^[1-9][0-9]{{0,8}}{key.unit}$"}
    if key.kind is int:
        least = {"minimum": key.minimum} if key.minimum is not None else {}
        return {"type": "integer", **least, **choices}
    return {**_text(key), **choices}


def _text(key: Key) -> Schema:
    """A text that digits alone can spell may stand without quotes, and is a number to a validator."""
    if key.pattern is None:
        return {"type": ["string", "number"], "minLength": 1}
    kind: Any = ["string", "number"] if re.fullmatch(key.pattern, "1234") else "string"
    return {"type": kind, "pattern": f"^({key.pattern})$"}
