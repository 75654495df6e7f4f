"""The model's objects as they are written: every value with its place, wrong ones left out."""

from typing import Any

from msgspec import Struct

from gpupass.model.profile import Place


class Written(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value and where it stands: a scalar, a Part, or a tuple of Written."""

    place: Place
    value: Any


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An object of the model before it is built; fields that are wrong or not given are missing."""

    kind: type[Struct]
    place: Place
    fields: dict[str, Written]

    def get(self, field: str) -> Any:
        written = self.fields.get(field)
        return None if written is None else written.value

    def parts(self, field: str) -> tuple["Part", ...]:
        return tuple(item.value for item in self.get(field) or ())

    def where(self, field: str) -> Place:
        return self.fields[field].place if field in self.fields else self.place


def build(part: Part) -> Any:
    """The object itself; only for a part without findings."""
    values = {name: _plain(written.value) for name, written in part.fields.items()}
    if "place" in part.kind.__struct_fields__:
        values["place"] = part.place
    return part.kind(**values)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_plain(item.value) for item in value)
    return build(value) if isinstance(value, Part) else value
