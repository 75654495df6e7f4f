"""While a test plans anything, every order is asked for again with the same steps shuffled: it is the same."""

from random import Random

import pytest

from gpupass.planner import draft, profile
from gpupass.planner.order import in_order

_SHUFFLES = 3
PLANNING = (draft, profile)


def checked(takes, makes):
    first = in_order(takes, makes)
    for seed in range(_SHUFFLES):
        taken, made = list(takes), list(makes)
        Random(seed).shuffle(taken)
        Random(seed).shuffle(made)
        assert in_order(taken, made) == first
    return first


@pytest.fixture(autouse=True)
def shuffled(monkeypatch):
    for room in PLANNING:
        monkeypatch.setattr(room, "in_order", checked)
