"""The small host around some devices: what a plan for them asks about, and no more; pure."""

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from gpupass.methods import alike
from gpupass.model.address import Address, root_of
from gpupass.model.domain import Domain
from gpupass.model.host import Base, Device, Host
from gpupass.model.mdev import MdevBus

Part = Callable[[Iterable[Base], tuple[Domain, ...]], Host]


def parts_of(host: Host) -> Part:
    """Index the host once; each part then costs as much as its own few devices."""
    below: dict[Address, list[Device]] = {}
    for device in host.devices:
        if device.parent is not None:
            below.setdefault(device.parent, []).append(device)
    marks: dict[Address, list[int]] = {}
    for number, mark in enumerate(host.marks):
        marks.setdefault(root_of(mark.carrier), []).append(number)

    def around(device: Device) -> Iterator[Device]:
        yield from host.group_of(device)
        for vf in host.functions_of(device.address):
            yield from host.group_of(vf)
        for other in alike(host, device):
            yield from host.group_of(other)
            for vf in host.functions_of(other.address):
                yield from host.group_of(vf)

    def part(carriers: Iterable[Base], domains: tuple[Domain, ...]) -> Host:
        both = tuple(carriers)
        buses = tuple(one for one in both if isinstance(one, MdevBus))
        found = {near.address: near for one in both if isinstance(one, Device) for near in around(one)}
        todo = list(found.values())
        while todo:
            parent = todo.pop().parent
            above = host.device(parent) if parent is not None else None
            if above is not None:
                for near in (above, *below.get(above.address, ())):
                    if near.address not in found:
                        found[near.address] = near
                        todo += [near] if near is above else []
        names = (*found, *(bus.address for bus in buses))
        kept = sorted(number for address in names for number in marks.get(address, ()))
        return replace(
            host,
            devices=tuple(sorted(found.values(), key=lambda device: device.address)),
            mdev_buses=buses,
            domains=domains,
            marks=tuple(host.marks[number] for number in kept),
        )

    return part
