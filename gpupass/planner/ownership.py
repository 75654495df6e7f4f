"""What somebody else has bound, made or attached becomes gpupass's own; pure."""

from collections.abc import Iterator

from gpupass.devices.binding import endpoints, origin_of
from gpupass.lending.claims import adopted
from gpupass.lending.handover import holder
from gpupass.lending.lender import Loan, whole
from gpupass.methods import all_below, slots_of, takers, ways
from gpupass.model.host import Base, Host
from gpupass.model.mark import Mark, Origin
from gpupass.model.slot import Slot
from gpupass.plan import Plan
from gpupass.steps.remember import Remember


def adopt_plan(host: Host, device: Base) -> Plan:
    """Remember as gpupass's own what somebody else has bound, made or attached."""
    marks = dict.fromkeys(_adoptions(host, device))
    steps = tuple(Remember(address=mark.carrier, marks=(mark,), why="adopted") for mark in marks)
    devices = tuple(member.address for member in host.group_of(device))
    return Plan(title=f"adopt {device.address}", steps=steps, devices=devices)


def _adoptions(host: Host, device: Base) -> Iterator[Mark]:
    for method in ways(device):
        yield from method.adopt(host, device)
    for part in all_below(host, device):
        for method in takers(part):
            yield from method.adopt(host, part)
    for function in (*endpoints(host, device), *host.functions_of(device.address)):
        if function.on_vfio and not function.lends_itself and origin_of(host, function) is None:
            driver = function.facts.host_driver
            yield Origin(carrier=function.address, driver=driver, boot_id=host.boot_id)
        yield from _claims(host, whole(function))
    for slot in slots_of(host, device):
        yield from _claims(host, slot)


def _claims(host: Host, slot: Slot) -> Iterator[Mark]:
    owner = holder(host, slot)
    if owner is not None:
        yield from adopted(host, owner, Loan(address=slot.device, mdev=slot.mdev))
