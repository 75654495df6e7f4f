"""Tree → parts: keys, uses and types are checked against the model's classes."""

import re
from typing import Any

from gpupass.methods import RULES
from gpupass.model.profile import Rule
from gpupass.profiles.findings import Findings, nearest, quoted
from gpupass.profiles.nodes import List, Map, Node, Scalar, Tag
from gpupass.profiles.scalars import expected, read_measure, read_number, read_text, read_truth
from gpupass.profiles.spelling import (
    USE,
    USES,
    Key,
    entry_of,
    is_object,
    keys_of,
    keys_of_any_use,
    spellings,
    uses_with,
)
from gpupass.profiles.written import Part, Written


def read_part(kind: type, node: Node, findings: Findings, what: str) -> Part | None:
    """A mapping as an object of this kind."""
    if not isinstance(node, Map):
        expected("a mapping", what, node, findings)
        return None
    use = _use(node, findings) if kind is Rule else None
    kind = RULES[use] if use is not None else kind
    keys = keys_of_any_use() if kind is Rule else keys_of(kind)
    read: dict[str, Written] = {}
    for name, value in node.entries:
        key = keys.get(name.text)
        if key is not None:
            written = _read_value(key, value, findings)
            if written is not None:
                read[key.field] = written
        elif not issubclass(kind, Rule):
            _unknown(name, spellings(keys.values()), findings)
        elif name.text != USE:
            _unknown_in_rule(name, keys, use, findings)
    present = {name.text for name, _ in node.entries}
    for key in keys_of(kind).values():
        if key.required and key.spelled not in present:
            findings.add(node.place, f"missing key '{key.spelled}': {key.doc}")
    return Part(kind=kind, place=node.place, fields=read)


def _use(node: Map, findings: Findings) -> str | None:
    value = next((value for name, value in node.entries if name.text == USE), None)
    known = ", ".join(USES)
    if value is None:
        findings.add(node.place, f"missing key 'use': {known}")
    elif not isinstance(value, Scalar) or value.tag is Tag.NOTHING:
        expected(f"one of {known}", USE, value, findings)
    elif value.text in USES:
        return value.text
    elif value.tag is not Tag.BROKEN:
        near = nearest(value.text, {use: use for use in USES}) or f": it is one of {known}"
        findings.add(value.place, f"unknown use {quoted(value.text)}{near}")
    return None


def _unknown_in_rule(name: Scalar, keys: dict[str, Key], use: str | None, findings: Findings) -> None:
    others = " or ".join(uses_with(name.text)) if use is not None else ""
    if others:
        message = f"'{name.text}' belongs to use: {others}, this rule says use: {use}"
        findings.add(name.place, message)
    else:
        _unknown(name, {"mode": USE, "method": USE, USE: USE} | spellings(keys.values()), findings)


_NEVER = {"ramfb": "a device with ramfb cannot be hot-plugged (QEMU's vfio-pci-nohotplug)"}


def _unknown(name: Scalar, known: dict[str, str], findings: Findings) -> None:
    if name.text in _NEVER:
        findings.add(name.place, f"{name.text}: {_NEVER[name.text]}", "leave it out")
        return
    near = nearest(name.text, known)
    remedy = "" if near else "known here: " + ", ".join(dict.fromkeys(known.values()))
    findings.add(name.place, f"unknown key {quoted(name.text)}{near}", remedy)


def _read_value(key: Key, node: Node, findings: Findings) -> Written | None:
    if not key.many:
        return _read_one(key, node, findings)
    if key.mapping:
        return _read_entries(key, node, findings)
    if isinstance(node, Scalar) and node.tag is Tag.TEXT and re.fullmatch(key.word or "(?!)", node.text):
        return Written(place=node.place, value=node.text)
    single = key.short is not None or not is_object(key.kind)
    alone = isinstance(node, Scalar) and single and node.tag is not Tag.NOTHING
    if not alone and not isinstance(node, List):
        expected("a list", key.spelled, node, findings, "leave the key out, or write []")
        return None
    nodes = node.items if isinstance(node, List) else (node,)
    items = [_read_one(key, item, findings) for item in nodes]
    return Written(place=node.place, value=tuple(item for item in items if item is not None))


def _read_short(key: Key, node: Scalar, findings: Findings) -> Written | None:
    """An item that says only the one field that it must."""
    first = next(own for own in keys_of(key.kind).values() if own.field == key.short)
    said = _read_one(first, node, findings)
    if said is None:
        return None
    part = Part(kind=key.kind, place=node.place, fields={first.field: said})
    return Written(place=node.place, value=part)


def _read_entries(key: Key, node: Node, findings: Findings) -> Written | None:
    if not isinstance(node, Map):
        expected("a mapping", key.spelled, node, findings, "leave the key out, or write {}")
        return None
    first, second = entry_of(key.kind)
    entries = []
    for name, value in node.entries:
        plain = Scalar(place=name.place, text=name.text, tag=_number_or_text(name))
        read = {
            first.field: _read_one(first, plain, findings),
            second.field: _read_value(second, value, findings),
        }
        kept = {field: written for field, written in read.items() if written is not None}
        part = Part(kind=key.kind, place=name.place, fields=kept)
        entries.append(Written(place=name.place, value=part))
    if first.kind is int:
        entries.sort(key=lambda entry: entry.value.get(first.field) or 0)
    return Written(place=node.place, value=tuple(entries))


def _number_or_text(name: Scalar) -> Tag:
    """JSON has only quoted keys."""
    return Tag.NUMBER if name.text.isdecimal() else name.tag


def _read_one(key: Key, node: Node, findings: Findings) -> Written | None:
    value: Any
    if key.nullable and isinstance(node, Scalar) and node.tag is Tag.NOTHING:
        return Written(place=node.place, value=None)
    if is_object(key.kind):
        if key.short is not None and isinstance(node, Scalar):
            return _read_short(key, node, findings)
        value = read_part(key.kind, node, findings, key.spelled)
        if value is not None and isinstance(node, Map) and len(node.entries) < (key.minimum or 0):
            findings.add(
                node.place,
                f"{key.spelled}: empty, but {key.doc} must be said",
                "one of " + ", ".join(keys_of(key.kind)),
            )
    elif key.kind is bool:
        value = read_truth(key, node, findings)
    elif key.unit:
        value = read_measure(key, node, findings)
    elif key.kind is int:
        value = read_number(key, node, findings)
    else:
        value = read_text(key, node, findings)
    if value is None:
        return None
    if key.choices and value not in key.choices:
        known = ", ".join(map(str, key.choices))
        findings.add(node.place, f"{key.spelled}: {quoted(str(value))} is none of {known}")
        return None
    return Written(place=node.place, value=value)
