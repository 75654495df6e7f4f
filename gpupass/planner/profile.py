"""(Host, Profile) → HostPlan; pure. What domains have that others shall have, drivers, parts, attachments."""

from collections.abc import Callable, Collection, Iterator
from itertools import chain, count
from typing import Any

from msgspec.structs import replace

from gpupass.cdi.specification import refresh_plan
from gpupass.devices.binding import origin_of
from gpupass.lending import handover, promises
from gpupass.lending.claims import declared
from gpupass.lending.handover import holder
from gpupass.lending.managers import even_of_others
from gpupass.method import Method
from gpupass.methods import (
    METHODS,
    atoms_of,
    carrier_at,
    carrier_called,
    carrier_of,
    parts_of,
    slot_at,
    slots_of,
    takers,
    ways,
)
from gpupass.model.address import Address, Name
from gpupass.model.atom import words
from gpupass.model.carrier import Carrier
from gpupass.model.domain import Domain, Manager
from gpupass.model.host import Base, Device, Host
from gpupass.model.mark import Claim
from gpupass.model.profile import Profile, Rule
from gpupass.model.slot import Slot, vf_part
from gpupass.plan import NOTHING, Disruption, Draft, Finding, HostPlan, Plan, adopt_or_take_over
from gpupass.planner.company import in_company, touched_by
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
from gpupass.planner.parts import parts_of as hosts_around
from gpupass.planner.promised import line, promised
from gpupass.planner.selection import Wanted, attachments, choose, unexpected, why_not
from gpupass.planner.standing import Chosen, nearest
from gpupass.planner.stopping import around, letting_go, unknown
from gpupass.step import Kind

_PASSES = 6  # functions, modes and instances may each ask for the others to be made anew, once


