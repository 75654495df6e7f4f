"""A way to share a GPU that nobody has: its file `lanes` says into how many it is divided."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from gpupass.method import Nothing, Rules
from gpupass.model.address import Address, sysfs
from gpupass.model.host import Device, Host
from gpupass.model.key import Key
from gpupass.model.mark import Mark
from gpupass.model.profile import Rule
from gpupass.model.slot import Slot, SlotKind
from gpupass.plan import NOTHING, Draft
from gpupass.step import NOTHING as NO_FACTS
from gpupass.step import Deed, Facts, Kind, Step, facts
from gpupass.system import System


class Made(Mark, frozen=True, kw_only=True, tag="lanes.made"):
    """Divided by gpupass."""

    lanes: int

    what: ClassVar[str] = "the lanes"


class LanesRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use: lanes`."""

    use: ClassVar[str] = "lanes"

    lanes: Annotated[int, Key("how many", minimum=1)]


class SetLanes(Step, frozen=True, kw_only=True):
    """Into how many the GPU is divided; 1: not at all."""

    address: Address
    lanes: int

    Before: ClassVar[Any] = int

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def gives(self) -> Facts:
        return facts((Kind.CUT, self.address)) if self.lanes > 1 else NO_FACTS

    @property
    def ends(self) -> Facts:
        return NO_FACTS if self.lanes > 1 else facts((Kind.CUT, self.address))

    def words(self) -> str:
        return f"divide {self.address} into {self.lanes}"

    def current(self, system: System) -> int:
        return int(system.read(sysfs(self.address, "lanes")) or 1)

    def do(self, system: System, deadline: float) -> None:
        system.write(sysfs(self.address, "lanes"), str(self.lanes), self.address, what=self.words())

    def undo(self, before: Any, system: System) -> None:
        system.write(sysfs(self.address, "lanes"), str(before), self.address, what=self.words())


TAG = "lanes"
RULE: type[Rule] = LanesRule
STEPS: tuple[type[Deed], ...] = (SetLanes,)
MARKS: tuple[type[Mark], ...] = (Made,)

alike, company, asks, seen_after = Nothing.alike, Nothing.company, Nothing.asks, Nothing.seen_after
clear, renew, lend_findings, unseen = Nothing.clear, Nothing.renew, Nothing.lend_findings, Nothing.unseen
adopt, foreign, users, carries = Nothing.adopt, Nothing.foreign, Nothing.users, Nothing.carries


def slots(host: Host, device: Device) -> Iterator[Slot]:
    made = host.mark_of_this_boot(Made, device.address)
    for lane in range(made.lanes if made is not None else 0):
        at = device.address
        yield Slot(kind=SlotKind.PARTITION, device=at, of=at, part=f"lane{lane}", size="a lane")


def cut(host: Host, rules: Rules) -> Draft:
    draft = NOTHING
    for address, its in rules.items():
        rule = next((one for one in its if isinstance(one, LanesRule)), None)
        made, wanted = host.mark_of_this_boot(Made, address), rule.lanes if rule is not None else 1
        if wanted == (made.lanes if made is not None else 1):
            continue
        mark = Made(carrier=address, lanes=wanted, boot_id=host.boot_id)
        if rule is None:
            draft += Draft(
                takes=(SetLanes(address=address, lanes=1, forgets=(mark.key,), why="not asked for"),)
            )
        else:
            draft += Draft(makes=(SetLanes(address=address, lanes=wanted, marks=(mark,), why="asked for"),))
    return draft


def export(host: Host, device: Device, as_rule: Rule, others: tuple[Rule, ...]) -> Rule | None:
    made = host.mark_of_this_boot(Made, device.address)
    if made is None:
        return None
    return LanesRule(name=as_rule.name, select=as_rule.select, lanes=made.lanes, take_over=as_rule.take_over)


def owner(host: Host, slot: Slot) -> str:
    return "gpupass"
