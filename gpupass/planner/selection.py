"""Which devices a profile's rules mean on this host; pure."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from msgspec import Struct
from msgspec.structs import replace

from gpupass.errors import Usage
from gpupass.methods import carrier_at, takers
from gpupass.model.address import Address, Name
from gpupass.model.carrier import Carrier, kind_of
from gpupass.model.host import Base, Device, Host
from gpupass.model.mdev import MdevBus
from gpupass.model.pci_class import class_words
from gpupass.model.profile import Attachment, Profile, Rule, Select
from gpupass.model.select import (
    card_in_slot,
    drivers_of,
    mig_capable,
    minor_of,
    part_number_of,
    product_of,
    serials_of,
    uuid_of,
)
from gpupass.model.slot import vf_part
from gpupass.model.vendor import Vendor
from gpupass.plan import Finding
from gpupass.planner.standing import Chosen, at, meant, nearest, nothing_to_stand_on, standing

_CLASSES = {"display": "03", "network": "02"}
_ACCELERATOR = "accelerator"
_STORAGE = "storage"


class Wanted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One attachment, found: `path` leads to the part of what was chosen; () for that itself."""

    attachment: Attachment
    chosen: Chosen
    path: tuple[str, ...] = ()


def candidates(profile: Profile, host: Host) -> tuple[Address, ...]:
    """Every device that could be meant as far as the basics tell: worth a closer look."""
    return tuple(
        dict.fromkeys(device.address for rule in profile.gpus for device in _near(rule.select, host))
    )


def choose(profile: Profile, host: Host) -> tuple[Chosen, ...]:
    """Usage with every problem at once: a rule that matches nothing, a device that two rules claim."""
    chosen: list[Chosen] = []
    problems: list[tuple[str, str]] = []
    owner: dict[Address, Rule] = {}
    for rule in (one for one in profile.gpus if not one.select.on):
        found = tuple(carrier for carrier in _near(rule.select, host) if _fits(rule.select, carrier, host))
        problems += _two_minors(rule, found)
        found = found[: rule.count] if rule.count is not None else found
        if not rule.optional and len(found) < (rule.count or 1):
            problems.append(_too_few(rule, found, host))
        problems += _unsaid(rule, found)
        for number, carrier in enumerate(found):
            other = owner.setdefault(carrier.address, rule)
            problems += [_both(rule, other, carrier.address)] if other is not rule else []
            problems += _not_cut(rule, carrier)
            name = rule.name if len(found) == 1 else f"{rule.name}/{number}"
            chosen.append(Chosen(name=name, rule=rule, carrier=carrier))
    taken: dict[Name, Rule] = {}
    for rule, ones in standing(profile.gpus, tuple(chosen)):
        if not ones and not rule.optional:
            problems.append(nothing_to_stand_on(rule, profile.gpus))
        for one in ones:
            other = taken.setdefault(one.where, rule)
            problems += [_both(rule, other, one.where)] if other is not rule else []
        chosen += ones
    require_none("use this profile here", problems)
    return tuple(chosen)


def pinned(profile: Profile, host: Host) -> Profile:
    """For another boot, when cards may have changed places: beside an address whose it is now.

    Usage where it is nobody's, and nothing else tells who is meant.
    """
    rules: list[Rule] = []
    problems: list[tuple[str, str]] = []
    for rule in profile.gpus:
        select = rule.select
        alone = not (select.model or select.uuid or select.serial)
        device = host.device(select.address) if select.address is not None else None
        if select.address is not None and device is None and alone:
            whoever = f"{rule.name} means whoever has {select.address} one day: nobody has it now"
            problems.append((f"{at(rule.place)}{whoever}", "model: VENDOR:DEVICE in its select"))
        if device is not None and alone:
            serial = device.identity.serial or None  # two cards of one model may change places
            rule = replace(rule, select=replace(select, model=device.ids, serial=serial))
        rules.append(rule)
    require_none("use this profile at boot", problems)
    return replace(profile, gpus=tuple(rules))


