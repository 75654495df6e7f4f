"""The ways to share a GPU, one folder each; they do not know each other, but for what they may ask.

A new one is a folder with what gpupass/method.py says, and one entry here. Those that others ask come first,
those that want a device whole come last.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from gpupass.method import Method, unread
from gpupass.methods.host import HOST
from gpupass.methods.mdev import MDEV
from gpupass.methods.mig import MIG
from gpupass.methods.partition import PARTITION
from gpupass.methods.passthrough import PASSTHROUGH
from gpupass.methods.sriov import SRIOV
from gpupass.methods.vgpu import VGPU
from gpupass.model.address import Address, Name, root_of
from gpupass.model.atom import Atoms
from gpupass.model.carrier import Carrier, CarrierKind, kind_of
from gpupass.model.host import Device, Host
from gpupass.model.profile import Rule
from gpupass.model.slot import Slot
from gpupass.plan import NOTHING, Draft, Finding
from gpupass.step import Deed, Kind
from gpupass.system import Reader

METHODS: tuple[Method[Any], ...] = (SRIOV, MIG, MDEV, VGPU, PARTITION, PASSTHROUGH, HOST)
RULES: dict[str, type[Rule]] = {method.tag: method.rule for method in METHODS}
_TAKERS = {kind: tuple(method for method in METHODS if kind in method.takes) for kind in CarrierKind}


def takers(carrier: Carrier) -> tuple[Method[Any], ...]:
    """Those that can cut it, or have it whole."""
    return _TAKERS[kind_of(carrier)]


def ways(carrier: Carrier) -> tuple[Method[Any], ...]:
    """Those that can be asked about it: of a function all, also what is cut from another one."""
    return METHODS if isinstance(carrier, Device) else takers(carrier)


def with_sights(system: Reader, of: Host) -> Host:
    """With what only one way sees of what was looked at closely, and of what is cut from that."""
    if all(method.read is unread for method in METHODS):
        return of
    todo: list[Carrier] = [carrier for carrier in of.carriers if carrier.detail is not None]
    while todo:
        found = [method.read(system, carrier) for carrier in todo for method in ways(carrier)]
        of = of.seeing(*(one for one in found if one is not None))
        todo = [part for carrier in todo for part in parts_of(of, carrier) if isinstance(part, Slot)]
    return of


def slots_of(of: Host, carrier: Carrier) -> tuple[Slot, ...]:
    """The device itself first, then its parts: each of the way that is furthest from the card."""
    found: dict[tuple[str, str | None], Slot] = {}
    for method in ways(carrier):
        for slot in method.slots(of, carrier):
            found.pop((slot.device, None), None)
            own = slot.device != root_of(slot.of)
            found[slot.device if own else f"{slot.of}/{slot.part}", slot.mdev] = replace(
                slot, method=method.tag
            )
    return tuple(sorted(found.values(), key=lambda slot: bool(slot.part)))


def carrier_of(of: Host, slot: Slot) -> Carrier | None:
    """The function that it is, else the slot itself; None: the function is not there."""
    return of.device(slot.device) if slot.is_function else slot


def parts_of(of: Host, carrier: Carrier) -> Iterator[Carrier]:
    """What is cut from it, each as a carrier of its own."""
    if isinstance(carrier, Slot) or carrier.detail is not None:
        for slot in slots_of(of, carrier):
            part = carrier_of(of, slot) if slot.part else None
            if part is not None:
                yield part


def cut_again(of: Host, carrier: Carrier) -> Iterator[Slot]:
    """Its parts, where it can be cut itself: those of a VF may be its card's."""
    tags = {method.tag for method in takers(carrier)}
    return (slot for slot in slots_of(of, carrier) if slot.part and slot.method in tags)


def all_below(of: Host, carrier: Carrier) -> Iterator[Carrier]:
    """Its parts and theirs: what stands on something comes before it."""
    for part in parts_of(of, carrier):
        yield from all_below(of, part)
        yield part


def carrier_at(of: Host, carrier: Carrier | None, path: Iterable[str]) -> Carrier | None:
    """From a carrier down to a part of a part of it; None: there is none such, yet."""
    for part in path:
        slot = slot_of(of, carrier, part) if carrier is not None else None
        carrier = carrier_of(of, slot) if slot is not None else None
    return carrier


def atoms_of(of: Host, slot: Slot) -> Atoms:
    """With those of all that it is cut into: nobody can have that beside it."""
    carrier = carrier_of(of, slot)
    below = (part for part in slots_of(of, carrier) if part.part) if carrier is not None else ()
    return slot.atoms.union(*(atoms_of(of, part) for part in below))


def overlap(of: Host, one: Slot, other: Slot) -> Atoms:
    """What of the two cannot be lent to two owners at once."""
    return atoms_of(of, one) & atoms_of(of, other)


def slot_at(of: Host, carrier: Carrier, path: tuple[str, ...]) -> Slot | None:
    """The carrier itself where there is no way to go."""
    above = carrier_at(of, carrier, path[:-1])
    return slot_of(of, above, path[-1] if path else "") if above is not None else None


def carrier_called(of: Host, name: Name) -> Carrier | None:
    """As steps and marks call it."""
    root, *path = name.split("/")
    return carrier_at(of, of.carrier(root), path)


def alike(of: Host, carrier: Carrier) -> tuple[Device, ...]:
    """What may be one thing with it, as far as a bare look tells."""
    return tuple(dict.fromkeys(other for method in ways(carrier) for other in method.alike(of, carrier)))


def slot_of(of: Host, carrier: Carrier, part: str) -> Slot | None:
    """The one of this name, or this UUID; None: there is no such part yet."""
    there = slots_of(of, carrier)
    return next((slot for slot in there if part in (slot.part, slot.mdev)), None)


def method_of(slot: Slot) -> Method[Any]:
    return next(method for method in METHODS if slot.method == method.tag)


def renew(of: Host, slot: Slot) -> Draft:
    """Made anew between two users by the way that it is of; nothing where a reset is enough."""
    drafts = (method.renew(of, slot) for method in METHODS)
    return next((draft for draft in drafts if draft.steps), NOTHING)


def lost_by(of: Host, steps: Iterable[Deed]) -> Iterator[Finding]:
    """Parts without a function of their own do not outlive the driver that has made them."""
    for step in steps:
        for kind, about in sorted(step.ends):
            device = of.device(Address(about)) if kind is Kind.DRIVER else None
            slots = slots_of(of, device) if device is not None and device.detail is not None else ()
            names = ", ".join(slot.part for slot in slots if slot.part and slot.device == about)
            if names:
                yield Finding(
                    message=f"{about} has parts that would be lost with its driver: {names}",
                    remedy="use: passthrough in a profile; take-over: true for what gpupass did not make",
                )
