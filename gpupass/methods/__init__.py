"""The ways to share a GPU, one folder each; they do not know each other, but for what they may ask.

A new one is a folder with what gpupass/method.py says, and one entry here. Those that others ask come first,
those that want a device whole come last.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from gpupass.method import Method
from gpupass.methods.host import HOST
from gpupass.methods.mdev import MDEV
from gpupass.methods.mig import MIG
from gpupass.methods.partition import PARTITION
from gpupass.methods.passthrough import PASSTHROUGH
from gpupass.methods.sriov import SRIOV
from gpupass.methods.vgpu import VGPU
from gpupass.model.address import Address
from gpupass.model.carrier import Carrier, kind_of
from gpupass.model.host import Device, Host
from gpupass.model.profile import Rule
from gpupass.model.slot import Slot
from gpupass.plan import NOTHING, Draft, Finding
from gpupass.step import Deed, Kind
from gpupass.system import Reader

METHODS: tuple[Method[Any], ...] = (SRIOV, MIG, MDEV, VGPU, PARTITION, PASSTHROUGH, HOST)
RULES: dict[str, type[Rule]] = {method.tag: method.rule for method in METHODS}


def ways(carrier: Carrier) -> tuple[Method[Any], ...]:
    """Those that can be asked about it."""
    if isinstance(carrier, Device):
        return METHODS
    return tuple(method for method in METHODS if kind_of(carrier) in method.takes)


def with_sights(system: Reader, of: Host) -> Host:
    """With what only one way sees of what was looked at closely."""
    looked_at = (carrier for carrier in of.carriers if carrier.detail is not None)
    found = (method.read(system, carrier) for carrier in looked_at for method in ways(carrier))
    return of.seeing(*(one for one in found if one is not None))


def slots_of(of: Host, carrier: Carrier) -> tuple[Slot, ...]:
    """The device itself first, then its parts: each of the way that is furthest from the card."""
    found: dict[tuple[str, str | None], Slot] = {}
    for method in ways(carrier):
        for slot in method.slots(of, carrier):
            found.pop((slot.device, None), None)
            own = slot.device != slot.of
            found[slot.device if own else f"{slot.of}/{slot.part}", slot.mdev] = replace(
                slot, method=method.tag
            )
    return tuple(sorted(found.values(), key=lambda slot: bool(slot.part)))


def alike(of: Host, carrier: Carrier) -> tuple[Device, ...]:
    """What may be one thing with it, as far as a bare look tells."""
    return tuple(dict.fromkeys(other for method in ways(carrier) for other in method.alike(of, carrier)))


def slot_of(of: Host, carrier: Carrier, part: str) -> Slot | None:
    """The one of this name; None: there is no such part yet."""
    return next((slot for slot in slots_of(of, carrier) if slot.part == part), None)


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
