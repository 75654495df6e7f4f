"""A way to share a GPU that nobody has: the kernel divides a carrier, and its parts, into lanes."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from gpupass.method import Method, Rules
from gpupass.model.address import Name, root_of
from gpupass.model.carrier import Carrier, CarrierKind
from gpupass.model.host import Host
from gpupass.model.key import Key
from gpupass.model.mark import Mark
from gpupass.model.profile import Rule
from gpupass.model.seen import Seen
from gpupass.model.slot import Slot, SlotKind
from gpupass.plan import NOTHING, Draft, Finding, adopt_or_take_over
from gpupass.step import Facts, Kind, Step, facts
from gpupass.system import Reader, System

_DIR = "/sys/class/lanes/"  # where the kernel spells / as !


class Lanes(Seen, frozen=True, kw_only=True):
    lanes: int


class Made(Mark, frozen=True, kw_only=True, tag="lanes.made"): ...


class LanesRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    use: ClassVar[str] = "lanes"
    lanes: Annotated[int, Key("how many", minimum=2)]


class SetLanes(Step, frozen=True, kw_only=True):
    address: Name
    lanes: int
    Before: ClassVar[Any] = int

    @property
    def carriers(self) -> tuple[Name, ...]:
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
        return int(system.read(_DIR + self.address.replace("/", "!")) or 1)

    def do(self, system: System, deadline: float) -> None:
        self.undo(self.lanes, system)

    def undo(self, before: Any, system: System) -> None:
        path = _DIR + self.address.replace("/", "!")
        system.write(path, str(before), root_of(self.address), what=self.words())


def read(system: Reader, carrier: Carrier) -> Seen | None:
    return Lanes(carrier=carrier.address, lanes=SetLanes(address=carrier.address, lanes=1).current(system))


def slots(host: Host, carrier: Carrier) -> Iterator[Slot]:
    for lane in range(_lanes(host, at := carrier.address)) if _lanes(host, carrier.address) > 1 else ():
        yield Slot(kind=SlotKind.PARTITION, device=root_of(at), of=at, part=f"lane{lane}", size="a lane")


def cut(host: Host, rules: Rules) -> Draft:
    draft = NOTHING
    for at, its in rules.items():
        wanted = next((one.lanes for one in its if isinstance(one, LanesRule)), 1)
        there, mark = _lanes(host, at), Made(carrier=at, boot_id=host.boot_id)
        foreign = there > 1 and mark not in host.marks and not any(rule.take_over for rule in its)
        if foreign and wanted not in (1, there):
            told = f"{at} has {there} lanes of others"
            draft += Draft(findings=(Finding(message=told, remedy=adopt_or_take_over(root_of(at))),))
        elif wanted == 1 < there and not foreign:
            draft += Draft(takes=(SetLanes(address=at, lanes=1, forgets=host.known((mark.key,))),))
        elif wanted not in (1, there):
            draft += Draft(makes=(SetLanes(address=at, lanes=wanted, marks=(mark,)),))
    return draft


def export(host: Host, carrier: Carrier, as_rule: Rule, others: tuple[Rule, ...]) -> Rule | None:
    lanes, over = _lanes(host, carrier.address), as_rule.take_over
    said = LanesRule(name=as_rule.name, select=as_rule.select, lanes=lanes, take_over=over)
    return said if lanes > 1 else None


def adopt(host: Host, carrier: Carrier) -> Iterator[Mark]:
    if _lanes(host, carrier.address) > 1 and host.mark_of_this_boot(Made, carrier.address) is None:
        yield Made(carrier=carrier.address, boot_id=host.boot_id)


def _lanes(host: Host, at: Name) -> int:
    return (host.sight(Lanes, at) or Lanes(carrier=at, lanes=1)).lanes


LANES = Method(
    rule=LanesRule,
    takes=frozenset(CarrierKind),
    steps=(SetLanes,),
    marks=(Made,),
    read=read,
    slots=slots,
    cut=cut,
    export=export,
    adopt=adopt,
    owner=lambda host, slot: "gpupass" if host.mark_of_this_boot(Made, slot.of) else "",
)
