"""Profiles are asked for until the driver says that there are no more, whatever this nvidia-ml-py knows."""

from collections.abc import Callable

import pytest

from gpupass.system.mig import _all_told
from gpupass.system.nvml_library import INVALID_ARGUMENT, NOT_SUPPORTED


class _Refused(Exception):
    def __init__(self, value: int) -> None:
        self.value = value


class _Library:
    NVMLError = _Refused


def _answers(*codes: int) -> Callable[[int], int]:
    """0: the index itself; beyond the last one the driver knows of none."""

    def ask(index: int) -> int:
        refused = codes[index] if index < len(codes) else INVALID_ARGUMENT
        if refused:
            raise _Refused(refused)
        return index

    return ask


HOLE = NOT_SUPPORTED


@pytest.mark.parametrize(
    ("codes", "known", "told"),
    [
        ((0, HOLE, 0), 18, [0, 2]),
        ((0, 0, HOLE, 0, 0), 2, [0, 1, 3, 4]),  # an older nvidia-ml-py, a newer driver
        ((0, INVALID_ARGUMENT, 0), 3, [0, 2]),  # an older driver has holes of both kinds
        ((), 10, []),
    ],
)
def test_until_there_are_no_more(codes: tuple[int, ...], known: int, told: list[int]) -> None:
    assert list(_all_told(_Library, _answers(*codes), known)) == told


def test_a_driver_that_knows_no_end_is_left() -> None:
    assert len(list(_all_told(_Library, lambda index: index, 18))) == 64
