"""What must fit together within a profile and needs no host to be seen."""

import re

from gpupass.model.address import parse_address
from gpupass.model.profile import PART, Place, Rule
from gpupass.profiles.findings import Findings, nearest, quoted
from gpupass.profiles.written import Part

_DEVICE = re.compile(rf"(?P<name>[^/]+)(/(?P<nth>[0-9]{{1,9}}))?(/(?P<part>(?![0-9]+$){PART}(/{PART})*))?")
_LIBVIRT = re.compile(r"pci_[0-9a-fA-F]{4}_[0-9a-fA-F]{2}_[0-9a-fA-F]{2}_[0-7]")
Identity = tuple[str, int, str]


def check_rules(rules: tuple[Part, ...], findings: Findings) -> None:
    """Each rule in itself, and names used once."""
    first: dict[str, Place] = {}
    for rule in rules:
        name = rule.get("name")
        if name in first:
            message = f"the name '{name}' is used twice: first at {first[name]}"
            findings.add(rule.where("name"), message)
        elif name is not None:
            first[name] = rule.where("name")
            if _LIBVIRT.fullmatch(name):
                findings.add(rule.where("name"), f"name: '{name}' looks like a PCI address")
        for part, message in _kind(rule).mistakes(rule):
            findings.add(part.place, message)


def check_standing(rules: tuple[Part, ...], findings: Findings) -> None:
    """Rules about slots of others: these are there, and no rule stands on itself in the end."""
    named = {rule.get("name"): rule for rule in rules if rule.get("name") is not None}
    for rule in rules:
        on = _stands_on(rule)
        if not on:
            continue
        select = rule.get("select")
        place = select.where("slot")
        if len(select.fields) > 1:
            findings.add(place, f"slot: {quoted(select.get('slot'))} says all: no other condition beside it")
        if on[0] not in named:
            near = nearest(on[0], {name: name for name in named})
            findings.add(place, f"slot: no rule has the name {quoted(on[0])}{near}")
        elif len(circle := _circle(rule, named)) > 1 and circle[-1] == circle[0]:
            findings.add(place, f"slot: {quoted(circle[0])} stands on itself: {' → '.join(circle)}")


def _circle(rule: Part, named: dict[str, Part]) -> list[str]:
    """The names on the way down, until one comes again."""
    names = {rule.get("name") or "": rule}
    while on := _stands_on(rule):
        if on[0] in names or on[0] not in named:
            return [*names, on[0]]
        rule = names[on[0]] = named[on[0]]
    return [*names]


def _stands_on(rule: Part) -> tuple[str, ...]:
    select = rule.get("select")
    slot = select.get("slot") if select is not None else None
    return tuple(slot.split("/")) if slot is not None and "/" in slot else ()


def check_attachments(attachments: tuple[Part, ...], rules: tuple[Part, ...], findings: Findings) -> None:
    """Each attachment names something that can be attached, and a device goes to one domain."""
    named = {rule.get("name"): rule for rule in rules if rule.get("name") is not None}
    named |= {"/".join(on): rule for rule in rules if (on := _stands_on(rule))}
    taken: dict[Identity, list[Part]] = {}
    for attachment in attachments:
        device = attachment.get("device")
        if device is None or not _can_be_attached(attachment, named, findings):
            continue
        first = taken.setdefault(_identity(device, named), [])
        others = [one for one in first if not _in_line(one, attachment)]
        if others:
            _report_twice(attachment, others[0], findings)
        first.append(attachment)


def _in_line(one: Part, other: Part) -> bool:
    """Several domains may be promised a device: of those that run the first has it."""
    promised = all(part.get("at_start") for part in (one, other))
    return promised and one.get("domain") != other.get("domain")


def _can_be_attached(attachment: Part, named: dict[str, Part], findings: Findings) -> bool:
    device, place = attachment.get("device"), attachment.where("device")
    if parse_address(device) is not None:
        return True
    match = _DEVICE.fullmatch(device)
    if match is None:
        remedy = "NAME, NAME/vf0, NAME/TYPE-0, NAME/1, or a PCI address"
        findings.add(place, f"device: {quoted(device)} is no name of a device", remedy)
        return False
    rule = named.get(match["name"])
    if rule is None:
        near = nearest(match["name"], {name: name for name in named if "/" not in name})
        findings.add(place, f"no rule has the name {quoted(match['name'])}{near}")
        return False
    rule, nth, part = _whose(rule, match["nth"], match["part"] or "", named)
    between = bool(attachment.get("at_start")) and _kind(rule).for_host and not part
    why = "" if between else _why_not(rule, nth, part)
    if why:
        findings.add(place, f"{quoted(device)} cannot be attached: {why}")
    return not why


def _whose(rule: Part, nth: str | None, part: str, named: dict[str, Part]) -> tuple[Part, str | None, str]:
    """A slot that has a rule of its own is that rule's."""
    words = part.split("/") if part else []
    for number in range(len(words), 0, -1):
        way = "/".join((rule.get("name"), *([nth] if nth is not None else []), *words[:number]))
        if way in named:
            return _whose(named[way], None, "/".join(words[number:]), named)
    return rule, nth, part


def _why_not(rule: Part, nth: str | None, part: str) -> str:
    kind, count = _kind(rule), rule.get("count")
    if nth is not None and count is not None and int(nth) >= count and not kind.for_host:
        return f"'{rule.get('name')}' takes {count}, counted from 0"
    return kind.why_not_lent(rule, part)


def _kind(rule: Part) -> type[Rule]:
    return rule.kind if issubclass(rule.kind, Rule) else Rule


def _identity(device: str, named: dict[str, Part]) -> Identity:
    """Equal for names of the same device: `gpu` and `gpu/0`, and the address it is selected by."""
    address = parse_address(device)
    if address is not None:
        return address, 0, ""
    match = _DEVICE.fullmatch(device)
    assert match is not None
    if match["name"] not in named:
        return match["name"], int(match["nth"] or 0), match["part"] or ""
    rule, nth, part = _whose(named[match["name"]], match["nth"], match["part"] or "", named)
    select = rule.get("select")
    address = select.get("address") if select is not None else None
    return address or rule.get("name"), int(nth or 0), part


def _report_twice(attachment: Part, first: Part, findings: Findings) -> None:
    device, domain = quoted(attachment.get("device")), attachment.get("domain")
    if domain == first.get("domain"):
        message = f"{device} is attached twice: first at {first.place}"
    else:
        message = (
            f"{device} is attached to two domains: to {quoted(first.get('domain') or '?')} at {first.place}"
        )
    findings.add(attachment.where("device"), message)


def device_of(attachment: Part) -> Identity | None:
    """Equal for attachments of one device, as far as can be told from their texts alone."""
    device = attachment.get("device")
    known = device is not None and (parse_address(device) is not None or _DEVICE.fullmatch(device))
    return _identity(device, {}) if known else None
