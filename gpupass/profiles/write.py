"""Profile → YAML text that reads back as the same; keys in the order of the model, defaults left out."""

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gpupass.model.profile import VERSION, Profile, Rule
from gpupass.profiles.document import Document
from gpupass.profiles.spelling import USE, Key, entry_of, is_object, keys_of
from gpupass.profiles.tree import implicit_tag

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_BEFORE_USE = "select"
_INLINE = ("select", "attachments")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*|[0-9]g\.[0-9]+gb([+-][a-z.]+)?|[0-9]c")
_SPECIAL = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def write_profile(profile: Profile) -> str:
    keys = keys_of(Document)
    entries: list[tuple[Node, Node]] = [(_plain("version"), _plain(str(VERSION)))]
    for name in ("gpus", "attachments"):
        items = getattr(profile, name)
        if items:
            entries.append((_plain(name), _value(keys[name], items, inline=name in _INLINE)))
    if profile.containers is not None:
        entries.append((_plain("containers"), _text(profile.containers)))
    text: str = yaml.serialize(
        _mapping(entries, inline=False), Dumper=_DUMPER, allow_unicode=True, width=1 << 30
    )
    return text


def _object(value: Any, inline: bool) -> MappingNode:
    entries: list[tuple[Node, Node]] = []
    for key in keys_of(type(value)).values():
        field = getattr(value, key.field)
        if key.required or field != key.default:
            entries.append((_plain(key.spelled), _value(key, field, inline or key.spelled in _INLINE)))
        if key.spelled == _BEFORE_USE and isinstance(value, Rule):
            entries.append((_plain(USE), _plain(value.use)))
    return _mapping(entries, inline)


def _value(key: Key, value: Any, inline: bool) -> Node:
    if not key.many or isinstance(value, str):
        return _one(value, inline)
    if key.mapping:
        first, second = entry_of(key.kind)
        pairs = [
            (_one(getattr(item, first.field), True), _one(getattr(item, second.field), True))
            for item in value
        ]
        return _mapping(pairs, inline=True)
    flow = not is_object(key.kind) or key.short is not None
    items = [_item(key, item, inline or flow) for item in value]
    return SequenceNode("tag:yaml.org,2002:seq", items, flow_style=flow)


def _item(key: Key, item: Any, inline: bool) -> Node:
    if key.unit:
        return _text(f"{item}{key.unit}")
    if key.short is not None:
        said = [own.field for own in keys_of(key.kind).values() if getattr(item, own.field) != own.default]
        if said == [key.short]:
            return _text(getattr(item, key.short))
    return _one(item, inline)


def _one(value: Any, inline: bool) -> Node:
    if value is None:
        return _plain("null")
    if isinstance(value, bool):
        return _plain("true" if value else "false")
    if isinstance(value, int):
        return _plain(str(value))
    if isinstance(value, str):
        return _text(value)
    return _object(value, inline)


def _text(text: str) -> ScalarNode:
    """In quotes unless it is a word that no YAML reader takes for anything else."""
    if _WORD.fullmatch(text) and text.lower() not in _SPECIAL:
        return _plain(text)
    return ScalarNode("tag:yaml.org,2002:str", text, style='"')


def _plain(text: str) -> ScalarNode:
    """A scalar without quotes, of the type its looks give it."""
    return ScalarNode(implicit_tag(text, (True, False)), text)


def _mapping(entries: list[tuple[Any, Any]], inline: bool) -> MappingNode:
    return MappingNode("tag:yaml.org,2002:map", entries, flow_style=inline)
