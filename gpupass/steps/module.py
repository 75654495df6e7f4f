"""Load a kernel module, where nothing is lost by it."""

from typing import Any, ClassVar

from gpupass.step import Facts, Kind, Step, facts
from gpupass.system import System


class LoadModule(Step, frozen=True, kw_only=True):
    """modprobe."""

    module: str

    Before: ClassVar[Any] = type(None)
    means: ClassVar[bool] = True

    @property
    def target(self) -> str:
        return f"module:{self.module}"

    @property
    def gives(self) -> Facts:
        return facts((Kind.MODULE, self.module))

    def words(self) -> str:
        return f"load the kernel module {self.module}"

    def current(self, system: System) -> None:
        return None

    def do(self, system: System, deadline: float) -> None:
        if not system.exists(module_directory(self.module)):
            system.run("modprobe", "--", self.module)

    def undo(self, before: Any, system: System) -> None:
        """It stays: others may use it by now."""


def module_directory(module: str) -> str:
    return f"/sys/module/{module.replace('-', '_')}"
