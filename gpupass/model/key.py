"""What a field of the model is called and how it is written in YAML files: `Annotated[str, Key("…")]`."""

from msgspec import Struct


class Key(Struct, frozen=True, forbid_unknown_fields=True):
    """A field that is written in YAML, as `spelled` when its Python name cannot be.

    `minimum` is a number's least value, or how many keys a mapping needs; `form` says a pattern in words;
    `also` are words people bring from elsewhere, answered with the right one. `mapping`: a tuple of
    entries with two fields each is written {first: second}. `unit` follows a number: 2c. Of a tuple of
    objects, an item that says nothing but its field `short` may be written as that alone, and a text that
    fits the pattern `word` may stand in place of the whole tuple.
    """

    doc: str
    spelled: str = ""
    minimum: int | None = None
    choices: tuple[str | int, ...] = ()
    pattern: str | None = None
    form: str | None = None
    also: tuple[str, ...] = ()
    mapping: bool = False
    unit: str = ""
    short: str | None = None
    word: str | None = None
