"""Rules about slots of other rules: which device they are cut from in the end, and the way there; pure."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from gpupass.model.address import Name
from gpupass.model.host import Base
from gpupass.model.profile import Place, Rule


class Chosen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one rule means; `name` is the rule's, with /1 for the second of several.

    `path` leads from the device to the slot of its that is meant, or to a slot of that: ("3g.20gb@4",).
    """

    name: str
    rule: Rule
    carrier: Base
    path: tuple[str, ...] = ()

    @property
    def where(self) -> Name:
        """As people are told of it."""
        return "/".join((self.carrier.address, *self.path))


def standing(rules: Iterable[Rule], chosen: tuple[Chosen, ...]) -> Iterator[tuple[Rule, tuple[Chosen, ...]]]:
    """Each rule about a slot with all that it means; a profile that was read has no circle of them."""
    known = {rule.name: tuple(one for one in chosen if one.rule is rule) for rule in rules}
    left = {rule.name: rule for rule in rules if rule.select.on}
    while ready := [rule for rule in left.values() if rule.select.on[0] not in left]:
        for rule in ready:
            found = tuple(_on(rule, known.get(rule.select.on[0], ())))
            known[rule.name] = found
            del left[rule.name]
            yield rule, found
    yield from ((rule, ()) for rule in left.values())


def _on(rule: Rule, bases: tuple[Chosen, ...]) -> Iterator[Chosen]:
    _, *path = rule.select.on
    if path[0].isdecimal():
        number, *path = path
        bases = bases[int(number) : int(number) + 1]
    bases = bases[: rule.count]
    for nth, base in enumerate(bases):
        name = rule.name if len(bases) == 1 else f"{rule.name}/{nth}"
        yield Chosen(name=name, rule=rule, carrier=base.carrier, path=(*base.path, *path))


def meant(text: str, chosen: Iterable[Chosen]) -> tuple[Chosen, tuple[str, ...]] | None:
    """A chosen thing by its name, and the rest of the way to a slot of its."""
    names = {f"{one.rule.name}/0": one for one in chosen} | {one.name: one for one in chosen}
    words = tuple(text.split("/"))
    for number in range(len(words), 0, -1):
        one, rest = names.get("/".join(words[:number])), words[number:]
        if one is not None and not (rest and rest[0].isdecimal()):
            return nearest(one, rest, chosen)
    return None


def nearest(one: Chosen, rest: tuple[str, ...], chosen: Iterable[Chosen]) -> tuple[Chosen, tuple[str, ...]]:
    """A slot that has a rule of its own is that rule's."""
    way = (*one.path, *rest)
    of_it = (other for other in chosen if other.carrier.address == one.carrier.address)
    near = max((other for other in of_it if way[: len(other.path)] == other.path), key=lambda o: len(o.path))
    return near, way[len(near.path) :]


def at(place: Place) -> str:
    return f"{place}: " if place.file else ""


def nothing_to_stand_on(rule: Rule, rules: Iterable[Rule]) -> tuple[str, str]:
    base = next((one for one in rules if one.name == rule.select.on[0]), None)
    why = "is optional, and nothing on this host matches it" if base is not None else "is no rule of it"
    return (
        f"{at(rule.place)}{rule.name} stands on {rule.select.slot}, and {rule.select.on[0]} {why}",
        f"optional: true for {rule.name}, too",
    )
