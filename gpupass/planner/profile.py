"""(Host, Profile) → HostPlan; pure. What domains have that others shall have, drivers, parts, attachments."""

from collections.abc import Callable, Collection, Iterator

from msgspec.structs import replace

from gpupass.cdi.specification import refresh_plan
from gpupass.devices.binding import origin_of
from gpupass.lending import handover
from gpupass.lending.claims import declared
from gpupass.lending.handover import holder
from gpupass.lending.managers import even_of_others
from gpupass.methods import METHODS, slot_of, slots_of, ways
from gpupass.model.address import Address
from gpupass.model.domain import Manager
from gpupass.model.host import Base, Device, Host
from gpupass.model.mark import Claim
from gpupass.model.mdev import MdevBus
from gpupass.model.profile import Profile, Rule
from gpupass.model.slot import Slot
from gpupass.plan import NOTHING, Disruption, Draft, Finding, HostPlan, Plan, adopt_or_take_over
from gpupass.planner.draft import (
    Its,
    cleaned_before,
    identified,
    imagine,
    lost,
    merged,
    placed,
    plan_of,
    with_what_stands_on_it,
)
from gpupass.planner.order import in_order
from gpupass.planner.parts import parts_of
from gpupass.planner.selection import Chosen, Wanted, attachments, choose

_PASSES = 6  # functions, modes and instances may each ask for the others to be made anew, once


def plan_profile(profile: Profile, host: Host, connect: str, devices_only: bool = False) -> HostPlan:
    """Usage when the profile does not fit this host; what forbids a change is a finding of its Plan."""
    chosen = choose(profile, host)
    wanted = () if devices_only else attachments(profile, chosen, host)
    part = parts_of(host)
    plans: list[Plan] = []
    domains = host.domains
    for together in _together(chosen, host):
        names = {one.name for one in together}
        work = _Work(
            host=part((one.carrier for one in together), domains),
            connect=connect,
            chosen=together,
            wanted=tuple(want for want in wanted if want.chosen.name in names),
            devices_only=devices_only,
        )
        plans.append(identified(work.plan(), host))
        domains = work.now.domains
    refresh = refresh_plan(profile.containers, host)
    return HostPlan(plans=(*plans, *([refresh] if refresh is not None else [])))


def changed_with(host: Host, carrier: Base, rule: Rule) -> tuple[Device, ...]:
    """Other devices that change with it under this rule."""
    return tuple(other for method in ways(carrier) for other in method.company(host, carrier, (rule,)))


def _together(chosen: tuple[Chosen, ...], host: Host) -> Iterator[tuple[Chosen, ...]]:
    """Devices of one IOMMU group change together, and those that one rule's cut changes; all others alone."""
    first: dict[Address, int] = {}  # who touches it, by number
    with_whom = list(range(len(chosen)))  # each one's, or that one's, is the first of those together

    def head(number: int) -> int:
        while with_whom[number] != number:
            number = with_whom[number]
        return number

    for number, one in enumerate(chosen):
        for member in (*host.group_of(one.carrier), *changed_with(host, one.carrier, one.rule)):
            mine, other = head(number), head(first.setdefault(member.address, number))
            with_whom[max(mine, other)] = min(mine, other)
    found: dict[int, list[Chosen]] = {}
    for number, one in enumerate(chosen):
        found.setdefault(head(number), []).append(one)
    return map(tuple, found.values())


