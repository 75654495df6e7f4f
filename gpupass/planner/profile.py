"""(Host, Profile) → HostPlan; pure. For each device: detach, unbind, virtual functions, bind, attach."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from msgspec.structs import replace

from gpupass.lending import handover
from gpupass.lending.claims import declared
from gpupass.methods.amd_ownership import hive_name
from gpupass.methods.gim import free_to_change
from gpupass.methods.passthrough import lends, plan_bind
from gpupass.methods.passthrough import slot as whole
from gpupass.methods.sriov import plan_vf_drivers, vf_part, wanted_driver
from gpupass.model.address import Address
from gpupass.model.host import Device, Host
from gpupass.model.profile import HostRule, PartitionRule, PassthroughRule, Profile, Rule, SriovRule, use_of
from gpupass.model.record import RecordKind
from gpupass.model.slot import Slot
from gpupass.plan import Disruption, Finding, HostPlan, Plan, adopt_or_take_over, imagine
from gpupass.planner.cdi import refresh_plan
from gpupass.planner.cuts import changed_with, cut_plan, uncut_plans, unsplit_plan
from gpupass.planner.detours import without_detours
from gpupass.planner.parts import parts_of
from gpupass.planner.selection import Chosen, Wanted, attachments, choose
from gpupass.planner.slots import slots_of
from gpupass.step import Deed


def plan_profile(profile: Profile, host: Host, connect: str, devices_only: bool = False) -> HostPlan:
    """Usage when the profile does not fit this host; what forbids a change is a finding of its Plan."""
    chosen = choose(profile, host)
    wanted = () if devices_only else attachments(profile, chosen, host)
    part = parts_of(host)
    plans: list[Plan] = []
    domains = host.domains
    for together in _together(chosen, host):
        names = {one.name for one in together}
        draft = _Draft(
            host=part((one.device for one in together), domains),
            connect=connect,
            chosen=together,
            wanted=tuple(want for want in wanted if want.chosen.name in names),
            devices_only=devices_only,
        )
        plans.append(draft.plan())
        domains = draft.host.domains
    refresh = refresh_plan(profile.containers, host)
    return HostPlan(plans=(*plans, *([refresh] if refresh is not None else [])))


def _together(chosen: tuple[Chosen, ...], host: Host) -> Iterator[tuple[Chosen, ...]]:
    """Devices of one IOMMU group change together, and those that one rule's cut changes; all others alone."""
    first: dict[Address, int] = {}  # who touches it, by number
    with_whom = list(range(len(chosen)))  # each one's, or that one's, is the first of those together

    def head(number: int) -> int:
        while with_whom[number] != number:
            number = with_whom[number]
        return number

    for number, one in enumerate(chosen):
        for member in (*host.group_of(one.device), *changed_with(host, one.device, one.rule)):
            mine, other = head(number), head(first.setdefault(member.address, number))
            with_whom[max(mine, other)] = min(mine, other)
    found: dict[int, list[Chosen]] = {}
    for number, one in enumerate(chosen):
        found.setdefault(head(number), []).append(one)
    return map(tuple, found.values())


