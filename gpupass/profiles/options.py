"""Options of an attachment as they are typed: read as in a profile, by the same keys and rules."""

import re
from collections.abc import Mapping

from gpupass.errors import Usage
from gpupass.model.options import Options
from gpupass.model.profile import Place
from gpupass.profiles.findings import Findings
from gpupass.profiles.nodes import List, Map, Node, Scalar, Tag
from gpupass.profiles.shape import read_part
from gpupass.profiles.spelling import keys_of
from gpupass.profiles.written import build

_HERE = Place()


def read_options(typed: Mapping[str, str | tuple[str, ...]]) -> Options:
    """By the name that each has on the command line; Usage when one means nothing."""
    keys = keys_of(Options)
    entries = tuple((_scalar(name), _node(value, keys[name].mapping)) for name, value in typed.items())
    findings = Findings()
    part = read_part(Options, Map(place=_HERE, entries=entries, height=2), findings, "options")
    for (*_, message), (remedy, _) in findings.found.items():
        raise Usage(f"cannot read --{message}", remedy or "gpupass attach --help")
    options: Options = build(part) if part is not None else Options()
    return options


def _node(value: str | tuple[str, ...], mapping: bool) -> Node:
    """1=16G, 3=1G is a mapping."""
    if isinstance(value, str):
        return _scalar(value)
    if not mapping:
        return List(place=_HERE, items=tuple(map(_scalar, value)), height=1)
    pairs = (item.partition("=") for item in value)
    return Map(place=_HERE, entries=tuple((_scalar(key), _scalar(item)) for key, _, item in pairs), height=1)


def _scalar(text: str) -> Scalar:
    if re.fullmatch(r"[0-9]+", text):
        return Scalar(place=_HERE, text=text, tag=Tag.NUMBER)
    truth = text.lower() in ("true", "false", "yes", "no", "on", "off")
    return Scalar(place=_HERE, text=text, tag=Tag.TRUTH if truth else Tag.TEXT)