def attachments(profile: Profile, chosen: tuple[Chosen, ...], host: Host) -> tuple[Wanted, ...]:
    """Usage with every attachment whose device no rule has chosen; of optional rules they are left out."""
    found: list[Wanted] = []
    problems: list[tuple[str, str]] = []
    by_address = {one.carrier.address: one for one in chosen if not one.path}
    optional = {rule.name for rule in profile.gpus if rule.optional}
    for attachment in profile.attachments:
        there = meant(attachment.device, chosen) or _by_address(attachment, by_address, host)
        if there is not None:
            one, path = nearest(*there, chosen)
            found.append(Wanted(attachment=attachment, chosen=one, path=path))
        elif attachment.device.partition("/")[0] not in optional:
            known = ", ".join(one.name for one in chosen) or "none"
            problems.append(
                (
                    f"{at(attachment.place)}no rule has chosen {attachment.device}, "
                    f"wanted by {attachment.domain}",
                    f"known here: {known}",
                )
            )
    problems += [_kept(want) for want in found if not (want.path or _may_have(want))]
    require_none("use this profile here", problems)
    return tuple(found)


def _may_have(want: Wanted) -> bool:
    """The device itself: for good, or while its domain runs."""
    rule = want.chosen.rule
    return rule.lends_whole or (rule.for_host and want.attachment.at_start)


def _kept(want: Wanted) -> tuple[str, str]:
    """Only to be seen here where the attachment names an address."""
    rule, attachment = want.chosen.rule, want.attachment
    use = f"{rule.name} says use: {rule.use}"
    return f"{at(attachment.place)}{attachment.device} cannot be attached: {use}", "use: passthrough"


def require_none(verb: str, problems: list[tuple[str, str]]) -> None:
    if len(problems) == 1:
        raise Usage(f"cannot {verb}: {problems[0][0]}", problems[0][1] or None)
    if problems:
        raise Usage(f"cannot {verb}: {len(problems)} problems", reasons=tuple(problems))


def _by_address(
    attachment: Attachment, chosen: dict[Address, Chosen], host: Host
) -> tuple[Chosen, tuple[str, ...]] | None:
    """An address in the model's spelling; a VF's belongs to the rule of its PF."""
    address = Address(attachment.device)
    if address in chosen:
        return chosen[address], ()
    device = host.device(address)
    pf = chosen.get(device.physfn) if device is not None and device.physfn is not None else None
    sriov = pf.carrier.facts.sriov if pf is not None and isinstance(pf.carrier, Device) else None
    if device is None or pf is None or sriov is None or device.address not in sriov.vfs:
        return None
    return pf, (vf_part(sriov.vfs.index(device.address)),)


def _near(select: Select, host: Host) -> Iterable[Base]:
    """By what every look knows: address, slot, vendor, class, name."""
    if select.parent is not None:
        return tuple(bus for bus in host.mdev_buses if bus.address == select.parent)
    if select.address is not None:
        devices: Iterable[Device] = host.devices_at((select.address,))
    elif select.on:
        devices = ()
    elif select.slot is not None:
        devices = card_in_slot(host, select.slot)
    else:
        devices = host.devices
    return tuple(device for device in devices if _could_fit(select, device))


def _could_fit(select: Select, device: Device) -> bool:
    if device.is_bridge or device.physfn is not None:
        return False
    named = (select.address, select.slot, select.uuid, select.serial, select.class_)
    if all(part is None for part in named) and not device.is_gpu:
        return False
    return (select.vendor is None or device.vendor == _vendor(select.vendor)) and _class_fits(select, device)


def _fits(select: Select, device: Base, host: Host) -> bool:
    if isinstance(device, MdevBus):
        return select == Select(parent=device.address)
    return (
        (select.uuid is None or _uuid_fits(select, device, host))
        and (select.serial is None or select.serial.lower() in serials_of(device, host))
        and (select.driver is None or select.driver in drivers_of(device, host))
        and (select.model is None or _model_fits(select.model, device, host))
        and (select.part_number is None or _part_fits(select.part_number, device, host))
        and (select.minor is None or minor_of(device, host) == select.minor)
        and (select.mig_capable is None or mig_capable(device, host) is select.mig_capable)
        and (select.numa is None or (device.detail is not None and device.detail.numa_node == select.numa))
    )


def _model_fits(pattern: str, device: Device, host: Host) -> bool:
    names = (device.name, product_of(device, host) or "", device.ids)
    return any(fnmatchcase(text.lower(), pattern.lower()) for text in names)


