"""nova.conf: PCI devices and mediated devices (openstack/nova, nova/conf/pci.py and nova/conf/devices.py)."""

import json
from collections.abc import Iterable, Iterator

from gpupass.exporting.handed import Handed, Left, Written, by_kind, is_function, names_of, remarks, slug
from gpupass.model.address import Address
from gpupass.model.slot import SlotKind

_HEAD = """\
# For nova.conf: [pci] device_spec and [devices] of nova-compute on this host; [pci] alias of nova-api, too.
# A flavor asks for them: pci_passthrough:alias=NAME:1, or resources:VGPU=1.
"""
_PLACEMENT = (
    "# several sizes have the same numbers, so this takes [pci] report_in_placement "
    "and [filter_scheduler] pci_in_placement"
)


def write_nova(handed: tuple[Handed, ...], left: tuple[Left, ...]) -> Written:
    functions, far = _addressable([one for one in handed if is_function(one)])
    mediated, mixed = _one_type_each([one for one in handed if not is_function(one)])
    left = (*left, *far, *mixed)
    lines = [*_pci(functions), *_mdevs(mediated), *remarks((*functions, *mediated), left)]
    return Written(text=_HEAD + "".join(f"{line}\n" for line in lines), left=left)


def _pci(functions: list[Handed]) -> Iterator[str]:
    if not functions:
        return
    names = names_of(functions, lambda one: slug(one.called))
    alike: dict[tuple[str, str], set[str]] = {}
    for one in functions:
        alike.setdefault((one.device.ids, _device_type(one)), set()).add(names[one.kind])
    yield "[pci]"
    if any(len(found) > 1 for found in alike.values()):
        yield _PLACEMENT
    for kind, ones in by_kind(functions).items():
        several = len(alike[ones[0].device.ids, _device_type(ones[0])]) > 1
        numbers = {"vendor_id": f"{ones[0].device.vendor:04x}", "product_id": f"{ones[0].device.device:04x}"}
        own = {"resource_class": f"CUSTOM_{names[kind].upper().replace('-', '_')}"} if several else {}
        for one in ones:
            # nova and libvirt leave it on the driver that it has for guests
            managed = {"managed": "no"} if one.device.on_vfio else {}
            yield f"device_spec = {json.dumps({'address': one.device.address, **numbers, **managed, **own})}"
        alias = {"name": names[kind], **(own or numbers), "device_type": _device_type(ones[0])}
        yield f"alias = {json.dumps(alias)}"
    yield ""


def _device_type(one: Handed) -> str:
    """A function that could have VFs is nova's type-PF, also without any."""
    if one.slot.kind is not SlotKind.FUNCTION:
        return "type-VF"
    sriov = one.device.facts.sriov
    return "type-PF" if sriov is not None and sriov.total else "type-PCI"


def _addressable(functions: Iterable[Handed]) -> tuple[list[Handed], list[Left]]:
    """nova takes PCI domains up to ffff."""
    kept: list[Handed] = []
    left: list[Left] = []
    for one in functions:
        if len(one.device.address.partition(":")[0]) > 4:
            left.append(Left(what=one.slot.name, why="nova knows PCI domains up to ffff only"))
        else:
            kept.append(one)
    return kept, left


def _one_type_each(mediated: Iterable[Handed]) -> tuple[list[Handed], list[Left]]:
    """nova-compute does not start where a device is named for two types."""
    types: dict[Address, set[str]] = {}
    mediated = [*mediated]
    for one in mediated:
        types.setdefault(one.device.address, set()).add(_type(one))
    left = [
        Left(what=one.slot.name, why=f"nova makes one type of each device: {', '.join(sorted(types[at]))}")
        for one in mediated
        if len(types[at := one.device.address]) > 1
    ]
    return [one for one in mediated if len(types[one.device.address]) == 1], left


def _mdevs(mediated: list[Handed]) -> Iterator[str]:
    if not mediated:
        return
    counts: dict[str, dict[Address, int]] = {}
    for one in mediated:
        parents = counts.setdefault(_type(one), {})
        parents[one.device.address] = parents.get(one.device.address, 0) + 1
    yield "[devices]"
    yield f"enabled_mdev_types = {', '.join(counts)}"
    yield ""
    for kind, parents in counts.items():
        yield f"[mdev_{kind}]"
        yield f"device_addresses = {','.join(parents)}"
        if len(set(parents.values())) == 1:
            yield f"max_instances = {next(iter(parents.values()))}"
        else:
            each = ", ".join(f"{number} on {address}" for address, number in parents.items())
            yield f"# nova has one max_instances for all of them: {each}"
        yield ""


def _type(one: Handed) -> str:
    return one.mdev_type[0] if one.mdev_type is not None else ""
