"""A host as it is → the profile that asks for nothing else; pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec.structs import asdict, replace

from gpupass.lending import promises
from gpupass.lending.handover import seen_by
from gpupass.lending.lender import whole
from gpupass.lending.options import options_of
from gpupass.lending.tuning import settings_of
from gpupass.method import Method
from gpupass.methods import METHODS, carrier_of, slots_of, takers, ways
from gpupass.model.address import Address, root_of
from gpupass.model.carrier import Carrier
from gpupass.model.host import Base, Device, Host
from gpupass.model.mark import Promise
from gpupass.model.mdev import MdevBus
from gpupass.model.profile import Attachment, Profile, Rule, Select


def worth_telling(host: Host, cuttable: bool = False) -> tuple[Base, ...]:
    """GPUs and accelerators, and whatever else is lent, cut or remembered as gpupass's.

    With `cuttable` parents of mediated devices that have none, too.
    """
    remembered = {root_of(mark.carrier) for mark in host.marks}
    lent = {hostdev.address for domain in host.domains for hostdev in domain.live}
    cut = {device.physfn for device in host.devices if device.physfn is not None}
    devices = (
        device
        for device in host.devices
        if not device.is_bridge
        and device.physfn is None
        and (
            device.is_gpu
            or device.address in remembered | lent | cut
            or device.facts.mdevs
            or (cuttable and device.facts.mdev_types)
            or (device.on_vfio and not any(member.is_gpu for member in host.group_of(device)))
        )
    )
    buses = (
        bus
        for bus in host.mdev_buses
        if bus.address in remembered or bus.facts.mdevs or (cuttable and bus.facts.mdev_types)
    )
    return (*devices, *buses)


def export(
    host: Host, carriers: Iterable[Base], names: Mapping[Base, str] | None = None, take_over: bool = False
) -> Profile:
    """One rule per device, called by its name if it has one; none where it cannot be seen how it is cut.

    Companions of a GPU's IOMMU group come with its rule and need none.
    """
    rules: list[Rule] = []
    attachments: list[Attachment] = []
    spoken_for: set[Address] = set()
    for carrier in carriers:
        if carrier.address in spoken_for or any(way.unseen(host, carrier) for way in ways(carrier)):
            continue
        rule = _rule(host, carrier, (names or {}).get(carrier) or f"{_word(carrier)}{len(rules)}", take_over)
        rules += (rule, *_standing(host, carrier, rule))
        if isinstance(carrier, Device) and carrier.on_vfio:
            spoken_for.update(member.address for member in host.group_of(carrier))
        attachments += _attachments(host, carrier, rule, exact=take_over)
        for other in _companions(host, carrier):
            beside = _rule(host, other, (names or {}).get(other) or f"device{len(rules)}", take_over)
            rules.append(beside)
            attachments += _attachments(host, other, beside, exact=take_over)
    return Profile(gpus=tuple(rules), attachments=tuple(attachments))


def _companions(host: Host, carrier: Base) -> tuple[Device, ...]:
    """Others of a lent group that a guest sees by themselves."""
    if not isinstance(carrier, Device) or not carrier.on_vfio:
        return ()
    members = (one for one in host.group_of(carrier) if one != carrier and not one.is_bridge)
    return tuple(one for one in members if seen_by(host, whole(one)) is not None)


def _word(carrier: Base) -> str:
    return "gpu" if isinstance(carrier, Device) and carrier.is_gpu else "device"


def _rule(host: Host, carrier: Base, name: str, take_over: bool) -> Rule:
    """What the last way says, knowing of those before it, asks for all of it."""
    mark = host.mark(Promise, carrier.address)
    stop = tuple(dict.fromkeys(one for heir in mark.to for one in heir.stop)) if mark is not None else ()
    shell = Rule(name=name, select=_select(carrier), take_over=take_over, stop=stop)
    if mark is not None and mark.home and isinstance(carrier, Device) and carrier.on_vfio:
        return _host_rule()(name=name, select=shell.select, take_over=take_over, stop=stop)
    return replace(_asked(host, carrier, shell, ways(carrier))[-1], stop=stop)


def _host_rule() -> type[Rule]:
    """What the host works with, though a domain that is promised it has it just now."""
    return next(method.rule for method in METHODS if method.rule.for_host)


def _asked(host: Host, carrier: Carrier, shell: Rule, by: tuple[Method[Any], ...]) -> tuple[Rule, ...]:
    found: tuple[Rule, ...] = ()
    for method in by:
        rule = method.export(host, carrier, shell, found)
        found = (*found, rule) if rule is not None else found
    return found


def _standing(host: Host, carrier: Carrier, rule: Rule) -> Iterator[Rule]:
    """Of its parts that are cut again, and of theirs."""
    for slot in slots_of(host, carrier):
        part = carrier_of(host, slot) if slot.part and rule.names(slot.part) else None
        if part is None:
            continue
        name = re.sub(r"[^A-Za-z0-9._-]", "-", f"{rule.name}-{slot.part}")[:63]
        select = Select(slot=f"{rule.name}/{slot.part}")
        found = _asked(host, part, Rule(name=name, select=select, take_over=rule.take_over), takers(part))
        if found and not (found[-1].lends_whole or found[-1].for_host):
            yield found[-1]
            yield from _standing(host, part, found[-1])


def _select(carrier: Base) -> Select:
    """By what stays when cards change places, where it has such a name; else only while it is there."""
    if isinstance(carrier, MdevBus):
        return Select(parent=carrier.address)
    nvidia = carrier.facts.nvidia
    if nvidia is not None:
        return Select(uuid=nvidia.uuid)
    kind = "storage" if carrier.is_storage else None
    return Select(address=carrier.address, model=carrier.ids, class_=kind)


def _attachments(host: Host, carrier: Base, rule: Rule, exact: bool) -> Iterator[Attachment]:
    """Slots that the rule has no name for, because others made them, are left alone.

    `exact`: it is also said where a guest has it as usual.
    """
    lent = isinstance(carrier, Device) and carrier.on_vfio
    for slot in slots_of(host, carrier):
        owner = seen_by(host, slot) if slot.part or lent else None
        called = f"{rule.name}/{slot.part}" if slot.part else rule.name
        heirs = promises.promised_heirs(host, slot) if rule.names(slot.part) else ()
        for heir, name in heirs:
            said = asdict(heir.options)
            yield Attachment(domain=name, device=called, at_start=True, even_of=heir.even_of, **said)
        in_line = owner is not None and any(heir.uuid == owner.uuid for heir, _ in heirs)
        if owner is not None and rule.names(slot.part) and not in_line:
            options = options_of(owner, slot, exact)
            if slot.mdev is None:
                options = options.over(settings_of(host, slot.device, exact))
            said = {name: getattr(options, name) for name in options.__struct_fields__}
            yield Attachment(domain=owner.name, device=called, **said)


def made_elsewhere(host: Host, carriers: Iterable[Base]) -> Iterator[str]:
    """What others made and a profile therefore leaves alone."""
    return (told for carrier in carriers for way in ways(carrier) for told in way.foreign(host, carrier))
