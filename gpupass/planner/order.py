"""The one right order of steps, from the facts that they need, give, end and must be without; pure.

A fact of the goal: what is taken needs it still → it ends → it must be absent → it is given → what is made
needs it. Any other fact: it is given → what is taken needs it → it ends → it must be absent → the rest needs
it. What no fact decides goes by rank, then by what a step is and is about: the same steps always come in the
same order.
"""

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from itertools import pairwise

from gpupass.step import Deed, Fact, Rank


class Circle(Exception):
    """Steps that wait for each other; a bug of a way to share a GPU, and it names them."""


def in_order(takes: Sequence[Deed], makes: Sequence[Deed]) -> tuple[Deed, ...]:
    """`takes` end what is, `makes` make the goal; each in any order."""
    steps = (*takes, *makes)
    graph = _edges(steps, len(takes))
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as error:
        raise Circle(" → ".join(steps[number].words() for number in error.args[1])) from None
    return tuple(_sorted(steps, sorter))


def _edges(steps: Sequence[Deed], takes: int) -> dict[int, set[int]]:
    said = [(step.needs, step.gives, step.ends, step.without) for step in steps]
    about: dict[Fact, list[set[int]]] = {}
    for number, four in enumerate(said):
        for at, facts in enumerate(four):
            for fact in facts:
                about.setdefault(fact, [set(), set(), set(), set()])[at].add(number)
    goal = {fact for four in said[takes:] for fact in four[1]}
    old = set(range(takes))
    graph: dict[int, set[int]] = {number: set() for number in range(len(steps))}
    for fact, (needs, gives, ends, without) in about.items():
        stages = (
            [needs & old, ends, without, gives, needs - old]
            if fact in goal
            else [gives, needs & old, ends, without, needs - old]
        )
        for before, after in pairwise(stage for stage in stages if stage):
            for number in after:
                graph[number] |= before - {number}
        for series in (gives, ends):
            _by_rank(steps, series, graph)
    return graph


def _by_rank(steps: Sequence[Deed], series: Iterable[int], graph: dict[int, set[int]]) -> None:
    """Steps that give, or end, the same fact: the higher rank first."""
    for ranks in pairwise(_ranks(steps, series)):
        for number in ranks[1]:
            graph[number] |= ranks[0]


def _ranks(steps: Sequence[Deed], series: Iterable[int]) -> list[set[int]]:
    found: dict[Rank, set[int]] = {}
    for number in series:
        found.setdefault(steps[number].rank, set()).add(number)
    return [found[rank] for rank in sorted(found, reverse=True)]


def _sorted(steps: Sequence[Deed], sorter: "TopologicalSorter[int]") -> Iterable[Deed]:
    ready: list[tuple[tuple[str, ...], int]] = []
    while sorter.is_active():
        for number in sorter.get_ready():
            heappush(ready, (_key(steps[number]), number))
        _, number = heappop(ready)
        yield steps[number]
        sorter.done(number)


def _key(step: Deed) -> tuple[str, ...]:
    """Of no device first, then each device's."""
    return (*(step.carriers or ("",)), step.words())