@dataclass
class _Draft:
    """A plan in the making: every phase stands on the host as the phases before will leave it."""

    host: Host
    connect: str
    chosen: tuple[Chosen, ...]
    wanted: tuple[Wanted, ...]
    devices_only: bool
    steps: list[Deed] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    disruptions: list[Disruption] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    devices: dict[Address, None] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    unmade: set[str] = field(default_factory=set)  # some of their slots can be told only by a fresh look

    def plan(self) -> Plan:
        for phase in (self._detach, self._unbind, self._unsplit, self._cut, self._bind, self._attach):
            for one in sorted(self.chosen, key=_changes_no_memory):
                if one.name not in self.refused:
                    self._try(phase, one)
        if self.steps:
            self.findings += _quarrels(self.chosen)
        title = ", ".join(f"{one.name}: {use_of(one.rule)} {one.device.address}" for one in self.chosen)
        return Plan(
            title=title,
            steps=without_detours(self.steps),
            findings=tuple(dict.fromkeys(self.findings)),
            devices=tuple(self.devices),
            disruptions=tuple(dict.fromkeys(self.disruptions)),
            waits=tuple(self.waits),
            foreign=tuple(self.foreign),
            continues=bool(self.steps and self.unmade),
        )

    def _try(self, phase: Callable[[Chosen], None], one: Chosen) -> None:
        """Where one phase says no, the later ones would only say it again in other words."""
        found = len(self.findings)
        phase(one)
        if any(finding.fatal for finding in self.findings[found:]):
            self.refused.add(one.name)

    def _add(self, plan: Plan) -> None:
        self.steps += plan.steps
        self.findings += plan.findings
        self.disruptions += plan.disruptions
        self.waits += plan.waits
        self.foreign += plan.foreign
        self.devices |= dict.fromkeys(plan.devices)
        self.host = imagine(self.host, plan.steps)

    def _now(self, one: Chosen) -> Device:
        return self.host.device(one.device.address) or one.device

    def _slots(self, one: Chosen) -> tuple[Slot, ...]:
        return slots_of(self.host, self._now(one))

    def _domain_for(self, one: Chosen, part: str) -> str | None:
        return next(
            (w.attachment.domain for w in self.wanted if w.chosen.name == one.name and w.part == part), None
        )

    def _detach(self, one: Chosen) -> None:
        self.devices |= dict.fromkeys(member.address for member in self.host.group_of(self._now(one)))
        for slot in self._slots(one):
            owner = handover.holder(self.host, slot)
            if owner is None:
                continue
            target = self._domain_for(one, slot.part)
            claim = self.host.record(RecordKind.CLAIM, slot.device, slot.mdev)
            ours = claim is not None and claim.uuid == owner.uuid
            if target is not None and not _must_be_free(one.rule, slot.part):
                receiver = self.host.domain(target)
                if receiver is None or receiver.uuid == owner.uuid or not receiver.active:
                    continue
            unsaid = ours and claim is not None and claim.declared and not self.devices_only
            if target is None and not unsaid and not _must_be_free(one.rule, slot.part):
                self.foreign.append(f"{slot.what} is with {owner.name}, which the profile does not speak of")
                continue
            if not ours and not one.rule.take_over:
                self.findings.append(
                    Finding(
                        message=f"{slot.what} is with {owner.name}, and gpupass did not give it to it",
                        remedy=adopt_or_take_over(slot.device, one.rule.name),
                    )
                )
                continue
            self.disruptions.append(Disruption(victim=f"domain {owner.name}", loses=slot.what))
            self._add(handover.detach(self.host, owner, slot, self.connect))

    def _unbind(self, one: Chosen) -> None:
        device = self._now(one)
        driver = one.rule.driver if isinstance(one.rule, HostRule) else None
        if isinstance(one.rule, PassthroughRule) or (driver is not None and device.driver == driver):
            return
        origin = self.host.record_of_this_boot(RecordKind.ORIGIN, device.address)
        if device.on_vfio and origin is None and not one.rule.take_over:
            self.findings.append(
                Finding(
                    message=f"{device.address} is on {device.driver}, and gpupass did not bind it",
                    remedy=adopt_or_take_over(device.address, one.rule.name),
                )
            )
        elif device.on_vfio or (origin is not None and device.driver != origin.driver):
            self._add(handover.unbind(self.host, device))

    def _rules(self) -> dict[Address, Rule]:
        return {one.device.address: one.rule for one in self.chosen}

    def _unsplit(self, one: Chosen) -> None:
        """Before any cut: the memory mode is that of a whole hive."""
        rules = self._rules()
        plan = unsplit_plan(self.host, self._now(one), one.rule, rules)
        leaving = {str(a) for a, rule in rules.items() if not isinstance(rule, PartitionRule)}
        told = tuple(loss for loss in plan.disruptions if loss.victim not in leaving - {one.device.address})
        self._add(replace(plan, disruptions=told))
        if plan.waits:
            self.unmade.add(one.name)

    def _cut(self, one: Chosen) -> None:
        """What other methods left goes first. Who loses something and has a rule of its own knows of it."""
        for plan in uncut_plans(self.host, self._now(one), one.rule):
            self._add(plan)
            if plan.refusals:
                return
        plan = cut_plan(self.host, self._now(one), one.rule, self._rules())
        others = (other for other in self.chosen if other != one and type(other.rule) is type(one.rule))
        named = {str(other.device.address) for other in others}
        told = tuple(loss for loss in plan.disruptions if loss.victim not in named)
        self._add(replace(plan, disruptions=told))
        if plan.waits:
            self.unmade.add(one.name)

    def _bind(self, one: Chosen) -> None:
        device = self._now(one)
        match one.rule:
            case PassthroughRule() as rule:
                if device.on_vfio and (device.driver == rule.driver or not lends(rule.driver)):
                    return
                self._add(plan_bind(self.host, device, rule.driver, rule.with_, rule.allow_boot_display))
            case HostRule(driver=str() as driver) if device.driver != driver:
                self._add(plan_bind(self.host, device, driver))
            case SriovRule() as rule if rule.vfs:
                sriov = device.facts.sriov
                for number, vf in enumerate(self.host.devices_at(sriov.vfs if sriov is not None else ())):
                    if wanted_driver(rule.vf, number) != vf.driver:
                        self._add(handover.clean(self.host, whole(vf)))
                take_over = rule.take_over or free_to_change(self.host, device)
                self._add(plan_vf_drivers(self.host, device, rule.vf, take_over))

    def _attach(self, one: Chosen) -> None:
        slots = {slot.part: slot for slot in self._slots(one)}
        for want in self.wanted:
            if want.chosen.name != one.name:
                continue
            name = want.attachment.domain
            slot = slots.get(want.part)
            domain = self.host.domain(name)
            if slot is None and self._will_be(one, want.part):
                self.waits.append(f"{want.attachment.device} is not made yet: {name} gets it then")
            elif slot is None:
                known = ", ".join(part for part in slots if part)
                self.findings.append(
                    Finding(
                        message=f"{want.attachment.device} is not there, and {name} is to have it",
                        remedy=f"{one.name} has {known}" if known else f"gpupass show {one.device.address}",
                    )
                )
            elif domain is None:
                known = ", ".join(d.name for d in self.host.domains) or "none"
                self.findings.append(
                    Finding(
                        message=f"libvirt knows no domain {name}: it knows {known}", remedy="virsh list --all"
                    )
                )
            elif not domain.active:
                self.waits.append(f"{name} is not running: {want.attachment.device} is attached when it does")
            else:
                self._add(declared(handover.attach(self.host, domain, slot, self.connect)))

    def _will_be(self, one: Chosen, part: str) -> bool:
        """What is made tells its names first; and a PF without VFs need not know where they will be."""
        sriov = self._now(one).facts.sriov
        vfs = map(vf_part, range(sriov.enabled if sriov is not None else 0))
        return one.name in self.unmade or part in vfs


