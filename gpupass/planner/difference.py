"""What a plan makes of devices, in the facts that profiles speak of; pure, of hosts seen or imagined.

A fact is told where it is known. What only the next driver tells is no difference: nobody has changed it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gpupass.devices.conditions import promised_to
from gpupass.lending.lender import whole
from gpupass.lending.options import options_of
from gpupass.model.address import Address
from gpupass.model.host import Detail, Device, Host
from gpupass.model.mdev import Mediated
from gpupass.model.mig import GpuInstance
from gpupass.plan import Plan
from gpupass.planner.draft import imagine

Facts = Mapping[str, Mapping[str, Any]]  # by device or file: each by its name


class Difference(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts that differ, by device; null before or after: it is not there then."""

    before: dict[str, dict[str, Any] | None] = {}
    after: dict[str, dict[str, Any] | None] = {}


SAME = Difference()


def difference(before: Facts, after: Facts) -> Difference:
    """Of what is known afterwards; sorted."""
    had: dict[str, dict[str, Any] | None] = {}
    has: dict[str, dict[str, Any] | None] = {}
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        words = sorted(new if new is not None else old or ())
        other = [word for word in words if _said(old, word) != _said(new, word)]
        if other or (old is None) != (new is None):
            had[name] = {word: old.get(word) for word in other} if old is not None else None
            has[name] = {word: new[word] for word in other} if new is not None else None
    return Difference(before=had, after=has)


def _said(facts: Mapping[str, Any] | None, word: str) -> Any:
    """Of what comes or goes nothing is told that it has not."""
    value = facts.get(word) if facts is not None else None
    return None if value in ("", [], {}) else value


def come_about(foreseen: Difference, now: Facts) -> Difference:
    """What of a foreseen difference is so `now`."""
    here = {
        name: {word: now[name].get(word) for word in foreseen.after[name] or foreseen.before[name] or ()}
        for name in foreseen.after
        if name in now
    }
    had = {name: facts for name, facts in foreseen.before.items() if facts is not None}
    return difference(had, here)


def together(earlier: Difference, later: Difference) -> Difference:
    """One after the other."""
    had = _facts(later.before, earlier.before)
    has = _facts(earlier.after, later.after)
    return difference(had, has)


def facts_after(host: Host, plan: Plan) -> Facts:
    """As they will be when the plan is done."""
    near = tuple(device for device in host.devices if {device.address, device.physfn} & {*plan.devices})
    small = replace(host, devices=near)
    return facts_of(imagine(small, plan.steps), plan.devices)


def facts_of(host: Host, devices: Iterable[Address]) -> Facts:
    """Of those that are there, and the virtual functions of these."""
    wanted = {*devices}
    buses = {
        bus.address: {"mdevs": _mdevs(host, bus.address, bus.detail)}
        for bus in host.mdev_buses
        if bus.detail is not None and bus.address in wanted
    }
    return buses | {
        device.address: dict(_facts_of(host, device, device.detail))
        for device in host.devices
        if device.detail is not None and {device.address, device.physfn} & wanted
    }


def _facts_of(host: Host, device: Device, detail: Detail) -> Iterator[tuple[str, Any]]:
    yield "driver", device.driver
    yield "override", detail.driver_override
    yield "attached-to", _owners(host, device.address)
    yield "promised-to", list(promised_to(host, device.address))
    if detail.sriov is not None:
        yield "vfs", detail.sriov.enabled
        yield "autoprobe", detail.sriov.autoprobe
    yield from _nvidia(detail)
    yield from _parts(host, device, detail)
    yield from _shares(detail)
    yield from _options(host, device, detail)


def _options(host: Host, device: Device, detail: Detail) -> Iterator[tuple[str, Any]]:
    """As attachments say them."""
    with_it = (domain for domain in host.domains if any(one.is_of(device.address) for one in domain.live))
    options = {domain.name: options_of(domain, whole(device)).words for domain in with_it}
    yield "options", {name: words for name, words in options.items() if words}
    yield "reset-method", " ".join(detail.reset_methods)
    yield "bars", {str(bar.index): bar.size for bar in detail.bars if not bar.is_io}
    if device.address in host.links:
        link = host.links[device.address]
        yield "link", {name: link.value(name) for name in link.__struct_fields__}


def _nvidia(detail: Detail) -> Iterator[tuple[str, Any]]:
    cut = detail.nvidia.mig if detail.nvidia is not None else None
    if cut is not None:
        yield "mig", cut.on
        if cut.gpu is not None or not cut.on:
            yield "instances", sorted(map(_instance, cut.gpu.instances if cut.gpu is not None else ()))
    if detail.vgpu is not None and detail.vgpu.told:
        yield "vgpu", detail.vgpu.current
        yield "vgpu-params", detail.vgpu.params
    card = detail.nvidia.vgpu_card if detail.nvidia is not None else None
    if card is not None and card.scheduler is not None:
        yield "scheduler", card.scheduler
    if card is not None and card.mixed is not None:
        yield "mixed", card.mixed


def _instance(one: GpuInstance) -> str:
    """3g.20gb@4: 1c@0, 2c@1; ids and UUIDs are others each time."""
    parts = ", ".join(sorted(part.name for part in one.compute))
    return f"{one.name}: {parts}" if parts else one.name


def _parts(host: Host, device: Device, detail: Detail) -> Iterator[tuple[str, Any]]:
    if detail.mdev_types or detail.mdevs:
        yield "mdevs", _mdevs(host, device.address, detail)
    modes = detail.amd or detail.gim
    if modes is not None and modes.compute:
        yield "compute", modes.compute
    if modes is not None and modes.memory:
        yield "memory", modes.memory


def _mdevs(host: Host, parent: Address, detail: Detail | Mediated) -> dict[str, Any]:
    return {
        one.uuid: {
            "type": one.type,
            "params": one.params,
            "attached-to": _owners(host, parent, one.uuid),
            **({"promised-to": list(line)} if (line := promised_to(host, parent, one.uuid)) else {}),
        }
        for one in detail.mdevs
    }


def _shares(detail: Detail) -> Iterator[tuple[str, Any]]:
    """Of the virtual functions that are there."""
    if detail.intel is None:
        return
    count = detail.sriov.enabled if detail.sriov is not None else 0
    knobs = {
        "quantum": detail.intel.quantum,
        "timeout": detail.intel.timeout,
        "memory-shares": detail.intel.memory,
    }
    for name, knob in knobs.items():
        if knob is not None:
            yield name, {"pf": knob.pf} | {f"vf{number}": knob.value(number) for number in range(count)}


def _owners(host: Host, address: Address, mdev: str | None = None) -> list[str]:
    return sorted(
        domain.name for domain in host.domains if any(one.is_of(address, mdev) for one in domain.live)
    )


def _facts(*said: Mapping[str, dict[str, Any] | None]) -> Facts:
    """All that is said of each that is there, the last word winning."""
    found: dict[str, dict[str, Any]] = {}
    for one in said:
        for name, facts in one.items():
            if facts is not None:
                found[name] = found.get(name, {}) | facts
            else:
                found.pop(name, None)
    return found