def plan_profile(profile: Profile, host: Host, connect: str, devices_only: bool = False) -> HostPlan:
    """Usage when the profile does not fit this host; what forbids a change is a finding of its Plan."""
    chosen = choose(profile, host)
    wanted = () if devices_only else attachments(profile, chosen, host)
    part = hosts_around(host)
    plans: list[Plan] = []
    domains = host.domains
    for together in in_company(chosen, host):
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
        names = {name for one in chosen for name in one.rule.stop}
        self.touched = tuple(dict.fromkeys(at for one in chosen for at in touched_by(host, one)))
        self.stops, self.before = letting_go(host, self.touched, names), host
        self.host = self.now = host.after(self.stops)
        self.connect, self.chosen, self.wanted, self.devices_only = connect, chosen, wanted, devices_only
        self.draft = self.lent = NOTHING  # `lent`: what is to be back, and as it is then
        self.refused: set[str] = set()
        self.tree: tuple[Host | None, tuple[tuple[Carrier, ...], ...]] = (None, ())

    def plan(self) -> Plan:
        title = ", ".join(f"{one.name}: {one.rule.use} {one.where}" for one in self.chosen)
        quarrels = tuple(_quarrels(tuple((one, self._now(one)) for one in self.chosen)))
        if quarrels:  # what speaks against lending the group is still told
            self.refused |= {one.name for one in self.chosen if not one.rule.lends_whole}
        for _ in range(_PASSES):
            before = self.draft.steps
            self.draft = replace(self.draft, waits=())
            for phase in (self._fits, self._detach, self._home):
                self._each(phase)
            unmade = self._cut()
            self._keep_apart()
            for one in self.chosen:
                if one.name not in self.refused:
                    self._add(self._in_line(one))
            for want in self.wanted:
                if want.chosen.name not in self.refused:
                    self._add(self._attached(want.chosen, want, unmade))
            if self.draft.steps == before or self.refused:
                break
        later = tuple(o for o in self.chosen if self._now(o) is None and o.name not in self.refused)
        for one in later:
            self._add(self._unmade(one, unmade))
        waits = self.draft.waits
        open_end = any(step.leaves_open for step in self.draft.steps)
        goes_on = open_end or bool(self.draft.steps and (unmade or later))
        names = (name for one in self.chosen for name in one.rule.stop)
        odd = (finding for one in self.chosen if self.draft.steps for finding in unexpected(one))
        findings = Draft(findings=(*quarrels, *unknown(self.before, names), *odd))
        whole = around(self.before, self.stops, self.touched, self.draft, goes_on)
        plan = plan_of(title, whole + findings + lost(self.host, self.draft))
        return replace(plan, waits=tuple(dict.fromkeys(waits)), continues=goes_on)

    def _each(self, phase: Callable[[Chosen], Draft]) -> None:
        """Where one phase says no, the later ones would only say it again in other words."""
        for one in self.chosen:
            if one.name not in self.refused and not self._is_out(one):
                piece = phase(one)
                self.lent += placed(self.now, piece)
                self._add(piece)
                if piece.refused:
                    self.refused.add(one.name)

    def _is_out(self, one: Chosen) -> bool:
        """A domain that its group is promised has what the host works with in between."""
        slot = slot_at(self.now, self._base(one), ()) if one.rule.for_host and not one.path else None
        owner = holder(self.now, slot) if slot is not None else None
        group = {member.address for member in self.now.group_of(self._base(one))}
        whose = {
            w.attachment.domain
            for w in self.wanted
            if w.attachment.at_start and w.chosen.carrier.address in group
        }
        return owner is not None and owner.name in whose

    def _promised(self, one: Chosen, path: tuple[str, ...]) -> frozenset[str]:
        """The domains that get it when they start."""
        return frozenset(want.attachment.domain for want in promised(self.wanted, one.name, path))

    def _in_line(self, one: Chosen) -> Draft:
        carrier = self._now(one)
        slots = self._slots(one, carrier) if carrier is not None and not self.devices_only else ()
        lines = (line(self.now, slot, promised(self.wanted, one.name, path)) for path, slot in slots)
        return sum(lines, NOTHING)

    def _add(self, piece: Draft) -> None:
        before = self.draft.steps
        self.draft = merged(self.draft, placed(self.now, piece))
        if self.draft.steps != before:
            self.now = imagine(self.host, in_order(self.draft.takes, self.draft.makes))

    def _base(self, one: Chosen) -> Base:
        return self.now.carrier(one.carrier.address) or one.carrier

    def _now(self, one: Chosen) -> Carrier | None:
        """None: a slot that is not there yet."""
        return carrier_at(self.now, self._base(one), one.path)

    def _domain_for(self, one: Chosen, path: tuple[str, ...]) -> str | None:
        found = (w.attachment.domain for w in self.wanted if w.chosen.name == one.name and w.path == path)
        return next(found, None)

    def _fits(self, one: Chosen) -> Draft:
        carrier = self._now(one)
        cannot = why_not(one.rule, carrier) if carrier is not None else None
        return Draft(findings=(cannot,)) if cannot is not None else NOTHING

    def _detach(self, one: Chosen) -> Draft:
        carrier = self._now(one)
        base = self._base(one)
        draft = Draft(devices=tuple(member.address for member in self.now.group_of(base)))
        for path, slot in self._slots(one, carrier) if carrier is not None else ():
            owner = holder(self.now, slot)
            if owner is not None:
                draft += self._taken(one, path, slot, owner.name, owner.uuid)
            elif not path and not one.rule.lends_whole:
                draft += handover.clean(self.now, slot)
        return draft

    def _slots(
        self, one: Chosen, carrier: Carrier, way: tuple[str, ...] = ()
    ) -> Iterator[tuple[tuple[str, ...], Slot]]:
        """It, its parts and theirs, but for those that have a rule of their own; each with the way there."""
        for slot in slots_of(self.now, carrier):
            path = (*way, slot.part) if slot.part else way
            if (way and not slot.part) or nearest(one, path, self.chosen) != (one, path):
                continue
            yield path, slot
            part = carrier_of(self.now, slot) if slot.part else None
            if part is not None:
                yield from self._slots(one, part, path)

    def _taken(self, one: Chosen, path: tuple[str, ...], slot: Slot, owner: str, uuid: str) -> Draft:
        if owner in self._promised(one, path):
            return NOTHING
        target = self._domain_for(one, path) or self._with_its_group(slot)
        claim = self.now.mark(Claim, slot.device, slot.mdev or "")
        ours = claim is not None and claim.uuid == uuid
        must = not path and not one.rule.lends_whole  # the host works with it itself, or has cut it
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
        if (
            not isinstance(device, Device)
            or rule.lends_whole
            or (named is not None and device.driver == named)
        ):
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
        """All ways, each on what those before it leave; what is cut again after what it is cut from."""
        waiting: set[str] = set()
        open_names = {one.name for one in self.chosen if not self._is_out(one)} - self.refused
        for level in count():
            if level and (self.refused or level >= len(self._levels())):
                break
            for method in METHODS:
                waiting |= self._cut_by(method, open_names, level)
        return frozenset(waiting)

    def _cut_by(self, method: Method[Any], open_names: set[str], level: int) -> set[str]:
        """Names of what only a fresh look can tell."""
        its = self._rules(open_names)
        here = {carrier.address: carrier for carrier in chain(*self._levels()[level : level + 1])}
        mine = {at: its.get(at, ()) for at, carrier in here.items() if _asked_of(method, carrier, level, its)}
        if level and not mine:
            return set()
        elsewhere = {at: its[at] for at in its if not level and self._is_told(method, at, its[at])}
        piece = method.cut(self.now, mine | elsewhere)
        if piece.steps:
            piece = with_what_stands_on_it(self._before_makings(), placed(self.now, piece), its)
            piece = cleaned_before(self.now, piece)
        self._add(replace(piece, losses=tuple(self._untold(piece))))
        if piece.refused:
            self.refused |= open_names
        return {one.name for one in self.chosen if any(one.carrier.address in w for w in piece.waits)}

    def _is_told(self, method: Method[Any], name: Name, rules: tuple[Rule, ...]) -> bool:
        """Of rules of others about what is cut from its own, though it does not cut that."""
        carrier = carrier_called(self.now, name)
        own = any(type(rule) is method.rule for rule in rules)
        return carrier is not None and method not in takers(carrier) and not own

    def _levels(self) -> tuple[tuple[Carrier, ...], ...]:
        """The devices, their parts, the parts of these, …"""
        if self.tree[0] is not self.now:
            bases = dict.fromkeys(self._base(one) for one in self.chosen)
            found: list[tuple[Carrier, ...]] = [tuple(bases)]
            while found[-1]:
                found.append(tuple(part for one in found[-1] for part in parts_of(self.now, one)))
            self.tree = self.now, tuple(found[:-1])
        return self.tree[1]

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
        found: dict[Name, tuple[Rule, ...]] = {}
        for one in self.chosen:
            carrier = self._now(one) if one.name in names else None
            if carrier is not None:
                asked = (rule for way in ways(carrier) for rule in way.asks(self.now, carrier, (one.rule,)))
                found[carrier.address] = (one.rule, *asked)
        return found

    def _unmade(self, one: Chosen, unmade: frozenset[str]) -> Draft:
        """A slot that nobody has made: yet, or at all."""
        on = one.rule.select.slot
        if self._will_be(one, one.path, unmade):
            return Draft(waits=(f"{on} is not made yet: {one.name} ({one.rule.use}) comes then",))
        told = f"{on} is not there, and {one.name} stands on it"
        return Draft(findings=(self._not_there(one, one.path, told),))

    def _keep_apart(self) -> None:
        """What two owners cannot have at once does not go to two domains."""
        first: dict[str, Wanted] = {}
        for want in self.wanted:
            path = (*want.chosen.path, *want.path)
            slot = slot_at(self.now, self._base(want.chosen), path)
            for atom in sorted(atoms_of(self.now, slot)) if slot is not None else ():
                other = first.setdefault(atom, want)
                in_line = other.attachment.at_start and want.attachment.at_start
                if other.attachment.domain != want.attachment.domain and not in_line:
                    self._add(Draft(findings=(_shared(other, want, atom),)))
                    self.refused |= {other.chosen.name, want.chosen.name}
                    break

    def _not_there(self, one: Chosen, path: tuple[str, ...], message: str) -> Finding:
        base = self._base(one)
        near = next(at for n in range(len(path), -1, -1) if (at := carrier_at(self.now, base, path[:n])))
        known = ", ".join(slot.part for slot in slots_of(self.now, near) if slot.part)
        called = next((other.name for other in self.chosen if self._now(other) == near), near.address)
        remedy = f"{called} has {known}" if known else f"gpupass show {one.carrier.address}"
        return Finding(message=message, remedy=remedy)

    def _attached(self, one: Chosen, want: Wanted, unmade: frozenset[str]) -> Draft:
        name, path = want.attachment.domain, (*one.path, *want.path)
        domain, slot = self.now.domain(name), slot_at(self.now, self._base(one), path)
        if slot is None and self._will_be(one, path, unmade):
            return Draft(waits=(f"{want.attachment.device} is not made yet: {name} gets it then",))
        if slot is None:
            told = f"{want.attachment.device} is not there, and {name} is to have it"
            return Draft(findings=(self._not_there(one, path, told),))
        if any(slot.device in step.leaves_open for step in self.draft.takes):
            return Draft(waits=(f"libvirt gives {slot.device} back first: {name} gets it then",))
        if domain is None:
            known = ", ".join(d.name for d in self.now.domains) or "none"
            finding = Finding(
                message=f"libvirt knows no domain {name}: it knows {known}", remedy="virsh list --all"
            )
            return Draft(findings=(finding,))
        if want.attachment.at_start and (not domain.active or holder(self.now, slot) is not None):
            return NOTHING
        if not domain.active:
            return Draft(waits=(f"{name} is not running: {want.attachment.device} is attached when it does",))
        draft = declared(self._given(want, domain, slot))
        asked = even_of_others(domain, self._even_of(name)) if draft.steps else ()
        return promises.noted(self.now, draft, (slot,), domain) + Draft(findings=tuple(asked))

    def _given(self, want: Wanted, domain: Domain, slot: Slot) -> Draft:
        options = want.attachment.options
        return handover.attach(self.now, domain, slot, self.connect, self._beside(want), options)

    def _beside(self, want: Wanted) -> tuple[Address, ...]:
        """What else this domain is to have."""
        return tuple(slot.device for domain, slot in self._wanted_slots() if domain == want.attachment.domain)

    def _with_its_group(self, slot: Slot) -> str | None:
        """Who is to have another function of its IOMMU group, and so has this one, too, hidden."""
        device = self.now.device(slot.device)
        group = self.now.group_of(device) if device is not None and slot.mdev is None else ()
        members = {member.address for member in group}
        return next((domain for domain, other in self._wanted_slots() if other.device in members), None)

    def _wanted_slots(self) -> Iterator[tuple[str, Slot]]:
        for one in self.wanted:
            slot = slot_at(self.now, self._base(one.chosen), (*one.chosen.path, *one.path))
            if slot is not None:
                yield one.attachment.domain, slot

    def _will_be(self, one: Chosen, path: tuple[str, ...], unmade: frozenset[str]) -> bool:
        """What is made tells its names first; but a PF without VFs need not know where they will be, and
        which partitions a GPU has shows in the next look."""
        base = self._base(one)
        sriov = base.facts.sriov if isinstance(base, Device) else None
        vfs = {vf_part(number) for number in range(sriov.enabled if sriov is not None else 0)}
        hidden = (Kind.CUT, base.address)
        untold = any(hidden in step.ends and not step.gives for step in self.draft.steps)
        return one.name in unmade or untold or vfs.issuperset(path[:1])


