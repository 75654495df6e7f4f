"""The one step that writes a persistent definition: it adds, and takes exactly that away again."""

from typing import Any, ClassVar

from gpupass.definition.preparation import (
    Before,
    Preparation,
    addresses,
    as_before,
    facts_in,
    holds,
    prepared,
    read,
)
from gpupass.definition.preparation import state_of as state
from gpupass.errors import GpupassError, NeedsPerson
from gpupass.lending.preflight import size_text
from gpupass.step import Facts, Kind, Step, facts
from gpupass.system import System


class DefineDomain(Step, frozen=True, kw_only=True):
    """The definition of `domain` has all of `gives_it`; what else is in it stays as it is then."""

    domain: str
    uuid: str
    connect: str
    gives_it: Preparation

    Before: ClassVar[Any] = Before

    @property
    def target(self) -> str:
        return f"domain:{self.uuid}"

    @property
    def gives(self) -> Facts:
        return facts((Kind.FILE, self.target))

    def words(self) -> str:
        return f"define {self.domain} with {', '.join(_told(self.gives_it))}"

    def seconds(self) -> float:
        return 0.1

    def current(self, system: System) -> Before:
        shown = self._definition(system, secret=False)
        return state(shown, self.gives_it, shown)

    def do(self, system: System, deadline: float) -> None:
        before = self._definition(system)
        if holds(before, self.gives_it):
            return
        places = set(addresses(read(before)))
        self._define(system, prepared(before, self.gives_it))
        after = self._definition(system)
        moved = places - set(addresses(read(after)))
        if moved or not holds(after, self.gives_it):
            if after != before:
                self._define(system, before)
            what = "would have moved devices of the guest" if moved else "has not taken all of it"
            raise GpupassError(
                f"cannot prepare {self.domain}: libvirt {what}", f"virsh dumpxml --inactive {self.domain}"
            )

    def undo(self, before: Any, system: System) -> None:
        """What others have written into it since stays; NeedsPerson where they use what would go."""
        now = self._definition(system)
        try:
            back = as_before(now, self.gives_it, before)
            if facts_in(back) != facts_in(now):
                self._define(system, back)
        except ValueError as error:
            raise NeedsPerson(
                f"cannot give {self.domain} its definition back: {error}", f"virsh edit {self.domain}"
            ) from None

    def _definition(self, system: System, secret: bool = True) -> str:
        """With its passwords, which would be lost otherwise; they are not kept anywhere."""
        found = system.hypervisor(self.connect).definition(self.uuid, secret)
        if found is None:
            raise GpupassError(f"cannot find the definition of {self.domain} any more", "virsh list --all")
        return found

    def _define(self, system: System, xml: str) -> None:
        system.hypervisor(self.connect).define(xml)


def _told(given: Preparation) -> list[str]:
    told = []
    if given.ports:
        told.append(f"{len(given.ports)} more hot-plug port{'s' if len(given.ports) > 1 else ''}")
    for kept, words in (("mem-reserve", "memory"), ("pref64-reserve", "prefetchable memory")):
        sizes = [window.size for window in given.windows if window.kept == kept]
        if sizes:
            told.append(f"{size_text(sizes[0])} of {words} behind {len(sizes)} port{'s'[: len(sizes) - 1]}")
    if given.cold:
        told.append(f"no hot-plug in port{'s' if len(given.cold) > 1 else ''} {_list(given.cold)}")
    if given.hard_limit is not None:
        told.append(f"{size_text(given.hard_limit << 10)} of memory to lock")
    if given.wide:
        told.append("the host's address bits")
    return told


def _list(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))