def _part_fits(pattern: str, device: Device, host: Host) -> bool:
    return fnmatchcase((part_number_of(device, host) or "").lower(), pattern.lower())


def _two_minors(rule: Rule, found: tuple[Base, ...]) -> Iterator[tuple[str, str]]:
    """A number is free for another GPU once gpupass has taken its owner away."""
    if rule.select.minor is not None and len(found) > 1:
        told = " and ".join(one.address for one in found)
        has = f"{told} have had minor {rule.select.minor} one after the other"
        yield f"{at(rule.place)}{rule.name} cannot tell whom it means: {has}", "uuid: GPU-… in its select"


def _vendor(text: str) -> int:
    return Vendor[text.upper()] if text.upper() in Vendor.__members__ else int(text, 16)


def _class_fits(select: Select, device: Device) -> bool:
    if select.class_ is None:
        return True
    text = select.class_.lower()
    if text == _STORAGE:
        return device.is_storage
    if text == _ACCELERATOR:
        return device.is_accelerator
    return f"{device.class_code:06x}".startswith(_CLASSES.get(text, text.removeprefix("0x")))


def _unsaid(rule: Rule, found: Iterable[Base]) -> Iterator[tuple[str, str]]:
    """Profiles are about GPUs: disks are there by a changed address sooner than by intent."""
    for one in found:
        if isinstance(one, Device) and one.is_storage and rule.select.class_ is None and not rule.for_host:
            what = f"{class_words(one.class_code)} ({one.ids})"
            yield (
                f"{at(rule.place)}{rule.name} means {one.address}, which is storage: {what}",
                "class: storage in its select, if that is meant",
            )


def unexpected(one: Chosen) -> Iterator[Finding]:
    """An address or a slot may have become another card's; what is named by itself cannot."""
    device, select = one.carrier, one.rule.select
    placed = (select.address or select.slot) and not (
        select.class_ or select.model or select.uuid or select.serial
    )
    if placed and one.rule.lends_whole and not one.path and isinstance(device, Device) and not device.is_gpu:
        what = f"{class_words(device.class_code)} ({device.name or device.ids})"
        kind = f"{device.class_code >> 8:04x}"
        yield Finding(
            message=f"{device.address} is no GPU: {what}",
            remedy=f"class: '{kind}' in the select of {one.rule.name}, if that is meant",
            fatal=False,
        )


def _too_few(rule: Rule, found: tuple[Base, ...], host: Host) -> tuple[str, str]:
    wish = f"{rule.count} devices" if rule.count is not None else "a device"
    model = rule.select.model
    there = host.device(rule.select.address) if rule.select.address is not None else None
    if there is not None and model is not None and not _model_fits(model, there, host):
        what = f"{there.address} is {there.ids} ({there.name or class_words(there.class_code)}) now"
        return (
            f"{at(rule.place)}{rule.name} wants {model}: {what}",
            "gpupass list --all; cards may have changed their addresses",
        )
    if there is not None and there.physfn is not None:
        return (
            f"{at(rule.place)}{rule.name} means {there.address}, a virtual function of {there.physfn}",
            f"use: sriov of {there.physfn}, and {rule.name}/vfN in the attachments",
        )
    why = "" if found else _nearest(rule.select, host)
    return (
        f"{at(rule.place)}{rule.name} wants {wish}, this host has {len(found) or 'none'} that match{why}",
        "gpupass list --all; or optional: true",
    )


def _nearest(select: Select, host: Host) -> str:
    """Which conditions failed on the device that meets the most; "" where its one name is nobody's."""
    names = (select.address, select.uuid, select.serial, select.slot, select.parent, select.minor)
    others = (select.vendor, select.model, select.class_, select.numa, select.driver)
    more = (select.part_number, select.mig_capable)
    if any(one is not None for one in names) and all(one is None for one in (*others, *more)):
        return ""
    best: tuple[int, str] | None = None
    for device in host.devices:
        if device.is_bridge or device.physfn is not None:
            continue
        failed = [words for words, met in _conditions(select, device, host) if not met]
        rank = len(failed) + (0 if device.is_gpu else 1)
        if best is None or rank < best[0]:
            best = rank, f"; nearest is {device.address} ({device.name or device.ids}): {', '.join(failed)}"
    return best[1] if best is not None and not best[1].endswith(": ") else ""


