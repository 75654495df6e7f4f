"""What is remembered or forgotten without a deed: of what others made, or have taken away."""

from typing import Any, ClassVar

from gpupass.model.address import Name
from gpupass.step import NOTHING, Facts, Step
from gpupass.system import System


class Remember(Step, frozen=True, kw_only=True):
    """Its marks and what it forgets are all it does."""

    address: Name

    Before: ClassVar[Any] = type(None)
    hidden: ClassVar[bool] = True
    means: ClassVar[bool] = True

    @property
    def carriers(self) -> tuple[Name, ...]:
        return (self.address,)

    @property
    def needs(self) -> Facts:
        return NOTHING

    def words(self) -> str:
        if self.marks:
            told = (f"{mark.what} of {mark.part or mark.carrier}" for mark in self.marks)
            return f"remember {', '.join(dict.fromkeys(told))}"
        about = dict.fromkeys(part or carrier for _, carrier, part in self.forgets)
        return f"forget what is known of {', '.join(about)}"

    def seconds(self) -> float:
        return 0.0

    def current(self, system: System) -> None:
        return None

    def do(self, system: System, deadline: float) -> None:
        """The engine remembers."""

    def undo(self, before: Any, system: System) -> None:
        """Likewise."""
