"""What is wanted of a device or slot, as data: what it may touch, what is seen for it, and its plan."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Protocol, Self

from msgspec import Struct
from msgspec.structs import replace

from gpupass.app.look import look_around
from gpupass.devices.binding import VFIO, bind
from gpupass.errors import GpupassError, Usage
from gpupass.lending import handover, promises
from gpupass.lending.lender import Loan, whole
from gpupass.lending.managers import even_of_others
from gpupass.methods import slots_of
from gpupass.model.address import Address
from gpupass.model.apply import Apply
from gpupass.model.domain import QEMU, Domain, DomainState, Manager
from gpupass.model.host import Base, Host
from gpupass.model.mark import Claim
from gpupass.model.options import UNSAID, Options
from gpupass.model.slot import Slot
from gpupass.plan import Draft, HostPlan, Plan
from gpupass.planner.difference import Difference, Facts, difference, facts_after, facts_of
from gpupass.planner.draft import identified, lost, plan_of
from gpupass.planner.find import domain_called, find_slot, require_libvirt
from gpupass.planner.ownership import adopt_plan
from gpupass.planner.stopping import with_holders
from gpupass.system import Reader, System


class Intent(Protocol):
    """What the trip asks of whatever is wanted; `sight` is what its own `look` saw."""

    @property
    def action(self) -> str:
        """As hooks are told it: the verb."""
        ...

    rounds: ClassVar[int]  # how often what a fresh look still wants is done, too

    def look(self, system: Any) -> Any:
        """At this machine; an intent about devices looks at recorded ones, too."""
        ...

    def touches(self, sight: Any) -> tuple[Address, ...]:
        """Every device that may change or must keep still: nobody else changes it meanwhile."""
        ...

    def fixed(self, sight: Any) -> "Intent":
        """The same, with what its names mean: afterwards they may mean nothing any more."""
        ...

    def plan(self, sight: Any) -> HostPlan: ...
    def title(self, made: HostPlan) -> str:
        """As in "cannot TITLE: …"."""
        ...

    def foreseen(self, sight: Any, plan: Plan) -> Difference:
        """What the plan, of this sight, will make of it."""
        ...

    def facts(self, sight: Any, names: Iterable[str]) -> Facts:
        """What is told in a difference of these devices or files, as they are."""
        ...

    def keeps(self, sight: Any) -> frozenset[Address]:
        """Devices that are where they shall be: what was asked of them before is not wanted any more."""
        ...

    def entry(self, system: System, sight: Any, plans: tuple[Plan, ...]) -> Apply | None:
        """What the history keeps beside the journal, with how it was before."""
        ...


class Alone(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An intent of one plan."""

    rounds: ClassVar[int] = 1

    @property
    def action(self) -> str:
        return type(self).__name__.lower()

    def fixed(self, sight: Any) -> Self:
        return self

    def title(self, made: HostPlan) -> str:
        return made.plans[0].title if made.plans else ""

    def keeps(self, sight: Any) -> frozenset[Address]:
        return frozenset()

    def entry(self, system: System, sight: Any, plans: tuple[Plan, ...]) -> Apply | None:
        return None


