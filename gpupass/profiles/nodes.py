"""What a YAML file is made of: scalars as they are written, lists and maps, each with its place."""

from enum import StrEnum

from msgspec import Struct

from gpupass.model.profile import Place


class Tag(StrEnum):
    """What YAML 1.1 takes an unquoted scalar for."""

    TEXT = "str"
    NUMBER = "int"
    FRACTION = "float"
    TRUTH = "bool"
    NOTHING = "null"
    DATE = "timestamp"
    MERGE = "merge"
    DEFAULT = "value"
    BROKEN = ""  # already found to be wrong


class Scalar(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    place: Place
    text: str
    tag: Tag
    height: int = 0


class List(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    place: Place
    items: tuple["Node", ...]
    height: int


class Map(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    place: Place
    entries: tuple[tuple[Scalar, "Node"], ...]
    height: int


Node = Scalar | List | Map


def path_to(place: Place, node: Node, at: str = "") -> str | None:
    """gpus[1].layout[0], for the very place that a value or key of the tree has; None: it is not in it.

    By identity: a mapping begins where its first key does.
    """
    if node.place is place:
        return at
    below: tuple[tuple[str, Node], ...] = ()
    if isinstance(node, Map):
        below = tuple((f"{at}.{name.text}" if at else name.text, value) for name, value in node.entries)
        own = (path for (path, _), (name, _) in zip(below, node.entries, strict=True) if name.place is place)
        if (path := next(own, None)) is not None:
            return path
    elif isinstance(node, List):
        below = tuple((f"{at}[{number}]", item) for number, item in enumerate(node.items))
    found = (path_to(place, value, path) for path, value in below)
    return next((path for path in found if path is not None), None)
