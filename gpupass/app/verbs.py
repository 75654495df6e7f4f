"""One function per verb that changes a device or slot: from names to an intent, and on its trip."""

import re

from msgspec.structs import replace

from gpupass.app.consent import Consent, Patience
from gpupass.app.intents import Adopt, Attach, Bind, Detach, Forget, Intent, Move, Receives, Unbind
from gpupass.app.look import find_slot_named, functions_of_card, group_addresses
from gpupass.app.report import Ending, Report, known
from gpupass.app.rounds import Trip
from gpupass.app.session import Session
from gpupass.app.trip import carry_out, rehearse
from gpupass.devices.binding import VFIO
from gpupass.errors import Pending, Refused, Usage
from gpupass.model.address import Address, parse_address, sysfs
from gpupass.model.domain import QEMU, Manager
from gpupass.model.host import Host, lends
from gpupass.model.mark import Claim
from gpupass.model.options import UNSAID, Options
from gpupass.observe import nothing, observe
from gpupass.observe.pci import read_group
from gpupass.store import store_of
from gpupass.store.marks import read_marks_of
from gpupass.system import Reader, System
from gpupass.system.identity import read_identity

_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def bind(
    system: Reader,
    device: str,
    *,
    driver: str = VFIO,
    agreed: tuple[str, ...] = (),
    allow_boot_display: bool = False,
    stop: tuple[str, ...] = (),
    dry_run: bool = False,
) -> Report:
    """Move the device's IOMMU group to a VFIO driver, or the device alone to any other driver."""
    _require_driver(system, driver)
    with Session(system) as session:
        along = tuple(group_addresses(system, text)[0] for text in agreed)
        group = group_addresses(system, device)
        wanted = Bind(
            group=group, driver=driver, along=along, allow_boot_display=allow_boot_display, stop=stop
        )
        return single(session, wanted, group, dry_run=dry_run)


def adopt(system: Reader, device: str, *, connect: str = QEMU, dry_run: bool = False) -> Report:
    """Treat as gpupass's own what somebody else has bound, made or attached here."""
    with Session(system) as session:
        _require_libvirt(session, connect)
        group = group_addresses(system, device)
        return single(session, Adopt(group=group, connect=connect), group, dry_run=dry_run)


def unbind(system: Reader, device: str, *, dry_run: bool = False) -> Report:
    """Give the device's IOMMU group back to the drivers it had."""
    with Session(system) as session:
        group = group_addresses(system, device)
        return single(session, Unbind(group=group), group, dry_run=dry_run)


def attach(
    system: Reader,
    domain: str,
    slot: str,
    *shown: str,
    connect: str = QEMU,
    timeout: float = 30.0,
    even_of: Manager | None = None,
    stop: tuple[str, ...] = (),
    options: Options = UNSAID,
    disruption: bool = False,
    dry_run: bool = False,
) -> Report:
    """Hand the slot to a running domain; `shown` are others of its group that the guest is to see, too.

    `disruption`: a guest that has it with other options may lose it meanwhile.
    """
    with Session(system) as session:
        return hand_over(
            session,
            Attach,
            domain,
            slot,
            connect,
            timeout,
            dry_run,
            even_of,
            shown,
            stop=stop,
            options=options,
            consent=Consent(disruption=disruption),
        )


def together(system: Reader, slots: tuple[str, ...], functions: bool = False) -> tuple[tuple[str, ...], ...]:
    """Those of one IOMMU group change hands at once; with `functions` each stands for its whole card."""
    found: dict[frozenset[str], dict[str, None]] = {}
    for text in slots:
        group, slot = find_slot_named(system, text)
        if slot is not None and slot.mdev is not None:
            found[frozenset((slot.mdev,))] = {text: None}
            continue
        card = functions_of_card(system, group[0]) if functions else ()
        for address in (group[0], *card):
            members = frozenset(read_group(system, address))
            found.setdefault(members, {})[address] = None
    return tuple(tuple(texts) for texts in found.values())


