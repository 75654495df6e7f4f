"""A host as it is → the profile that asks for nothing else; pure."""

from collections.abc import Iterable, Iterator, Mapping

from gpupass.lending.handover import holder
from gpupass.methods import METHODS, slots_of
from gpupass.model.address import Address, is_pci
from gpupass.model.host import Device, Host
from gpupass.model.profile import Attachment, Profile, Rule, Select


def worth_telling(host: Host, cuttable: bool = False) -> tuple[Device, ...]:
    """GPUs and accelerators, and whatever else is lent, cut or remembered as gpupass's.

    With `cuttable` parents of mediated devices that have none, too.
    """
    remembered = {mark.carrier for mark in host.marks}
    lent = {hostdev.address for domain in host.domains for hostdev in domain.live}
    cut = {device.physfn for device in host.devices if device.physfn is not None}
    return tuple(
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


def export(
    host: Host, devices: Iterable[Device], names: Mapping[Device, str] | None = None, take_over: bool = False
) -> Profile:
    """One rule per device, called by its name if it has one; none where it cannot be seen how it is cut.

    Companions of a GPU's IOMMU group come with its rule and need none.
    """
    rules: list[Rule] = []
    attachments: list[Attachment] = []
    spoken_for: set[Address] = set()
    for device in devices:
        if device.address in spoken_for or any(method.unseen(host, device) for method in METHODS):
            continue
        name = (names or {}).get(device) or f"{'gpu' if device.is_gpu else 'device'}{len(rules)}"
        rule = _rule(host, device, name, take_over)
        rules.append(rule)
        if device.on_vfio:
            spoken_for.update(member.address for member in host.group_of(device))
        attachments += _attachments(host, device, rule)
    return Profile(gpus=tuple(rules), attachments=tuple(attachments))


def _rule(host: Host, device: Device, name: str, take_over: bool) -> Rule:
    """What the last way says, knowing of those before it, asks for all of it."""
    shell = Rule(name=name, select=_select(device), take_over=take_over)
    found: tuple[Rule, ...] = ()
    for method in METHODS:
        rule = method.export(host, device, shell, found)
        found = (*found, rule) if rule is not None else found
    return found[-1]


def _select(device: Device) -> Select:
    """By what stays when cards change places, where the device has such a name."""
    nvidia = device.facts.nvidia
    if nvidia is not None:
        return Select(uuid=nvidia.uuid)
    return Select(address=device.address) if is_pci(device.address) else Select(parent=device.address)


def _attachments(host: Host, device: Device, rule: Rule) -> Iterator[Attachment]:
    """Slots that the rule has no name for, because others made them, are left alone."""
    for slot in slots_of(host, device):
        owner = holder(host, slot) if slot.part or device.on_vfio else None
        if owner is not None and rule.names(slot.part):
            called = f"{rule.name}/{slot.part}" if slot.part else rule.name
            yield Attachment(domain=owner.name, device=called)


def made_elsewhere(host: Host, devices: Iterable[Device]) -> Iterator[str]:
    """What others made and a profile therefore leaves alone."""
    return (told for device in devices for method in METHODS for told in method.foreign(host, device))
