"""A way to share a GPU that nobody has: its file `lanes` says into how many it is divided."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from gpupass.method import Method, Rules
from gpupass.model.address import Address, sysfs
from gpupass.model.host import Device, Host
from gpupass.model.key import Key
from gpupass.model.mark import Mark
from gpupass.model.profile import Rule
from gpupass.model.seen import Seen
from gpupass.model.slot import Slot, SlotKind
from gpupass.plan import NOTHING, Draft, Finding, adopt_or_take_over
from gpupass.step import Facts, Kind, Step, facts
from gpupass.system import Reader, System


class Lanes(Seen, frozen=True, kw_only=True):
    lanes: int


class Made(Mark, frozen=True, kw_only=True, tag="lanes.made"): ...


class LanesRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    use: ClassVar[str] = "lanes"
    lanes: Annotated[int, Key("how many", minimum=2)]


class SetLanes(Step, frozen=True, kw_only=True):
    address: Address
    lanes: int
    Before: ClassVar[Any] = int

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def gives(self) -> Facts:
        return facts((Kind.CUT, self.address)) if self.lanes > 1 else facts()

    @property
    def ends(self) -> Facts:
        return facts() if self.lanes > 1 else facts((Kind.CUT, self.address))

    def words(self) -> str:
        return f"divide {self.address} into {self.lanes}"

    def after(self, host: Host) -> Host:
        return host.seeing(Lanes(carrier=self.address, lanes=self.lanes))

    def current(self, system: Reader) -> int:
        return int(system.read(sysfs(self.address, "lanes")) or 1)

    def do(self, system: System, deadline: float) -> None:
        self.undo(self.lanes, system)

    def undo(self, before: Any, system: System) -> None:
        system.write(sysfs(self.address, "lanes"), str(before), self.address, what=self.words())


def read(system: Reader, device: Device) -> Seen | None:
    return Lanes(carrier=device.address, lanes=SetLanes(address=device.address, lanes=1).current(system))


def slots(host: Host, device: Device) -> Iterator[Slot]:
    for lane in range(_lanes(host, at := device.address)) if _lanes(host, device.address) > 1 else ():
        yield Slot(kind=SlotKind.PARTITION, device=at, of=at, part=f"lane{lane}", size="a lane")


def cut(host: Host, rules: Rules) -> Draft:
    return sum((_cut(host, address, its) for address, its in rules.items()), NOTHING)


def _cut(host: Host, at: Address, its: tuple[Rule, ...]) -> Draft:
    wanted = next((one.lanes for one in its if isinstance(one, LanesRule)), 1)
    there, mark = _lanes(host, at), Made(carrier=at, boot_id=host.boot_id)
    foreign = there > 1 and mark not in host.marks and not any(rule.take_over for rule in its)
    if wanted == there or (foreign and wanted == 1):
        return NOTHING
    if foreign:
        remedy = adopt_or_take_over(at)
        return Draft(findings=(Finding(message=f"{at} has {there} lanes of others", remedy=remedy),))
    if wanted == 1:
        return Draft(takes=(SetLanes(address=at, lanes=1, forgets=host.known((mark.key,))),))
    return Draft(makes=(SetLanes(address=at, lanes=wanted, marks=(mark,)),))


def export(host: Host, device: Device, as_rule: Rule, others: tuple[Rule, ...]) -> Rule | None:
    said = {"name": as_rule.name, "select": as_rule.select, "take_over": as_rule.take_over}
    return LanesRule(**said, lanes=_lanes(host, device.address)) if _lanes(host, device.address) > 1 else None


def adopt(host: Host, device: Device) -> Iterator[Mark]:
    if _lanes(host, device.address) > 1 and host.mark_of_this_boot(Made, device.address) is None:
        yield Made(carrier=device.address, boot_id=host.boot_id)


def owner(host: Host, slot: Slot) -> str:
    return "gpupass" if host.mark_of_this_boot(Made, slot.of) else ""


def _lanes(host: Host, at: Address) -> int:
    return (host.sight(Lanes, at) or Lanes(carrier=at, lanes=1)).lanes


LANES = Method(
    rule=LanesRule,
    steps=(SetLanes,),
    marks=(Made,),
    read=read,
    slots=slots,
    cut=cut,
    export=export,
    adopt=adopt,
    owner=owner,
)
