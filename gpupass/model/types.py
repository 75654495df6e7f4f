"""How many of which type: what rules about mediated devices and vGPUs have in common."""

from typing import Annotated

from msgspec import Struct

from gpupass.model.key import Key
from gpupass.model.profile import Said

TYPE = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
TYPE_FORM = "letters, digits, '_', '.' or '-'"


class TypeCount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many of one type."""

    type: Annotated[str, Key("the type's name", pattern=TYPE, form=TYPE_FORM)]
    count: Annotated[int, Key("how many", minimum=0)]

    @property
    def parts(self) -> tuple[str, ...]:
        """What their slots are called."""
        return tuple(f"{self.type}-{number}" for number in range(self.count))


def counted(types: list[str]) -> tuple[TypeCount, ...]:
    return tuple(TypeCount(type=name, count=types.count(name)) for name in dict.fromkeys(types))


def why_no_type(rule: Said, use: str, part: str) -> str:
    """Its slots are called by their type and a number."""
    name = rule.get("name")
    counts = {entry.get("type"): entry.get("count") or 0 for entry in rule.parts("types")}
    made = [f"{name}/{kind}-0" for kind, count in counts.items() if count and kind]
    kind, _, number = part.rpartition("-")
    if number.isdecimal() and int(number) < counts.get(kind, 0):
        return ""
    if not made:
        return f"'{name}' makes none"
    if not part:
        return f"'{name}' says use: {use}, only its slots can: {made[0]}"
    most = f", {name}/{kind}-{counts[kind] - 1} is the last one" if counts.get(kind) else ""
    return f"'{name}' makes no such{most or ', but ' + ', '.join(made)}"
