"""The small host around some devices: what a plan for them asks about, and no more; pure."""

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from gpupass.methods import alike
from gpupass.model.address import Address
from gpupass.model.domain import Domain
from gpupass.model.host import Device, Host

Part = Callable[[Iterable[Device], tuple[Domain, ...]], Host]


def parts_of(host: Host) -> Part:
    """Index the host once; each part then costs as much as its own few devices."""
    below: dict[Address, list[Device]] = {}
    for device in host.devices:
        if device.parent is not None:
            below.setdefault(device.parent, []).append(device)
    marks: dict[Address, list[int]] = {}
    for number, mark in enumerate(host.marks):
        marks.setdefault(mark.carrier, []).append(number)

    def around(device: Device) -> Iterator[Device]:
        yield from host.group_of(device)
        for vf in host.functions_of(device.address):
            yield from host.group_of(vf)
        for other in alike(host, device):
            yield from host.group_of(other)
            for vf in host.functions_of(other.address):
                yield from host.group_of(vf)

    def part(devices: Iterable[Device], domains: tuple[Domain, ...]) -> Host:
        found = {near.address: near for device in devices for near in around(device)}
        todo = list(found.values())
        while todo:
            parent = todo.pop().parent
            above = host.device(parent) if parent is not None else None
            if above is not None:
                for near in (above, *below.get(above.address, ())):
                    if near.address not in found:
                        found[near.address] = near
                        todo += [near] if near is above else []
        kept = sorted(number for address in found for number in marks.get(address, ()))
        return replace(
            host,
            devices=tuple(sorted(found.values(), key=lambda device: device.address)),
            domains=domains,
            marks=tuple(host.marks[number] for number in kept),
        )

    return part
