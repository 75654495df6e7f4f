"""One gpupass at work: what it keeps open, and what it saw last; it ends with the verb."""

from typing import TYPE_CHECKING, Any, Self

from gpupass.errors import Refused
from gpupass.store import Store, store_of
from gpupass.system import Reader, System

if TYPE_CHECKING:
    from gpupass.app.intents import Intent


class Session:
    """The door to the machine with all that it keeps open until the Session ends, the store, the last Sight.

    NVML is not kept open from look to step: a GPU that it has open can be neither reset nor unbound.
    """

    def __init__(self, system: Reader) -> None:
        self.reader = system
        self.sight: tuple[Any, Any] | None = None  # for whom, and what was seen

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ending: object) -> None:
        if isinstance(self.reader, System):
            self.reader.close()

    @property
    def system(self) -> System:
        """Refused for a recorded host, which can only be looked at."""
        if not isinstance(self.reader, System):
            raise Refused("cannot change a recorded host: it can only be looked at", "--dry-run")
        return self.reader

    @property
    def store(self) -> Store:
        return store_of(self.system)

    def look(self, intent: "Intent") -> Any:
        """The intent's own Sight."""
        sight = intent.look(self.reader)
        self.sight = (intent, sight)
        return sight

    @property
    def last(self) -> Any:
        """What was seen last, for whomever."""
        assert self.sight is not None, "nobody has looked yet"
        return self.sight[1]

    def seen(self, whose: object) -> Any | None:
        """What was seen last, where that was for the same intent."""
        return self.sight[1] if self.sight is not None and self.sight[0] == whose else None
