"""From what is wanted to steps in their order, on the host as it is imagined; pure, and names no method.

Each piece is planned on the host as all before it will leave it, in the order in which they will be done;
what a step must be without, or what stands on what it ends, goes before it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace

from gpupass.lending.handover import clean
from gpupass.lending.lender import whole
from gpupass.method import Method
from gpupass.methods import METHODS, all_below, carrier_called, cut_again, lost_by, takers, ways
from gpupass.model.address import Address, Name, root_of
from gpupass.model.carrier import Carrier
from gpupass.model.host import Host
from gpupass.model.profile import Rule
from gpupass.plan import NOTHING, Draft, Finding, Plan, adopt_or_take_over
from gpupass.planner.order import in_order
from gpupass.step import Deed, Facts, Kind, known_as, remarked

Its = Mapping[Name, tuple[Rule, ...]]


def plan_of(title: str, draft: Draft, host: Host | None = None) -> Plan:
    """A draft in its order; `host`: it has not been told yet which function is of which."""
    told = placed(host, draft) if host is not None else draft
    steps = in_order(told.takes, told.makes)
    about = dict.fromkeys((*draft.devices, *(root_of(name) for step in steps for name in step.carriers)))
    return Plan(
        title=title,
        steps=steps,
        findings=tuple(dict.fromkeys(draft.findings)),
        devices=tuple(about),
        disruptions=tuple(dict.fromkeys(draft.losses)),
        waits=tuple(dict.fromkeys(draft.waits)),
        foreign=tuple(dict.fromkeys(draft.foreign)),
        continues=any(step.leaves_open for step in steps),
    )


def identified(plan: Plan, host: Host) -> Plan:
    """For the devices that have its addresses now, and for no others."""
    above = (step.of for step in plan.steps if step.of is not None)
    return replace(plan, identities=host.identities(dict.fromkeys((*plan.devices, *above))))


def imagine(host: Host, steps: Iterable[Deed]) -> Host:
    """With what every way sees after steps of others."""
    for step in steps:
        host = host.after((step,))
        for address in step.carriers:
            near = (address, *(vf.address for vf in host.functions_of(address)))
            for at in near:
                for method in METHODS:
                    device = host.device(at)
                    seen = method.seen_after(device, step) if device is not None else None
                    if seen is not None and seen is not device:
                        host = host.with_device(seen)
    return host


def placed(host: Host, draft: Draft) -> Draft:
    """Steps about a virtual function, also of one that is only made, say of which physical one it is."""
    made = host.after(draft.makes)

    def told(step: Deed) -> Deed:
        roots = tuple(map(root_of, step.carriers))
        devices = host.devices_at(roots) or made.devices_at(roots)
        return known_as(step, devices[0].physfn if devices else None)

    return replace(draft, takes=tuple(map(told, draft.takes)), makes=tuple(map(told, draft.makes)))


def with_what_stands_on_it(host: Host, piece: Draft, its: Its) -> Draft:
    """`host` is as it is after all that was taken from it so far."""
    todo, whole_piece = list(piece.steps), piece
    while todo:
        for what_ends in _askers(host, todo.pop(0), its):
            more = what_ends(host)
            if more.steps or more.findings:
                more = placed(host, more)
                whole_piece += more
                host = imagine(host, in_order(more.takes, ()))
                todo += more.steps
    return whole_piece


def _askers(host: Host, step: Deed, its: Its) -> Iterator[Callable[[Host], Draft]]:
    """Of each way on what the step is about, what is furthest from the card first; then of what stands on
    parts that it ends."""
    for at in step.carriers:
        carrier = carrier_called(host, at)
        if carrier is None:
            continue
        rules = its.get(at, ())
        for method in reversed(ways(carrier)):
            if type(step) not in method.steps:
                yield partial(_cleared, method, carrier, rules, step)
        for part in _ended(host, step, carrier):
            yield partial(_uncut, part, rules, step)


def _cleared(way: Method[Any], carrier: Carrier, rules: tuple[Rule, ...], step: Deed, host: Host) -> Draft:
    return way.clear(host, carrier, rules, step)


def _ended(host: Host, step: Deed, carrier: Carrier) -> Iterator[Carrier]:
    """Parts that are cut again, and are none, or others of the same name, after the step."""
    standing = tuple(part for part in all_below(host, carrier) if any(cut_again(host, part)))
    if not standing:
        return
    anew = root_of(carrier.address) in {*step.resets, *step.rebinds}
    after = imagine(host, (step,))
    there = carrier_called(after, carrier.address)
    stay = {part.address for part in all_below(after, there)} if there is not None and not anew else set()
    yield from (part for part in standing if part.address not in stay)


def _uncut(part: Carrier, rules: tuple[Rule, ...], step: Deed, host: Host) -> Draft:
    """What gpupass made of it goes, or all where the rule takes over."""
    over = tuple(Rule(name=one.name, select=one.select, take_over=True) for one in rules if one.take_over)
    draft = sum((way.cut(host, {part.address: over}) for way in takers(part)), NOTHING)
    after = imagine(host, in_order(draft.takes, ()))
    there = carrier_called(after, part.address)
    left = ", ".join(slot.part for slot in cut_again(after, there)) if there is not None else ""
    if not left:
        return draft
    told = f"{part.address} has {left}, which gpupass did not make and which would go: {step.words()}"
    finding = Finding(message=told, remedy=adopt_or_take_over(root_of(part.address)))
    return draft + Draft(findings=(finding,))


def cleaned_before(host: Host, piece: Draft) -> Draft:
    """Whose driver changes is cleaned first, where its last guest has gone."""
    if piece.refused:
        return piece
    left = NOTHING
    for step in piece.steps:
        for kind, about in sorted(step.ends):
            device = host.device(Address(about)) if kind is Kind.DRIVER else None
            left += clean(host, whole(device)) if device is not None and device.on_vfio else NOTHING
    return left + piece


def lost(host: Host, draft: Draft) -> Draft:
    """What would go with a driver that changes, and is not taken before."""
    if draft.refused:
        return NOTHING
    return Draft(findings=tuple(lost_by(imagine(host, in_order(draft.takes, ())), draft.steps)))


def merged(draft: Draft, piece: Draft) -> Draft:
    """What one piece makes anew and a later one ends just ends: with all that is forgotten then."""
    takes, makes = list(draft.takes), list(draft.makes)
    for step in piece.takes:
        ended = _parts(step.ends)
        again = next((one for one in makes if ended and _parts(one.gives) == ended), None)
        idle = [one for one in makes if again is not None and (one is again or _parts(one.needs) & ended)]
        makes = [one for one in makes if one not in idle]
        forgets = tuple(key for one in (step, *idle) for key in one.forgets)
        if ended and any(_parts(one.ends) == ended for one in takes):
            takes = [known_as(one, one.of, forgets) if _parts(one.ends) == ended else one for one in takes]
        elif step not in takes:
            takes.append(known_as(step, step.of, forgets))
    for step in piece.makes:
        makes = [*makes, step] if step not in makes else makes
    makes = _once_driven(makes)
    rest = replace(piece, takes=(), makes=())
    return replace(draft, takes=tuple(takes), makes=tuple(makes)) + rest


def _once_driven(makes: list[Deed]) -> list[Deed]:
    """Of two drivers for one function the later counts; what is known from before the first stays known."""
    last: dict[Facts, Deed] = {}
    for step in makes:
        driver = frozenset(fact for fact in step.gives if fact[0] is Kind.DRIVER)
        if driver and driver in last:
            first = last[driver]
            known = {mark.key: mark for mark in (*step.marks, *first.marks)}
            step = remarked(step, tuple(known.values()))
            makes = [step if one.gives == step.gives else one for one in makes if one is not first]
        if driver:
            last[driver] = step
    return makes


def _parts(facts: Facts) -> Facts:
    return frozenset(fact for fact in facts if fact[0] is Kind.PART)