class _Work:
    """A plan in the making: every piece stands on the host as those before will leave it."""

    def __init__(
        self,
        *,
        host: Host,
        connect: str,
        chosen: tuple[Chosen, ...],
        wanted: tuple[Wanted, ...],
        devices_only: bool,
    ) -> None:
        self.host = self.now = host
        self.connect, self.chosen, self.wanted, self.devices_only = connect, chosen, wanted, devices_only
        self.draft = self.lent = NOTHING  # `lent`: what is to be back, and as it is then
        self.refused: set[str] = set()

    def plan(self) -> Plan:
        title = ", ".join(f"{one.name}: {one.rule.use} {one.carrier.address}" for one in self.chosen)
        quarrels = tuple(_quarrels(self.chosen))
        if quarrels:  # what speaks against lending the group is still told
            self.refused |= {one.name for one in self.chosen if not one.rule.lends_whole}
        waits: tuple[str, ...] = ()
        for _ in range(_PASSES):
            before = self.draft.steps
            self.draft = replace(self.draft, waits=())
            for phase in (self._detach, self._home):
                self._each(phase)
            unmade = self._cut()
            for want in self.wanted:
                if want.chosen.name not in self.refused:
                    self._add(self._attached(want.chosen, want, unmade))
            waits = self.draft.waits
            if self.draft.steps == before or self.refused:
                break
        plan = plan_of(title, self.draft + Draft(findings=quarrels) + lost(self.host, self.draft))
        return replace(
            plan, waits=tuple(dict.fromkeys(waits)), continues=plan.continues or bool(plan.steps and unmade)
        )

    def _each(self, phase: Callable[[Chosen], Draft]) -> None:
        """Where one phase says no, the later ones would only say it again in other words."""
        for one in self.chosen:
            if one.name not in self.refused:
                piece = phase(one)
                self.lent += placed(self.now, piece)
                self._add(piece)
                if piece.refused:
                    self.refused.add(one.name)

    def _add(self, piece: Draft) -> None:
        before = self.draft.steps
        self.draft = merged(self.draft, placed(self.now, piece))
        if self.draft.steps != before:
            self.now = imagine(self.host, in_order(self.draft.takes, self.draft.makes))

    def _now(self, one: Chosen) -> Base:
        return self.now.carrier(one.carrier.address) or one.carrier

    def _domain_for(self, one: Chosen, part: str) -> str | None:
        return next(
            (w.attachment.domain for w in self.wanted if w.chosen.name == one.name and w.part == part), None
        )

    def _detach(self, one: Chosen) -> Draft:
        device = self._now(one)
        draft = Draft(devices=tuple(member.address for member in self.now.group_of(device)))
        for slot in slots_of(self.now, device):
            owner = holder(self.now, slot)
            if owner is not None:
                draft += self._taken(one, slot, owner.name, owner.uuid)
            elif not slot.part and not one.rule.lends_whole:
                draft += handover.clean(self.now, slot)
        return draft

    def _taken(self, one: Chosen, slot: Slot, owner: str, uuid: str) -> Draft:
        target = self._domain_for(one, slot.part)
        claim = self.now.mark(Claim, slot.device, slot.mdev or "")
        ours = claim is not None and claim.uuid == uuid
        must = not slot.part and not one.rule.lends_whole  # the host works with it itself, or has cut it
        if target is not None and not must:
            receiver = self.now.domain(target)
            if receiver is None or receiver.uuid == uuid or not receiver.active:
                return NOTHING
        unsaid = ours and claim is not None and claim.declared and not self.devices_only
        if target is None and not unsaid and not must:
            return Draft(foreign=(f"{slot.what} is with {owner}, which the profile does not speak of",))
        if not ours and not one.rule.take_over:
            finding = Finding(
                message=f"{slot.what} is with {owner}, and gpupass did not give it to it",
                remedy=adopt_or_take_over(slot.device, one.rule.name),
            )
            return Draft(findings=(finding,))
        domain = self.now.domain(uuid)
        taken = handover.detach(self.now, domain, slot, self.connect) if domain is not None else NOTHING
        loss = Disruption(victim=f"domain {owner}", loses=slot.what)
        asked = tuple(even_of_others(domain, self._even_of(owner)))
        return Draft(losses=(loss,), findings=asked) + taken

    def _even_of(self, domain: str) -> Manager | None:
        named = (w.attachment.even_of for w in self.wanted if w.attachment.domain == domain)
        return next((Manager(name) for name in named if name is not None), None)

    def _home(self, one: Chosen) -> Draft:
        """What the host is to work with, or to cut, goes back to its driver."""
        device, rule = self._now(one), one.rule
        named = rule.driver_for_host
        if isinstance(device, MdevBus) or rule.lends_whole or (named is not None and device.driver == named):
            return NOTHING
        origin = origin_of(self.now, device)
        if device.on_vfio and origin is None and not rule.take_over:
            finding = Finding(
                message=f"{device.address} is on {device.driver}, and gpupass did not bind it",
                remedy=adopt_or_take_over(device.address, rule.name),
            )
            return Draft(findings=(finding,))
        if named is None and (device.on_vfio or (origin is not None and device.driver != origin.driver)):
            return handover.unbind(self.now, device)
        return NOTHING

    def _cut(self) -> frozenset[str]:
        """All ways, each on what those before it leave; names of what only a fresh look can tell."""
        waiting: set[str] = set()
        open_names = {one.name for one in self.chosen} - self.refused
        for method in METHODS:
            its = self._rules(open_names)
            piece = method.cut(self.now, its)
            if piece.steps:
                piece = with_what_stands_on_it(self._before_makings(), placed(self.now, piece), its)
                piece = cleaned_before(self.now, piece)
            self._add(replace(piece, losses=tuple(self._untold(piece))))
            if piece.waits:
                waiting |= {
                    one.name for one in self.chosen if any(one.carrier.address in w for w in piece.waits)
                }
            if piece.refused:
                self.refused |= open_names
        return frozenset(waiting)

    def _before_makings(self) -> Host:
        """All is back, and as it is between two guests; and what the cuts so far have taken has gone."""
        back = imagine(self.host, in_order(self.lent.takes, self.lent.makes))
        cut = tuple(step for step in self.draft.takes if step not in self.lent.takes)
        return imagine(back, in_order(cut, ()))

    def _untold(self, piece: Draft) -> Iterator[Disruption]:
        """Whoever wrote the profile knows that its devices change."""
        named = {one.carrier.address for one in self.chosen}
        return (loss for loss in piece.losses if not loss.at_work or loss.victim not in named)

    def _rules(self, names: Collection[str]) -> Its:
        found: dict[Address, tuple[Rule, ...]] = {}
        for one in self.chosen:
            if one.name in names:
                device = self._now(one)
                asked = (rule for way in ways(device) for rule in way.asks(self.now, device, (one.rule,)))
                found[one.carrier.address] = (one.rule, *asked)
        return found

    def _attached(self, one: Chosen, want: Wanted, unmade: frozenset[str]) -> Draft:
        slots = {slot.part: slot for slot in slots_of(self.now, self._now(one))}
        name, slot = want.attachment.domain, slots.get(want.part)
        domain = self.now.domain(name)
        if slot is None and self._will_be(one, want.part, unmade):
            return Draft(waits=(f"{want.attachment.device} is not made yet: {name} gets it then",))
        if slot is None:
            known = ", ".join(part for part in slots if part)
            finding = Finding(
                message=f"{want.attachment.device} is not there, and {name} is to have it",
                remedy=f"{one.name} has {known}" if known else f"gpupass show {one.carrier.address}",
            )
            return Draft(findings=(finding,))
        if any(slot.device in step.leaves_open for step in self.draft.takes):
            return Draft(waits=(f"libvirt gives {slot.device} back first: {name} gets it then",))
        if domain is None:
            known = ", ".join(d.name for d in self.now.domains) or "none"
            finding = Finding(
                message=f"libvirt knows no domain {name}: it knows {known}", remedy="virsh list --all"
            )
            return Draft(findings=(finding,))
        if not domain.active:
            return Draft(waits=(f"{name} is not running: {want.attachment.device} is attached when it does",))
        draft = declared(handover.attach(self.now, domain, slot, self.connect, self._beside(want)))
        asked = even_of_others(domain, self._even_of(name)) if draft.steps else ()
        return draft + Draft(findings=tuple(asked))

    def _beside(self, want: Wanted) -> tuple[Address, ...]:
        """What else this domain is to have."""
        theirs = (one for one in self.wanted if one.attachment.domain == want.attachment.domain)
        return tuple(
            slot.device for one in theirs if (slot := slot_of(self.now, self._now(one.chosen), one.part))
        )

    def _will_be(self, one: Chosen, part: str, unmade: frozenset[str]) -> bool:
        """What is made tells its names first; and a PF without VFs need not know where they will be."""
        device = self._now(one)
        sriov = device.facts.sriov if isinstance(device, Device) else None
        vfs = (f"vf{number}" for number in range(sriov.enabled if sriov is not None else 0))
        return one.name in unmade or part in vfs


def _quarrels(chosen: tuple[Chosen, ...]) -> Iterator[Finding]:
    """A group is on VFIO as a whole or not at all."""
    for one in chosen:
        for other in chosen[: chosen.index(one)]:
            yield from _quarrel(other, one)


def _quarrel(one: Chosen, other: Chosen) -> Iterator[Finding]:
    lent, kept = (one, other) if one.rule.lends_whole else (other, one)
    together = _group(one.carrier) is not None and _group(one.carrier) == _group(other.carrier)
    if together and lent.rule.lends_whole and not kept.rule.lends_whole:
        yield Finding(
            message=f"{lent.name} and {kept.name} ({kept.carrier.address}) are in one IOMMU group, "
            f"which cannot be {lent.rule.use} and {kept.rule.use} at once",
            remedy="gpupass groups; then use: passthrough for both, or for none",
        )


def _group(carrier: Base) -> int | None:
    return carrier.group if isinstance(carrier, Device) else None
