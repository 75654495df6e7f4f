"""One gpupass at work: what it keeps open, and what it saw last; it ends with the verb."""

from typing import TYPE_CHECKING, Any

from gpupass.store import Store, store_of
from gpupass.system import System

if TYPE_CHECKING:
    from gpupass.app.intents import Intent


class Session:
    """The door to the machine with its libvirt connection, the store, the last Sight.

    NVML is not among it: a GPU that NVML has open can be neither reset nor unbound.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.sight: tuple[Any, Any] | None = None  # for whom, and what was seen

    @property
    def store(self) -> Store:
        return store_of(self.system)

    def look(self, intent: "Intent") -> Any:
        """The intent's own Sight."""
        sight = intent.look(self.system)
        self.sight = (intent, sight)
        return sight

    def seen(self, whose: object) -> Any | None:
        """What was seen last, where that was for the same intent."""
        return self.sight[1] if self.sight is not None and self.sight[0] == whose else None
