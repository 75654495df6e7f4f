"""What one System keeps open: libvirt's connections, NVML, the child that reads, the store."""

from collections.abc import Callable, Hashable
from contextlib import ExitStack
from threading import RLock
from typing import Protocol, TypeVar, cast


class Closing(Protocol):
    """What can be kept."""

    def close(self) -> None: ...


K = TypeVar("K", bound=Closing)


class Kept:
    """Each made when it is first asked for, by whichever thread; closed with the rest, the last one first."""

    def __init__(self) -> None:
        self._changing = RLock()
        self._open: dict[Hashable, Closing] = {}

    def one(self, name: Hashable, make: Callable[[], K]) -> K:
        """The one of this name."""
        found = self._open.get(name)
        if found is None:
            with self._changing:
                found = self._open.get(name) or self._open.setdefault(name, make())
        return cast(K, found)

    def close(self) -> None:
        """Whatever is asked for afterwards is opened anew."""
        with self._changing, ExitStack() as closing:
            for one in self._open.values():
                closing.callback(one.close)
            self._open = {}

    def __deepcopy__(self, memo: dict[int, object]) -> "Kept":
        return Kept()
