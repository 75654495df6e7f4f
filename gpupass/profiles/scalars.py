"""Scalar → text, address, number or truth, or a finding that says what was expected and what was found."""

import re

from gpupass.model.address import Address, parse_address
from gpupass.profiles.findings import Findings, quoted
from gpupass.profiles.nodes import List, Map, Node, Scalar, Tag
from gpupass.profiles.spelling import Key

_DIGITS = 9
_TRUE = ("true", "yes", "on")


def read_truth(key: Key, node: Node, findings: Findings) -> bool | None:
    if not isinstance(node, Scalar) or node.tag is not Tag.TRUTH:
        expected("true or false", key.spelled, node, findings)
        return None
    return node.text.lower() in _TRUE


def read_measure(key: Key, node: Node, findings: Findings) -> int | None:
    """A number that its unit follows: 2c."""
    text = node.text if isinstance(node, Scalar) and node.tag is Tag.TEXT else ""
    found = re.fullmatch(rf"([0-9]{{1,{_DIGITS}}}){key.unit}", text)
    if found is None or int(found[1]) < (key.minimum or 0):
        expected(f"a number like {key.minimum or 1}{key.unit}", key.spelled, node, findings)
        return None
    return int(found[1])


def read_number(key: Key, node: Node, findings: Findings) -> int | None:
    if not isinstance(node, Scalar) or node.tag is not Tag.NUMBER:
        text = isinstance(node, Scalar) and node.tag is Tag.TEXT and node.text.isdecimal()
        expected("a number", key.spelled, node, findings, "remove the quotes" if text else "")
        return None
    if re.fullmatch(r"[+-]?(0|[1-9][0-9]*)", node.text) is None:
        findings.add(node.place, f"{key.spelled}: write {quoted(node.text)} in plain decimal digits")
        return None
    if len(node.text) > _DIGITS:
        findings.add(node.place, f"{key.spelled}: {quoted(node.text)} is too large")
        return None
    if key.minimum is not None and int(node.text) < key.minimum:
        findings.add(node.place, f"{key.spelled}: must be at least {key.minimum}, not {node.text}")
        return None
    return int(node.text)


def read_text(key: Key, node: Node, findings: Findings) -> str | None:
    address = key.kind is Address
    if not isinstance(node, Scalar) or node.tag is Tag.NOTHING:
        wanted = "a PCI address" if address else "a text"
        expected(wanted, key.spelled, node, findings, "leave the key out")
        return None
    if node.tag is Tag.BROKEN:
        return None
    text = node.text
    if address:
        found = parse_address(text)
        if found is None:
            findings.add(node.place, f"{key.spelled}: {quoted(text)} is no PCI address", "like 0000:01:00.0")
        return found
    if not text.isprintable() or (not text.strip() and not _may_be_empty(key)):
        findings.add(node.place, f"{key.spelled}: {quoted(text)} is no readable text")
        return None
    if key.pattern is not None and re.fullmatch(key.pattern, text) is None:
        why = "looks like a PCI address" if parse_address(text) else f"does not fit: {key.form or key.doc}"
        findings.add(node.place, f"{key.spelled}: {quoted(text)} {why}")
        return None
    return text


def expected(wanted: str, what: str, node: Node, findings: Findings, remedy: str = "") -> None:
    if isinstance(node, Scalar) and node.tag is Tag.BROKEN:
        return
    findings.add(node.place, f"{what}: expected {wanted}, not {_found(node)}", remedy)


def _found(node: Node) -> str:
    match node:
        case List():
            return "a list"
        case Map():
            return "a mapping"
        case Scalar(tag=Tag.NOTHING):
            return "nothing"
        case Scalar(tag=Tag.NUMBER | Tag.FRACTION):
            return f"the number {node.text[:60]}"
        case Scalar(tag=Tag.TRUTH):
            return f"the truth value {node.text}"
        case _:
            return f"the text {quoted(node.text)}"


def _may_be_empty(key: Key) -> bool:
    return bool(key.pattern) and re.fullmatch(key.pattern or "", "") is not None