def detach(
    system: Reader,
    domain: str,
    slot: str,
    *,
    connect: str = QEMU,
    timeout: float = 30.0,
    even_of: Manager | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> Report:
    """Ask the guest for the slot, and see it closed and clean; `force` destroys one that does not follow."""
    with Session(system) as session:
        _require_libvirt(session, connect)
        gone = _left_the_host(system, domain, slot, connect)
        if gone is not None:
            return single(session, gone, gone.group, seconds=timeout, dry_run=dry_run)
        return hand_over(session, Detach, domain, slot, connect, timeout, dry_run, even_of, force=force)


def move(
    system: Reader,
    slot: str,
    target: str,
    *,
    connect: str = QEMU,
    timeout: float = 30.0,
    even_of: Manager | None = None,
    force: bool = False,
    stop: tuple[str, ...] = (),
    options: Options = UNSAID,
    disruption: bool = False,
    dry_run: bool = False,
) -> Report:
    """From whichever domain has the slot to another one, or back to where it was."""
    with Session(system) as session:
        return hand_over(
            session,
            Move,
            target,
            slot,
            connect,
            timeout,
            dry_run,
            even_of,
            force=force,
            stop=stop,
            options=options,
            consent=Consent(disruption=disruption),
        )


def single(
    session: Session,
    intent: Intent,
    devices: tuple[Address, ...],
    *,
    seconds: float = 30.0,
    dry_run: bool = False,
    consent: Consent = Consent(),  # noqa: B008 - frozen
) -> Report:
    """The trip of one plan, or what it would be; an ending that is none is raised."""
    if dry_run:
        rehearsed = rehearse(session, intent, consent)
        (report,) = replace(rehearsed, settled=()).whole
        return replace(report, settled=rehearsed.settled)
    trip = Trip(session=session, intent=intent, consent=consent, patience=Patience(seconds=seconds))
    came = carry_out(trip, devices)
    if not came.reports:
        plan, note = came.plan.plans[0], ""
        if came.withdrawn:
            last = came.withdrawn[-1]
            note = f"no longer wanted: {last}; but its guest has been asked and may still let go"
        return Report(title=plan.title, ending=Ending.NOTHING, plan=plan, note=note, settled=came.settled)
    (report,) = came.reports
    plan = replace(report.plan, findings=(*report.plan.findings, *came.warnings))
    with known(came):
        if isinstance(report.error, Pending):
            raise Pending(f"pending: {report.title}: {report.error.message}", report.error.hint)
        if report.error is not None:
            raise report.error
    return replace(report, plan=plan, settled=came.settled)


def hand_over(
    session: Session,
    intent: type[Receives] | type[Detach],
    domain: str,
    slot: str,
    connect: str,
    timeout: float,
    dry_run: bool,
    even_of: Manager | None,
    shown: tuple[str, ...] = (),
    force: bool = False,
    stop: tuple[str, ...] = (),
    options: Options = UNSAID,
    consent: Consent = Consent(),  # noqa: B008 - frozen
) -> Report:
    system = session.reader
    _require_libvirt(session, connect)
    _require_there(system, slot, connect)
    group, known = find_slot_named(system, slot)
    wanted = intent(
        group=group,
        connect=connect,
        domain=domain,
        called=slot,
        slot=known,
        even_of=even_of,
        force=force,
        stop=stop,
    )
    if isinstance(wanted, Receives):
        also = (find_slot_named(system, text)[0][0] for text in shown)
        wanted = replace(wanted, shown=tuple(also), options=options)
    return single(session, wanted, group, seconds=timeout, dry_run=dry_run, consent=consent)


def _left_the_host(system: Reader, domain: str, text: str, connect: str) -> Forget | None:
    """A function or mediated device that is gone, though the domain has it or is remembered to."""
    address, uuid = parse_address(text), text.strip().lower()
    path = sysfs(address) if address is not None else f"/sys/bus/mdev/devices/{uuid}"
    if address is None and not _UUID.fullmatch(uuid):
        return None
    if system.exists(path):
        return _anothers_now(system, domain, address, connect) if address is not None else None
    mdev = None if address is not None else uuid
    host = _guests(system, connect)
    claims = (mark for mark in host.marks if isinstance(mark, Claim) and mark.part == (mdev or ""))
    theirs = (claim for claim in claims if domain in (claim.domain, claim.uuid))
    claim = next((one for one in theirs if mdev is not None or one.carrier == address), None)
    if claim is not None:
        whose = (claim.carrier, claim.uuid, claim.domain)
    else:
        owner = host.domain(domain)
        if owner is None or address is None or not any(one.is_of(address) for one in owner.live):
            return None
        whose = (address, owner.uuid, owner.name)
    carrier, its_uuid, called = whose
    return Forget(group=(carrier,), connect=connect, domain=its_uuid, called=called, mdev=mdev)


def _anothers_now(system: Reader, domain: str, address: Address, connect: str) -> Forget | None:
    """What was given to the domain has left the host, and another device has its address."""
    now = read_identity(system, address) if isinstance(system, System) else None
    for claim in read_marks_of(store_of(system), Claim) if isinstance(system, System) else ():
        theirs = claim.carrier == address and domain in (claim.domain, claim.uuid)
        if theirs and now is not None and claim.identity is not None and now.contradicts(claim.identity):
            return Forget(group=(address,), connect=connect, domain=claim.uuid, called=claim.domain)
    return None


def _require_there(system: Reader, text: str, connect: str) -> None:
    """Refused where it has left the host and a domain still has it: nobody else can have it so."""
    address = parse_address(text)
    if address is None or system.exists(sysfs(address)):
        return
    for owner in _guests(system, connect).domains:
        if any(one.is_of(address) for one in owner.live):
            gone = f"cannot hand out {address}: it has left the host, and {owner.name} still has it"
            raise Refused(gone, f"gpupass detach {owner.name} {address}")


def _guests(system: Reader, connect: str) -> Host:
    """The domains, and what is remembered of devices that are not there."""
    return observe(
        system,
        around=(),
        connect=connect,
        detail=nothing,
        described=False,
        processes=False,
        essentials=False,
        cuts=False,
    )


def _require_libvirt(session: Session, connect: str) -> None:
    """Refused at once when it is away; of a recorded host it need not be there."""
    if isinstance(session.reader, System):
        session.reader.hypervisor(connect)


def _require_driver(system: Reader, driver: str) -> None:
    """Before the device leaves the driver it has. A VFIO driver is loaded by the plan's first step."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", driver):
        raise Usage(f"cannot bind to {driver!r}: that is no name of a driver", "gpupass bind --help")
    if not lends(driver) and not system.exists(f"/sys/bus/pci/drivers/{driver}"):
        raise Usage(f"cannot bind to {driver}: no PCI driver of that name is loaded", f"modprobe {driver}")
