"""What a crash, a reboot or an unwilling guest left open; and the quarantine, which only a person ends."""

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from gpupass.app.change import (
    QEMU,
    SETTLE_SECONDS,
    Ending,
    Report,
    group_addresses,
    require_libvirt,
    require_ready,
    require_root,
    told,
    with_bridges_above,
)
from gpupass.engine import journal
from gpupass.engine.journal import Operation
from gpupass.engine.run import execute, resume
from gpupass.errors import Busy, Damaged, GpupassError, Refused
from gpupass.lending import handover
from gpupass.model.address import BOOT, Address, parse_address
from gpupass.model.apply import ApplyEnd
from gpupass.model.host import Device
from gpupass.model.record import Record, RecordKind
from gpupass.observe import observe
from gpupass.plan import Plan
from gpupass.planner.slots import slots_of
from gpupass.planner.unknown import quarantines
from gpupass.store import store_of
from gpupass.store.applies import read_applies, write_apply
from gpupass.store.marks import forget, read_mark, read_marks
from gpupass.system import System
from gpupass.system.locks import hold


def unfinished(system: System) -> tuple[Operation, ...]:
    """What `recover` would take to its end."""
    return journal.open_operations(store_of(system))


def recover(system: System, *, connect: str = QEMU, wait: bool = False) -> tuple[Report, ...]:
    """Take every crashed or pending operation to its end, then clean what guests left behind without us."""
    require_ready(system)
    deadline = math.inf if wait else system.monotonic()
    reports = [_recover_one(system, operation, deadline) for operation in unfinished(system)]
    _close_applies(system)
    return (*reports, *_clean_leftovers(system, connect, deadline))


def start_anew(system: System, connect: str = QEMU) -> tuple[Path, tuple[Record, ...]]:
    """Set a store aside that cannot be believed; what is not provably idle is quarantined in a new one."""
    from gpupass.store import anew

    require_root()
    store = store_of(system)
    try:
        store.require_sound()
        _ = (
            unfinished(system),
            read_marks(store),
            read_applies(store),
        )  # a row can be whole and mean nothing
    except Damaged as error:
        host = observe(system, connect=connect, records=False)
        at_work = {Address(name) for devices in store.last_known().values() for name in devices}
        lost = f"gpupass has lost its memory ({error.why})"
        known = quarantines(host, at_work - {BOOT}, lost, system.now())
        return anew.start_anew(store, known), known
    raise Refused("cannot forget what gpupass remembers: it is whole", "gpupass recover")


def quarantine_clear(system: System, device: str) -> Report:
    """A person says the device may be used again."""
    require_ready(system)
    typed = parse_address(device)
    known = {record.address for record in quarantined(system)}  # it may have fallen off the bus since
    address = typed if typed is not None and typed in known else group_addresses(system, device)[0]
    record = read_mark(store_of(system), RecordKind.QUARANTINE, address)
    plan = Plan(title=f"clear the quarantine of {address}")
    if record is None:
        return Report(title=plan.title, ending=Ending.NOTHING, plan=plan)
    with hold(system.state, (address,)):
        forget(store_of(system), (RecordKind.QUARANTINE, address, ""))
    return Report(title=plan.title, ending=Ending.DONE, plan=plan, note=f"it was: {record.why}")


def quarantined(system: System) -> tuple[Record, ...]:
    """Every device nobody gets at present."""
    return tuple(record for record in read_marks(store_of(system)) if record.kind is RecordKind.QUARANTINE)


def _close_applies(system: System) -> None:
    """Applies that were killed: nobody holds their devices, and none of their operations is open."""
    going_on = {operation.apply for operation in unfinished(system)}
    for entry in read_applies(store_of(system)):
        if entry.end is ApplyEnd.RUNNING and entry.id not in going_on:
            with suppress(Busy), hold(system.state, entry.devices, wait=0.0):
                write_apply(store_of(system), replace(entry, end=ApplyEnd.INTERRUPTED))