def _conditions(select: Select, device: Device, host: Host) -> Iterator[tuple[str, bool]]:
    """("numa is 0, not 1", False) for each that the rule has and a look at the device can tell."""
    told = (
        ("address", select.address, device.address, select.address == device.address),
        ("slot", select.slot, device.slot, select.slot == device.slot),
        (
            "vendor",
            select.vendor,
            f"{device.vendor:04x}",
            select.vendor is None or device.vendor == _vendor(select.vendor),
        ),
        (
            "class",
            select.class_,
            f"{device.class_code:06x}",
            _class_fits(select, device),
        ),
        ("uuid", select.uuid, uuid_of(device, host), _uuid_fits(select, device, host)),
        (
            "serial",
            select.serial,
            ", ".join(serials_of(device, host)) or None,
            select.serial is not None and select.serial.lower() in serials_of(device, host),
        ),
        ("driver", select.driver, device.driver, select.driver in drivers_of(device, host)),
        (
            "model",
            select.model,
            _model(device, host),
            select.model is None or _model_fits(select.model, device, host),
        ),
        (
            "part-number",
            select.part_number,
            part_number_of(device, host),
            select.part_number is None or _part_fits(select.part_number, device, host),
        ),
        ("minor", _text(select.minor), _text(minor_of(device, host)), select.minor == minor_of(device, host)),
        (
            "mig-capable",
            _text(select.mig_capable),
            _text(mig_capable(device, host)) or "not told",
            select.mig_capable is mig_capable(device, host),
        ),
        (
            "numa",
            _text(select.numa),
            _node(device),
            device.detail is not None and device.detail.numa_node == select.numa,
        ),
    )
    return (
        (f"{name} is {has or 'none'}, not {want}", met) for name, want, has, met in told if want is not None
    )


def _node(device: Device) -> str | None:
    return _text(device.detail.numa_node if device.detail is not None else None)


def _model(device: Device, host: Host) -> str:
    """By all its names, where it has several."""
    names = (device.name, product_of(device, host) or "")
    return " or ".join(dict.fromkeys(name for name in names if name)) or device.ids


def _text(value: int | None) -> str | None:
    """As it is written in a profile."""
    return None if value is None else str(value).lower()


def _uuid_fits(select: Select, device: Device, host: Host) -> bool:
    """The beginning of one is enough, as on the command line, when it has eight digits."""
    wanted, has = (select.uuid or "").lower(), (uuid_of(device, host) or "").lower()
    return (has == wanted != "") or (len(wanted) >= len("gpu-12345678") and has.startswith(wanted))


def _not_cut(rule: Rule, carrier: Base) -> Iterator[tuple[str, str]]:
    cannot = why_not(rule, carrier)
    if cannot is not None:
        yield f"{at(rule.place)}{rule.name}: {cannot.message}", cannot.remedy


def why_not(rule: Rule, carrier: Carrier) -> Finding | None:
    """What its way can neither cut nor have whole."""
    kind = kind_of(carrier)
    if any(method.rule is type(rule) for method in takers(carrier)):
        return None
    ways = " or ".join(f"use: {method.tag}" for method in takers(carrier))
    return Finding(message=f"use: {rule.use} cannot cut {carrier.address}, a {kind}", remedy=ways)


def _both(rule: Rule, other: Rule, where: Name) -> tuple[str, str]:
    remedy = f"{at(other.place)}the other one; select more narrowly in one of them"
    return f"{at(rule.place)}{rule.name} and {other.name} both claim {where}", remedy


def names_of(chosen: Iterable[Chosen], host: Host) -> Iterator[tuple[str, Name]]:
    """Every name that a person may type for what is chosen, or for one of its VFs."""
    for one in chosen:
        carrier = carrier_at(host, one.carrier, one.path)
        if carrier is not None:
            yield one.name, carrier.address
        detail = carrier.detail if isinstance(carrier, Device) else None
        sriov = detail.sriov if detail is not None else None
        for number, vf in enumerate(sriov.vfs if sriov is not None else ()):
            yield f"{one.name}/{vf_part(number)}", vf
