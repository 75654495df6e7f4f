"""Every kind of step says all that a step has to say."""

import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import ValidationError, convert

from gpupass.kinds import STEPS, AnyStep

ROOT = Path(__file__).parents[2]
STEPS_OF_TWO_KINDS = """
from typing import Any, ClassVar
from gpupass.model.address import Address
from gpupass.step import Deed, Step
from gpupass.system import System

class Half(Step, frozen=True, kw_only=True):
    Before: ClassVar[Any] = type(None)

    @property
    def carriers(self) -> tuple[Address, ...]:
        return ()

    def words(self) -> str:
        return "nothing"

    def current(self, system: System) -> None: ...
    def do(self, system: System, deadline: float) -> None: ...

class Whole(Half, frozen=True, kw_only=True):
    def undo(self, before: Any, system: System) -> None: ...

GOOD: tuple[type[Deed], ...] = (Whole,)
BAD: tuple[type[Deed], ...] = (Half,)
"""


def test_a_step_without_undo_does_not_type_check(tmp_path):
    steps = tmp_path / "two_kinds.py"
    steps.write_text(STEPS_OF_TWO_KINDS)
    command = (sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(steps))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    (error,) = [line for line in done.stdout.splitlines() if ": error:" in line]
    # mypy's cache may name the file of an earlier run
    assert f"/{steps.name}:{len(STEPS_OF_TWO_KINDS.splitlines())}:" in error, done.stdout
    assert "undo" in done.stdout


@pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.__name__)
def test_what_a_step_does_not_have_is_an_error(kind):
    with pytest.raises(ValidationError):
        convert({"step": kind.__name__, "colour": "red"}, AnyStep)


def test_names_are_told_apart():
    assert len({kind.__name__ for kind in STEPS}) == len(STEPS)