def _recover_one(system: System, operation: Operation, deadline: float) -> Report:
    """One that cannot be ended now must not keep the others from it."""
    plan = Plan(title=operation.title, steps=operation.steps, devices=operation.devices)
    report, store = Report(title=operation.title, ending=Ending.DONE, plan=plan), store_of(system)
    try:
        with hold(system.state, operation.devices, wait=0.0):
            fresh = journal.read(store, operation.id)
            if fresh is None:
                return replace(report, note="ended by another gpupass")
            if fresh.ended_by_reboot(system.boot_id()):
                journal.end(store, fresh, "reboot")
                return replace(report, ending=Ending.ROLLED_BACK, note="the host has been rebooted since")
            patience = 0.0 if fresh.pending is not None else SETTLE_SECONDS
            return told(report, resume(fresh, system, max(deadline, system.monotonic() + patience)))
    except Busy as busy:
        return replace(report, ending=Ending.BUSY, note=busy.message)
    except GpupassError as error:
        return replace(report, ending=Ending.FAILED, note=error.message)


def _clean_leftovers(system: System, connect: str, deadline: float) -> Iterator[Report]:
    """Devices claimed by a domain that no longer has them: stopped, crashed, or detached by somebody else."""
    claims = [record for record in read_marks(store_of(system)) if record.kind is RecordKind.CLAIM]
    if not claims:
        return
    addresses = {record.address for record in claims if record.mdev is not None}
    host = observe(
        system,
        detail=lambda host: addresses & {device.address for device in host.devices},
        connect=None,
        processes=False,
        essentials=False,
    )
    seen: set[str] = set()
    for record in claims:
        device = host.device(record.address)
        if device is None or _mdev_is_gone(device, record):
            yield _forget_vanished(system, record)
            continue
        group = tuple(member.address for member in host.group_of(device))
        if (record.mdev or record.address) in seen:
            continue
        seen.update((record.mdev,) if record.mdev is not None else group)
        if _is_open(system, group):  # that operation's report says more
            continue
        report = Report(
            title=f"clean {record.mdev or record.address} (was {record.domain}'s)",
            ending=Ending.DONE,
            plan=Plan(title=f"clean {record.mdev or record.address}", devices=group),
        )
        try:
            with hold(system.state, group, wait=0.0):
                cleaned = _clean_leftover(system, report, record.mdev, connect, deadline)
        except Busy as busy:
            cleaned = replace(report, ending=Ending.BUSY, note=busy.message)
        except GpupassError as error:
            cleaned = replace(report, ending=Ending.FAILED, note=error.message)
        if cleaned is not None:
            yield cleaned


def _mdev_is_gone(parent: Device, record: Record) -> bool:
    return record.mdev is not None and all(mdev.uuid != record.mdev for mdev in parent.facts.mdevs)


def _forget_vanished(system: System, record: Record) -> Report:
    """Pulled out or dead: when the slot has a device again, it is another one."""
    title = f"forget {record.mdev or record.address} (was {record.domain}'s)"
    kinds = (RecordKind.CLAIM, RecordKind.ORIGIN if record.mdev is None else RecordKind.MDEV)
    with hold(system.state, (record.address,)):
        forget(store_of(system), *((kind, record.address, record.mdev or "") for kind in kinds))
    plan = Plan(title=title, devices=(record.address,))
    return Report(title=title, ending=Ending.DONE, plan=plan, note="it is gone from the host")


def _clean_leftover(
    system: System, report: Report, mdev: str | None, connect: str, deadline: float
) -> Report | None:
    """Under the lock. None when there is nothing to clean."""
    group = report.plan.devices
    if _is_open(system, group):
        return None
    system.hypervisor(connect)  # its guests live on while libvirt is away: nobody knows then who has what
    host = observe(system, connect=connect, detail=lambda host: with_bridges_above(host, group))
    require_libvirt(host)
    device = host.devices_at(group)[0]
    slot = next((slot for slot in slots_of(host, device) if slot.mdev == mdev), None)
    if slot is None:
        return None
    plan = handover.clean(host, slot)
    if not plan.steps:
        return None
    return told(replace(report, plan=plan), execute(plan, system, deadline))


def _is_open(system: System, devices: tuple[Address, ...]) -> bool:
    return any(set(operation.devices) & set(devices) for operation in unfinished(system))
