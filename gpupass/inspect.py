"""The reading verbs: one look each, as data. They change nothing."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from gpupass.errors import GpupassError
from gpupass.model.address import Address, Name, parse_address
from gpupass.model.host import Base, Device, Host
from gpupass.observe import nothing, observe
from gpupass.system import Reader, System

if TYPE_CHECKING:
    from gpupass.lending.promises import Told
    from gpupass.model.apply import Apply
    from gpupass.model.domain import Domain
    from gpupass.model.slot import Slot
    from gpupass.model.verdict import Verdict
    from gpupass.observe.recording import Stored
    from gpupass.plan import Finding
    from gpupass.planner.offers import Offer


class Listing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is shown, and the host that it was seen on."""

    host: Host
    devices: tuple[Base, ...]
    conditions: dict[Address, tuple[str, ...]]


class Shown(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One device with the verdict on its group."""

    host: Host
    device: Base
    verdict: "Verdict"
    said: tuple[str, ...] = ()  # what the kernel had said of it; of a record only


class Groups(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """IOMMU groups with their verdicts."""

    host: Host
    verdicts: tuple["Verdict", ...]


class DomainChecked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A domain, and what speaks against plugging something in."""

    domain: "Domain"
    findings: "tuple[Finding, ...]"

    @property
    def usable(self) -> bool:
        return not any(finding.fatal for finding in self.findings)


class Slots(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be given to a domain or a container."""

    host: Host
    offers: tuple["Offer", ...]
    names: dict[Name, str]  # what the last profile calls what they are cut from

    def name(self, slot: "Slot") -> str:
        """As people would type it."""
        of, cut = str(slot.of), ""
        while of not in self.names and "/" in of:
            of, _, part = of.rpartition("/")
            cut = f"/{part}{cut}"
        known = f"{self.names.get(of, of)}{cut}"
        return f"{known}/{slot.part}" if slot.part else known


class Promises(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What domains are promised, and whether the unit that gives it to them runs; None: not seen."""

    host: Host
    promises: tuple["Told", ...]
    listens: bool | None = None


def list_devices(system: Reader, connect: str, all_endpoints: bool) -> Listing:
    def wanted(host: Host) -> tuple[Base, ...]:
        if not all_endpoints:
            return tuple(device for device in host.devices if device.is_gpu)
        return (*(device for device in host.devices if not device.is_bridge), *host.mdev_buses)

    def names(bare: Host) -> Iterable[Address]:
        groups = _groups_of(_anything if all_endpoints else _is_gpu)
        return (*(one.address for one in wanted(bare)), *groups(bare))

    from gpupass.devices.conditions import conditions

    host = observe(system, detail=names, connect=connect)
    pending = _pending(system)
    found = {
        one.address: (
            *(("pending",) if one.address in pending else ()),
            *conditions(host, one, _is_cut, _is_refused),
        )
        for one in wanted(host)
    }
    told = {address: words for address, words in found.items() if words}
    return Listing(host=host, devices=wanted(host), conditions=told)


def _is_cut(host: Host, carrier: Base) -> bool:
    from gpupass.planner.offers import is_cut

    return is_cut(host, carrier)


def _is_refused(host: Host, carrier: Base) -> bool:
    """As `groups` and `show` say it; the ways are asked only where they may have a word in it."""
    from gpupass.devices.conditions import may_have_parts
    from gpupass.devices.verdict import device_verdict

    if not isinstance(carrier, Device):
        return False
    members = host.group_of(carrier)
    plain = all(one.facts.reset_methods and not may_have_parts(one) for one in members if not one.is_bridge)
    if plain or not device_verdict(carrier, host).viable:
        return not device_verdict(carrier, host).viable
    from gpupass.lending.judgement import judged

    return not judged(host, carrier).viable


def _pending(system: Reader) -> frozenset[Address]:
    """What a change that has not ended is about: a guest has not let go yet, or the change was cut off."""
    if not isinstance(system, System) or not system.state.exists():
        return frozenset()
    from gpupass.store import store_of

    at_work = store_of(system).last_known().values()
    return frozenset(Address(name) for devices in at_work for name in devices)


def show_device(system: Reader, text: str, connect: str) -> Shown:
    """An address tells what to look at; any other name is looked for among all devices."""
    from gpupass.lending.judgement import judged_carrier
    from gpupass.planner.find import find

    host = observe(system, detail=_around(text), connect=connect)
    device = find(host, text, _applies(system))
    said = _said(system, device) if system.recorded else ()
    return Shown(host=host, device=device, verdict=judged_carrier(host, device), said=said)


def _said(system: Reader, device: Base) -> tuple[str, ...]:
    from gpupass.observe.said import kernel_said

    lines = kernel_said(system, (device.address,)) or ()
    return tuple(line for line in lines if device.address.rpartition(".")[0].removeprefix("0000:") in line)


def list_groups(system: Reader, connect: str, all_groups: bool) -> Groups:
    """Groups that hold a GPU, or all of them."""
    from gpupass.lending.judgement import judged_group

    wanted = _groups_of(_anything if all_groups else _is_gpu)
    host = observe(system, detail=wanted, connect=connect, cuts=False)
    numbers = [
        number
        for number, members in host.groups.items()
        if all_groups or any(member.is_gpu for member in members)
    ]
    return Groups(host=host, verdicts=tuple(judged_group(host, number) for number in numbers))


def list_slots(system: Reader, text: str | None, connect: str) -> Slots:
    """Everything that a domain or a container can be given; of one device, or of all that are worth it."""
    from gpupass.planner.export import worth_telling
    from gpupass.planner.find import find, profile_names
    from gpupass.planner.offers import offers_of

    host = observe(system, connect=connect)
    applies = _applies(system)
    devices = (find(host, text, applies),) if text is not None else worth_telling(host, cuttable=True)
    offers = tuple(offer for device in devices for offer in offers_of(host, device))
    names: dict[str, str] = {}
    with suppress(GpupassError):  # that they were not seen the host says
        names = {address: name for name, address in profile_names(host, applies).items()}
    return Slots(host=host, offers=offers, names=names)


def list_promises(system: Reader, connect: str) -> Promises:
    """What domains get when they start, and how that stands now."""
    from gpupass.boot.units import PROMISES
    from gpupass.lending.promises import told
    from gpupass.model.mark import Promise
    from gpupass.system.services import is_active

    host = observe(system, connect=connect)
    marks = (mark for mark in host.marks if isinstance(mark, Promise))
    promises = tuple(one for mark in marks for one in told(host, mark, connect))
    listens = is_active(system, PROMISES) if promises and isinstance(system, System) else None
    return Promises(host=host, promises=promises, listens=listens)


def check_domain(system: Reader, name: str, device: str | None, connect: str) -> DomainChecked:
    """Could it be given the device while it runs, and use it? Of one that is off: were it running."""
    from gpupass.lending.handover import attach
    from gpupass.lending.preflight import port_findings, unread_windows
    from gpupass.model.domain import DomainState
    from gpupass.planner.find import domain_called, find_slot

    detail = nothing if device is None else _around(device)
    host = observe(system, detail=detail, connect=connect, windows=(name,))
    domain = domain_called(host, name)
    running = domain if domain.active else replace(domain, state=DomainState.RUNNING)
    if device is None:
        return DomainChecked(domain=domain, findings=(*port_findings(running), *unread_windows(domain)))
    slot = find_slot(host, device, _applies(system))
    awake = replace(host, domains=tuple(running if one.uuid == running.uuid else one for one in host.domains))
    found = attach(awake, running, slot, connect).findings
    return DomainChecked(domain=domain, findings=(*found, *unread_windows(domain)))


def record_host(system: Reader, directory: Path, connect: str) -> "Stored":
    from gpupass.observe.recording import record_host

    return record_host(system, directory, connect)


def _anything(device: Device) -> bool:
    return True


def _is_gpu(device: Device) -> bool:
    return device.is_gpu


def _groups_of(wanted: Callable[[Device], bool]) -> Callable[[Host], Iterable[Address]]:
    return lambda host: (
        member.address for device in host.devices if wanted(device) for member in host.group_of(device)
    )


def _around(text: str) -> Callable[[Host], Iterable[Address]]:
    address = parse_address(text)
    if address is None:
        return lambda host: (carrier.address for carrier in host.carriers)
    return lambda host: (
        *_groups_of(lambda device: device.address == address)(host),
        *_company(host, address),
    )


def _company(host: Host, address: Address) -> Iterable[Address]:
    """What may be one thing with it."""
    from gpupass.methods import alike

    device = host.device(address)
    return (other.address for other in alike(host, device)) if device is not None else ()


def _applies(system: Reader) -> Callable[[], tuple["Apply", ...]]:
    """What the last profile calls its devices is not in a record."""
    from gpupass.store import store_of
    from gpupass.store.applies import read_applies

    return partial(read_applies, store_of(system)) if isinstance(system, System) else tuple
