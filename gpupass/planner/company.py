"""Which of a profile's devices change together, and which may change alone; pure."""

from collections.abc import Iterator

from gpupass.methods import ways
from gpupass.model.address import Address
from gpupass.model.host import Base, Device, Host
from gpupass.model.profile import Rule
from gpupass.planner.standing import Chosen
from gpupass.planner.stopping import letting_go


def changed_with(host: Host, carrier: Base, rule: Rule) -> tuple[Device, ...]:
    """Other devices that change with it under this rule."""
    return tuple(other for method in ways(carrier) for other in method.company(host, carrier, (rule,)))


def touched_by(host: Host, one: Chosen) -> tuple[Address, ...]:
    """With it changes its group, and what its rule's cut changes."""
    along = changed_with(host, one.carrier, one.rule) if not one.path else ()
    members = (*host.group_of(one.carrier), *along)
    return tuple(dict.fromkeys(member.address for member in members))


def in_company(chosen: tuple[Chosen, ...], host: Host) -> Iterator[tuple[Chosen, ...]]:
    """Devices of one IOMMU group change together, and those that one rule's cut changes; all others alone.

    Also those of one service that is stopped for them: started again for one, it would take the others.
    """
    first: dict[str, int] = {}  # who touches it, by number
    with_whom = list(range(len(chosen)))  # each one's, or that one's, is the first of those together

    def head(number: int) -> int:
        while with_whom[number] != number:
            number = with_whom[number]
        return number

    def join(number: int, thing: str) -> None:
        mine, other = head(number), head(first.setdefault(thing, number))
        with_whom[max(mine, other)] = min(mine, other)

    for number, one in enumerate(chosen):
        touched = touched_by(host, one)
        for thing in (*touched, *(stop.words() for stop in letting_go(host, touched, one.rule.stop))):
            join(number, thing)
    found: dict[int, list[Chosen]] = {}
    for number, one in enumerate(chosen):
        found.setdefault(head(number), []).append(one)
    return map(tuple, found.values())
