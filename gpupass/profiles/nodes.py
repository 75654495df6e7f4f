"""What a YAML file is made of: scalars as they are written, lists and maps, each with its place."""

from dataclasses import dataclass
from enum import StrEnum

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    place: Place
    text: str
    tag: Tag
    height: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class List:
    place: Place
    items: tuple["Node", ...]
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    place: Place
    entries: tuple[tuple[Scalar, "Node"], ...]
    height: int


Node = Scalar | List | Map