class OfHost(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An intent whose sight is a host."""

    def foreseen(self, sight: Host, plan: Plan) -> Difference:
        return difference(facts_of(sight, plan.devices), facts_after(sight, plan))

    def facts(self, sight: Host, names: Iterable[str]) -> Facts:
        return facts_of(sight, map(Address, names))


class OfDevice(OfHost, Alone, frozen=True, kw_only=True):
    """About one device, by address: another name may be known only while the host's driver has it."""

    group: tuple[Address, ...]  # the device first
    connect: str | None = QEMU
    stop: tuple[str, ...] = ()  # who works with it for the host and may be stopped

    def look(self, system: Reader) -> Host:
        return look_around(system, self.group, self.connect)

    def touches(self, sight: Host) -> tuple[Address, ...]:
        device = sight.carrier(self.group[0])
        return self.group if device is None else tuple(member.address for member in sight.group_of(device))

    def device(self, sight: Host) -> Base:
        found = sight.carrier(self.group[0])
        if found is None:
            gone = f"cannot find {self.group[0]} any more: it has left the host"
            raise GpupassError(gone, "gpupass list --all")
        return found

    def around(self, sight: Host, title: str, draft: Callable[[Host], Draft]) -> HostPlan:
        """With the stop and the start of who works with it for the host."""

        def whole(host: Host) -> Draft:
            wanted = draft(host)
            return wanted + lost(host, wanted)

        found = with_holders(sight, self.touches(sight), self.stop, whole)
        return alone(plan_of(title, found, sight), sight)


class Bind(OfDevice, frozen=True, kw_only=True):
    """Its IOMMU group on a VFIO driver, or the device alone on any other driver."""

    driver: str = VFIO
    along: tuple[Address, ...] = ()  # of other slots
    allow_boot_display: bool = False

    def plan(self, sight: Host) -> HostPlan:
        device = self.device(sight)
        for address in self.along:
            if address not in self.touches(sight):
                raise Usage(
                    f"cannot bind {address} along: it is not in the IOMMU group of {device.address}",
                    f"gpupass bind {address}",
                )
        title = f"bind {device.address} to {self.driver}"
        return self.around(sight, title, self._bound)

    def _bound(self, host: Host) -> Draft:
        return bind(host, self.device(host), self.driver, self.along, self.allow_boot_display)


class Unbind(OfDevice, frozen=True, kw_only=True):
    """Its IOMMU group with the drivers that it had."""

    def plan(self, sight: Host) -> HostPlan:
        device = self.device(sight)
        title = f"give {device.address} back to its host driver"
        return self.around(sight, title, lambda host: handover.unbind(host, self.device(host)))


class Restart(OfDevice, frozen=True, kw_only=True):
    """What was stopped for it works again, where the host has it back."""

    def plan(self, sight: Host) -> HostPlan:
        title = f"start again what was stopped for {self.group[0]}"
        return self.around(sight, title, lambda host: Draft())


class Adopt(OfDevice, frozen=True, kw_only=True):
    """What somebody else has bound, made or attached there is gpupass's own."""

    def plan(self, sight: Host) -> HostPlan:
        return alone(adopt_plan(sight, self.device(sight)), sight)


class OfSlot(OfDevice, frozen=True, kw_only=True):
    """A function, or a part of one, changes hands."""

    rounds: ClassVar[int] = 2  # what libvirt itself gives back to the host is looked at before the rest

    connect: str = QEMU
    domain: str  # by name or UUID
    called: str  # the slot, as it was typed
    even_of: Manager | None = None  # who else manages the domain and need not know
    slot: Slot | None = None  # what that means
    force: bool = False  # who does not let go of it in time is destroyed

    def fixed(self, sight: Host) -> Self:
        return replace(self, slot=self.its_slot(sight))

    def keeps(self, sight: Host) -> frozenset[Address]:
        return frozenset(self.group)

    def its_slot(self, sight: Host) -> Slot:
        slot = self.slot or find_slot(sight, self.called)
        device = sight.carrier(slot.device)
        mdevs = {mdev.uuid for mdev in device.facts.mdevs} if device is not None else set()
        if device is None or (slot.mdev is not None and slot.mdev not in mdevs):
            raise GpupassError(f"cannot find {slot.name} any more: it is gone", "gpupass slots")
        return slot

    def asked(self, draft: Draft, *domains: Domain) -> Draft:
        """With what those would say who else manage the domains."""
        found = (finding for one in domains for finding in even_of_others(one, self.even_of))
        return draft + Draft(findings=tuple(found)) if draft.steps else draft


class Receives(OfSlot, frozen=True, kw_only=True):
    """Of a domain that is to get something QEMU is asked what fits."""

    shown: tuple[Address, ...] = ()  # others of its group that the guest is to see, too
    options: Options = UNSAID

    def plan(self, sight: Host) -> HostPlan:
        return self.attached(sight)

    def look(self, system: Reader) -> Host:
        rom = self.options.rom_file
        return look_around(
            system,
            self.group,
            self.connect,
            windows=(self.domain,),
            roms=() if rom is None else (rom,),
            settings=self.options.set_it,
        )

    def attached(self, sight: Host) -> HostPlan:
        slot, domain = self.its_slot(sight), domain_called(sight, self.domain)
        title = f"attach {', '.join((slot.what, *self.shown))} to {domain.name}"
        return self.around(sight, title, lambda host: self.given(host, domain, slot))

    def given(self, host: Host, domain: Domain, slot: Slot) -> Draft:
        draft = handover.attach(host, domain, slot, self.connect, self.shown, self.options)
        return self.asked(promises.noted(host, draft, self.slots(host, slot), domain), domain)

    def slots(self, host: Host, slot: Slot) -> tuple[Slot, ...]:
        return (slot, *map(whole, host.devices_at(self.shown)))


class Attach(Receives, frozen=True, kw_only=True):
    """The running domain has the slot."""


class Move(Receives, frozen=True, kw_only=True):
    """The domain has the slot, whoever has it now."""

    def plan(self, sight: Host) -> HostPlan:
        slot, domain = self.its_slot(sight), domain_called(sight, self.domain)
        owner = handover.holder(sight, slot)
        if owner is None or owner.uuid == domain.uuid:
            return self.attached(sight)
        title = f"move {slot.what} from {owner.name} to {domain.name}"
        moved = handover.move(sight, domain, slot, self.connect, self.force, self.options)
        moved = promises.noted(sight, moved, (slot,), domain)
        return alone(plan_of(title, self.asked(moved, domain, owner), sight), sight)


class Detach(OfSlot, frozen=True, kw_only=True):
    """The domain does not have the slot any more, and it is clean."""

    known: Domain | None = None  # the domain as it was at first

    def fixed(self, sight: Host) -> Self:
        slot = self.its_slot(sight)
        return replace(self, slot=slot, known=self.owner(sight, slot))

    def plan(self, sight: Host) -> HostPlan:
        slot = self.its_slot(sight)
        owner = self.owner(sight, slot)
        title = f"detach {slot.what} from {owner.name}"
        made = plan_of(title, self.taken(sight, owner, slot), sight)
        rest = replace(made, continues=False)  # what is left to clean is remembered by its claim
        return alone(rest, sight)

    def taken(self, sight: Host, owner: Domain, slot: Slot) -> Draft:
        return self.asked(handover.detach(sight, owner, slot, self.connect, self.force), owner)

    def owner(self, sight: Host, slot: Slot) -> Domain:
        return sight.domain(self.domain) or self._vanished(sight, slot) or domain_called(sight, self.domain)

    def _vanished(self, sight: Host, slot: Slot) -> Domain | None:
        """A transient domain that is gone: what it left behind can still be taken back in its name."""
        require_libvirt(sight)
        if self.known is not None:
            return replace(self.known, state=DomainState.SHUT_OFF, live=(), config=())
        claim = sight.mark(Claim, slot.device, slot.mdev or "")
        if claim is None or self.domain not in (claim.domain, claim.uuid):
            return None
        return Domain(name=claim.domain, uuid=claim.uuid, state=DomainState.SHUT_OFF)


class Forget(OfDevice, frozen=True, kw_only=True):
    """The domain does not have what has left the host any more."""

    connect: str = QEMU
    domain: str  # UUID
    called: str  # its name
    mdev: str | None = None

    def plan(self, sight: Host) -> HostPlan:
        require_libvirt(sight)
        loan = Loan(address=self.group[0], mdev=self.mdev)
        draft = handover.forget(sight, sight.domain(self.domain), loan, self.connect)
        title = f"detach {self.mdev or self.group[0]} from {self.called}"
        return alone(plan_of(title, draft), sight)


class Clean(OfDevice, frozen=True, kw_only=True):
    """Nothing is left of a domain that has let go without us: of the device, or of one mediated device."""

    mdev: str | None = None

    def plan(self, sight: Host) -> HostPlan:
        require_libvirt(sight)
        slots = slots_of(sight, self.device(sight))
        slot = next((slot for slot in slots if slot.mdev == self.mdev), None)
        if slot is None:
            return HostPlan()
        return alone(plan_of(f"clean {slot.what}", handover.clean(sight, slot), sight), sight)


def alone(plan: Plan, sight: Host) -> HostPlan:
    return HostPlan(plans=(identified(plan, sight),))
