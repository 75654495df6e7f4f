"""The model as JSON text: journals, records, applies, saved plans and what --json prints."""

from typing import Any

import msgspec

SCHEMA = 1


def to_json(value: Any, indent: int = 0) -> bytes:
    """One line, or lines indented by so much.

    Lone surrogates, which stand for bytes that are no UTF-8 in names and files, are escaped: `\\udc80`.
    """
    try:
        text = msgspec.json.encode(value)
    except UnicodeEncodeError:
        import json

        return json.dumps(msgspec.to_builtins(value), indent=indent or None).encode()
    return msgspec.json.format(text, indent=indent) if indent else text


def from_json(data: bytes | str, kind: Any) -> Any:
    """ValueError when this is no JSON, or nothing of that type."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeEncodeError):  # there may be a lone surrogate in it
        import json

        return msgspec.convert(json.loads(data), kind)
