"""YAML text → a tree of scalars, lists and maps with their places. Nothing in it is executed or constructed.

Built from the parser's events, so that nesting and what aliases expand to are bounded before anything grows.
Scalars keep the text as it is written: an address is no sexagesimal number, `no` is a driver's name.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from gpupass.model.profile import Place
from gpupass.profiles.findings import Findings, quoted
from gpupass.profiles.nodes import List, Map, Node, Scalar, Tag

BYTES = 1 << 20
NODES = 100_000
DEPTH = 50
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Any = yaml.resolver.Resolver()
_YAML = "tag:yaml.org,2002:"
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_QUOTE = "a text that begins with '*' needs quotes: \"*A100*\""
_QUOTE_ALL = "quote a text that holds YAML's own signs"


class _Malformed(Exception):
    """Reading this file ends here."""

    def __init__(self, place: Place, message: str, remedy: str = "") -> None:
        self.finding = (place, message, remedy)


def read_tree(file: str, text: str, findings: Findings) -> Node | None:
    """The one document of a file; None when there is none to go on with, which is then a finding."""
    try:
        _check_characters(file, text)
        return _Composer(file, text.removeprefix("\ufeff"), findings).document()
    except _Malformed as malformed:
        findings.add(*malformed.finding)
    return None


def _check_characters(file: str, text: str) -> None:
    if len(text) > BYTES:
        raise _Malformed(Place(file=file, line=1, column=1), "the file is larger than 1 MiB")
    if (bad := _UNPRINTABLE.search(text)) is not None:
        before = _BREAK.split(text[: bad.start()])
        place = Place(file=file, line=len(before), column=len(before[-1]) + 1)
        raise _Malformed(place, f"the character U+{ord(bad[0]):04X} cannot stand in YAML")


class _Composer:
    """One pass over the events of one file."""

    def __init__(self, file: str, text: str, findings: Findings) -> None:
        self.file = file
        self.text = text
        self.findings = findings
        self.events = self._events()
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.open: set[str] = set()
        self.nodes = 0

    def _events(self) -> Iterator[Event]:
        try:
            yield from yaml.parse(self.text, Loader=LOADER)
        except yaml.MarkedYAMLError as error:
            raise self._syntax(error) from None
        except yaml.YAMLError as error:
            raise _Malformed(Place(file=self.file, line=1, column=1), f"this is no YAML: {error}") from None

    def _syntax(self, error: yaml.MarkedYAMLError) -> _Malformed:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        lines = _BREAK.split(self.text)
        row = lines[line] if line < len(lines) else ""
        indent = row[: len(row) - len(row.lstrip())]
        if "\t" in indent and column <= len(indent):
            place = Place(file=self.file, line=line + 1, column=indent.index("\t") + 1)
            return _Malformed(place, "a tab cannot indent YAML: use spaces")
        alias = row[column - 1 : column + 1].startswith("*") or row[column : column + 1] == "*"
        place = Place(file=self.file, line=line + 1, column=column + 1)
        problem = error.problem or "it cannot be read"
        return _Malformed(place, f"this is no YAML: {problem}", _QUOTE if alias else "")

    def document(self) -> Node:
        start = next(self.events)
        assert isinstance(start, StreamStartEvent)
        begin = next(self.events)
        if isinstance(begin, StreamEndEvent):
            raise self._empty()
        root = self._node(next(self.events), 0)
        assert isinstance(next(self.events), DocumentEndEvent)
        another = next(self.events)
        if isinstance(another, DocumentStartEvent):
            raise _Malformed(
                self._place(another),
                "a second document begins here",
                "one file holds one profile: remove '---'",
            )
        if isinstance(root, Scalar) and root.tag is Tag.NOTHING:
            raise self._empty()
        return root

    def _empty(self) -> _Malformed:
        return _Malformed(
            Place(file=self.file, line=1, column=1), "the file is empty", "begin with: version: 1"
        )

    def _place(self, event: Event) -> Place:
        mark = event.start_mark
        assert mark is not None
        return Place(file=self.file, line=mark.line + 1, column=mark.column + 1)

    def _node(self, event: Event, depth: int) -> Node:
        place = self._place(event)
        self._count(place, 1, depth)
        if isinstance(event, AliasEvent):
            return self._alias(event, place, depth)
        assert isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent)
        before = self.nodes
        anchor = event.anchor
        if anchor is not None:
            self.open.add(anchor)
        node: Node
        if isinstance(event, ScalarEvent):
            node = self._scalar(event, place)
        elif isinstance(event, SequenceStartEvent):
            node = self._list(event, place, depth)
        else:
            node = self._map(event, place, depth)
        if anchor is not None:
            self.open.discard(anchor)
            self.anchors[anchor] = (node, self.nodes - before)
        return node

    def _count(self, place: Place, nodes: int, depth: int) -> None:
        self.nodes += nodes
        if self.nodes > NODES:
            raise _Malformed(place, f"the file grows beyond {NODES} values here", "use fewer aliases")
        if depth > DEPTH:
            raise _Malformed(place, f"the file is nested deeper than {DEPTH} levels here")

    def _alias(self, event: AliasEvent, place: Place, depth: int) -> Node:
        name = event.anchor or ""
        if name in self.open:
            self.findings.add(place, f"the alias *{name} stands inside of what it names")
        elif name not in self.anchors:
            self.findings.add(place, f"the alias *{name} names no anchor before it", _QUOTE)
        else:
            node, size = self.anchors[name]
            self._count(place, size, depth + node.height)
            return node
        return self._broken(place)

    def _broken(self, place: Place) -> Scalar:
        return Scalar(place=place, text="", tag=Tag.BROKEN)

    def _scalar(self, event: ScalarEvent, place: Place) -> Scalar:
        tag = event.tag or implicit_tag(event.value, event.implicit)
        name = "str" if tag == "!" else tag.removeprefix(_YAML)
        if name not in set(Tag) - {Tag.BROKEN} or not tag.startswith((_YAML, "!")):
            return self._foreign(place, tag)
        return Scalar(place=place, text=event.value, tag=Tag(name))

    def _foreign(self, place: Place, tag: str) -> Scalar:
        self.findings.add(place, f"the tag {quoted(_short(tag))} means nothing in a profile", "remove it")
        return self._broken(place)

    def _list(self, event: SequenceStartEvent, place: Place, depth: int) -> Node:
        items = []
        while not isinstance(event_ := next(self.events), SequenceEndEvent):
            items.append(self._node(event_, depth + 1))
        if event.tag not in (None, "!", _YAML + "seq"):
            return self._foreign(place, event.tag)
        height = 1 + max((item.height for item in items), default=0)
        return List(place=place, items=tuple(items), height=height)

    def _map(self, event: MappingStartEvent, place: Place, depth: int) -> Node:
        entries: dict[str, tuple[Scalar, Node]] = {}
        while not isinstance(event_ := next(self.events), MappingEndEvent):
            key = self._node(event_, depth + 1)
            value = self._node(next(self.events), depth + 1)
            if self._key_is_good(key, entries):
                assert isinstance(key, Scalar)
                entries[key.text] = (key, value)
        if event.tag not in (None, "!", _YAML + "map"):
            return self._foreign(place, event.tag)
        height = 1 + max((value.height for _, value in entries.values()), default=0)
        return Map(place=place, entries=tuple(entries.values()), height=height)

    def _key_is_good(self, key: Node, entries: dict[str, tuple[Scalar, Node]]) -> bool:
        if not isinstance(key, Scalar):
            self.findings.add(key.place, "a key must be a word, not a list or mapping", _QUOTE_ALL)
        elif key.tag is Tag.MERGE:
            self.findings.add(
                key.place, "merging with '<<' is not supported", "write the keys out, or include: a file"
            )
        elif key.text in entries:
            first = entries[key.text][0].place
            self.findings.add(key.place, f"the key {quoted(key.text)} stands twice: first at {first}")
        else:
            return key.tag is not Tag.BROKEN
        return False


def implicit_tag(text: str, implicit: tuple[bool, bool]) -> str:
    """What a scalar without a tag is; `implicit`: by its looks, or a text whatever its looks."""
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, text, implicit)
    return tag


def _short(tag: str) -> str:
    return "!!" + tag.removeprefix(_YAML) if tag.startswith(_YAML) else tag