def _changes_no_memory(one: Chosen) -> bool:
    """False comes first: with the memory mode of a hive the compute modes of its GPUs change."""
    return not (isinstance(one.rule, PartitionRule) and one.rule.memory is not None)


def _must_be_free(rule: Rule, part: str) -> bool:
    """The host works with it itself, or has cut it: no domain can have the function."""
    return not part and not isinstance(rule, PassthroughRule)


def _quarrels(chosen: tuple[Chosen, ...]) -> Iterator[Finding]:
    """A group is on VFIO as a whole or not at all; a hive has one memory mode."""
    for one in chosen:
        for other in chosen[: chosen.index(one)]:
            yield from _quarrel(other, one)


def _quarrel(one: Chosen, other: Chosen) -> Iterator[Finding]:
    a, b = one.rule, other.rule
    if isinstance(a, PartitionRule) and isinstance(b, PartitionRule):
        same = hive_name(one.device) is not None and hive_name(one.device) == hive_name(other.device)
        if same and None not in (a.memory, b.memory) and a.memory != b.memory:
            yield Finding(
                message=f"{one.name} and {other.name} are of one hive, which cannot have {a.memory} and "
                f"{b.memory} at once",
                remedy="the same memory in both rules, or in one only",
            )
    lent, kept = (one, other) if isinstance(a, PassthroughRule) else (other, one)
    together = one.device.group is not None and one.device.group == other.device.group
    if together and isinstance(lent.rule, PassthroughRule) and not isinstance(kept.rule, PassthroughRule):
        yield Finding(
            message=f"{lent.name} and {kept.name} ({kept.device.address}) are in one IOMMU group, "
            f"which cannot be {use_of(lent.rule)} and {use_of(kept.rule)} at once",
            remedy="gpupass groups; then use: passthrough for both, or for none",
        )