def _asked_of(method: Method[Any], carrier: Carrier, level: int, its: Its) -> bool:
    """Of devices those that rules speak of; of parts all that it can cut: what has no rule is to be whole."""
    return method in takers(carrier) if level else carrier.address in its


def _shared(one: Wanted, other: Wanted, atom: str) -> Finding:
    goes = " and ".join(f"{want.attachment.device} to {want.attachment.domain}" for want in (one, other))
    told = f"{goes} cannot both be: they share {words(atom)}"
    return Finding(message=told, remedy="attach both to one domain, or only one of them")


def _quarrels(chosen: tuple[tuple[Chosen, Carrier | None], ...]) -> Iterator[Finding]:
    """A group is on VFIO as a whole or not at all."""
    devices = [(one, carrier) for one, carrier in chosen if isinstance(carrier, Device)]
    for number, (one, device) in enumerate(devices):
        for other, beside in devices[:number]:
            if device.group is not None and device.group == beside.group:
                yield from _quarrel((other, beside), (one, device))


def _quarrel(one: tuple[Chosen, Device], other: tuple[Chosen, Device]) -> Iterator[Finding]:
    (lent, _), (kept, at_home) = (one, other) if one[0].rule.lends_whole else (other, one)
    if lent.rule.lends_whole and not kept.rule.lends_whole:
        yield Finding(
            message=f"{lent.name} and {kept.name} ({at_home.address}) are in one IOMMU group, "
            f"which cannot be {lent.rule.use} and {kept.rule.use} at once",
            remedy="gpupass groups; then use: passthrough for both, or for none",
        )
