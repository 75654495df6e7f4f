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
