"""One trip of every change: lock, settle what an earlier gpupass left, look, plan, check, do, look again."""

import os
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from gpupass.engine import journal
from gpupass.engine.journal import Operation
from gpupass.engine.run import Outcome, Result, execute, resume
from gpupass.errors import GpupassError, NeedsPerson, Pending, Refused
from gpupass.model.address import BOOT, Address, parse_address
from gpupass.model.host import Device, Host
from gpupass.model.slot import Slot
from gpupass.observe import observe
from gpupass.observe.find import find, find_slot
from gpupass.observe.pci import read_group
from gpupass.plan import Finding, Plan
from gpupass.store import store_of
from gpupass.system import System
from gpupass.system.locks import hold

QEMU = "qemu:///system"
SETTLE_SECONDS = 10.0  # for a guest that a crashed gpupass was waiting for


class Ending(StrEnum):
    """What a verb that did not fail came to."""

    DONE = "done"
    NOTHING = "nothing to do"
    PLANNED = "planned"
    ROLLED_BACK = "rolled back"
    PENDING = "pending"
    NEEDS_PERSON = "needs a person"
    BUSY = "at work"
    FAILED = "failed"


class Report(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change, as told to the operator."""

    title: str
    ending: Ending
    plan: Plan
    note: str = ""

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.plan.findings if not finding.fatal)


def told(report: Report, outcome: Outcome) -> Report:
    ending = {
        Result.DONE: Ending.DONE,
        Result.PENDING: Ending.PENDING,
        Result.ROLLED_BACK: Ending.FAILED if outcome.error else Ending.ROLLED_BACK,
        Result.PARTLY: Ending.NEEDS_PERSON,
        Result.NEEDS_PERSON: Ending.NEEDS_PERSON,
    }[outcome.result]
    return replace(report, ending=ending, note=outcome.error.message if outcome.error else report.note)


Planner = Callable[[Host, Device], Plan]
SlotPlanner = Callable[[Host, Slot], Plan]


def change(
    system: System,
    device: str,
    make_plan: Planner,
    *,
    connect: str | None = QEMU,
    timeout: float = 30.0,
    dry_run: bool = False,
    replaces: bool = True,
) -> Report:
    """Lock the group, settle what an earlier gpupass left, look, plan, check, do, look again."""
    group = group_addresses(system, device)

    def plan_now() -> Plan:
        """By address: what `device` named it by may be known only while the host's driver has it."""
        host = _look_around(system, group, connect)
        chosen = host.device(group[0])
        if chosen is None:
            raise GpupassError(f"cannot find {group[0]} any more: it has left the host", "gpupass list --all")
        return make_plan(host, chosen)

    return carry_out(system, group, plan_now, timeout=timeout, dry_run=dry_run, replaces=replaces)


def change_slot(
    system: System,
    name: str,
    make_plan: SlotPlanner,
    *,
    windows: tuple[str, ...] = (),
    connect: str = QEMU,
    timeout: float = 30.0,
    dry_run: bool = False,
) -> Report:
    """The same for a slot: a function, or a part of one."""
    address, called = parse_address(name), None
    group = read_group(system, address) if address is not None else ()
    if not group:
        host = observe(system, connect=None, described=False, processes=False, essentials=False)
        called = find_slot(system, host, name)
        group = _group_of(host, called.device)

    def plan_now() -> Plan:
        host = _look_around(system, group, connect, windows)
        slot = called or find_slot(system, host, name)
        device = host.device(slot.device)
        mdevs = {mdev.uuid for mdev in device.facts.mdevs} if device is not None else set()
        if device is None or (slot.mdev is not None and slot.mdev not in mdevs):
            raise GpupassError(f"cannot find {slot.name} any more: it is gone", "gpupass slots")
        return make_plan(host, slot)

    return carry_out(system, group, plan_now, timeout=timeout, dry_run=dry_run)


def carry_out(
    system: System,
    devices: tuple[Address, ...],
    plan_now: Callable[[], Plan],
    *,
    timeout: float = 30.0,
    dry_run: bool = False,
    replaces: bool = True,
) -> Report:
    """The same for whatever has a plan: `devices` are locked, `plan_now` looks and plans."""
    if dry_run:
        with suppress(Refused):  # an ordinary user may look without what gpupass remembers
            store_of(system).require_readable()
        plan = plan_now()
        refuse(plan)
        ending = Ending.PLANNED if plan.steps else Ending.NOTHING
        return Report(title=plan.title, ending=ending, plan=plan)
    require_ready(system)
    with hold(system.state, devices):
        pending = settle(system, devices, timeout)
        plan = plan_now()
        refuse(plan)
        if not plan.steps:
            note = _withdraw(system, pending, plan) if replaces else ""
            return Report(title=plan.title, ending=Ending.NOTHING, plan=plan, note=note)
        _require_success(execute(plan, system, system.monotonic() + timeout, pending))
        _verify(plan, plan_now)
    return Report(title=plan.title, ending=Ending.DONE, plan=plan)


def _look_around(
    system: System, group: tuple[Address, ...], connect: str | None, windows: tuple[str, ...] = ()
) -> Host:
    """The one full look of a change of these devices."""
    return observe(
        system,
        around=group,
        detail=lambda host: with_bridges_above(host, group),
        connect=connect,
        windows=windows,
        described=False,
    )


def group_addresses(system: System, device: str) -> tuple[Address, ...]:
    """The device first, then the rest of its group; an address needs no look for that."""
    address = parse_address(device)
    group = read_group(system, address) if address is not None else ()
    if group:
        return group
    host = observe(system, connect=None, processes=False, essentials=False, cuts=False)
    return _group_of(host, find(system, host, device).address)


def _group_of(host: Host, address: Address) -> tuple[Address, ...]:
    device = host.devices_at((address,))[0]
    others = (member.address for member in host.group_of(device) if member.address != address)
    return (address, *others)


def with_bridges_above(host: Host, addresses: tuple[Address, ...]) -> set[Address]:
    """What a plan for one group asks about: its members, their VFs, and the ports they hang from."""
    wanted: set[Address] = set()
    todo = [*addresses, *(device.address for device in host.devices if device.physfn in addresses)]
    while todo:
        device = host.device(todo.pop())
        if device is not None and device.address not in wanted:
            wanted.add(device.address)
            todo += [device.parent] if device.parent else []
    return wanted


def _verify(plan: Plan, plan_now: Callable[[], Plan]) -> None:
    try:
        left = plan_now().steps
    except GpupassError as error:
        raise NeedsPerson(
            f"cannot verify: {plan.title}: done, but then: {error.message}", error.hint
        ) from None
    if left:
        raise NeedsPerson(
            f"cannot verify: {plan.title}: a fresh look still wants {type(left[0]).__name__}",
            "ls -lt /etc" if plan.devices[0] == BOOT else f"gpupass show {plan.devices[0]}",
        )


def _withdraw(system: System, pending: tuple[Operation, ...], plan: Plan) -> str:
    """The new order is what is so already; what the guest was asked for before cannot be unsaid."""
    for operation in pending:
        journal.end(store_of(system), operation, "replaced", f"by: {plan.title}")
    if not pending:
        return ""
    return f"no longer wanted: {pending[-1].title}; but its guest has been asked and may still let go"


def settle(system: System, devices: tuple[Address, ...], timeout: float) -> tuple[Operation, ...]:
    """End crashed operations on `devices`; the pending ones are returned: a new order replaces them."""
    pending, store = [], store_of(system)
    for operation in journal.open_operations(store):
        if not set(operation.devices) & set(devices):
            continue
        if operation.ended_by_reboot(system.boot_id()):
            journal.end(store, operation, "reboot")
        elif operation.pending is not None:
            pending.append(operation)
        else:
            outcome = resume(operation, system, system.monotonic() + min(timeout, SETTLE_SECONDS))
            if outcome.result is Result.PENDING:
                pending.append(outcome.operation)
            elif outcome.result is Result.NEEDS_PERSON:
                _require_success(outcome)
    return tuple(pending)


def _require_success(outcome: Outcome) -> None:
    if outcome.error is None:
        return
    if isinstance(outcome.error, Pending):
        raise Pending(f"pending: {outcome.operation.title}: {outcome.error.message}", outcome.error.hint)
    raise outcome.error


def refuse(plan: Plan) -> None:
    forbid(plan.title, plan.refusals)


def forbid(title: str, refusals: tuple[Finding, ...]) -> None:
    if len(refusals) == 1:
        raise Refused(f"cannot {title}: {refusals[0].message}", refusals[0].remedy or None)
    if refusals:
        reasons = tuple((finding.message, finding.remedy) for finding in refusals)
        raise Refused(f"cannot {title}: {len(refusals)} reasons", reasons=reasons)


def require_root(hint: str = "run it with sudo; --dry-run needs no root") -> None:
    if os.geteuid() != 0:
        raise Refused("cannot change this host: you are not root", hint)


def require_ready(system: System) -> None:
    """Root, and a store that can be believed: one that cannot tells of nothing, not that nothing is open."""
    require_root()
    store_of(system).require_sound()


def require_libvirt(host: Host) -> None:
    for unseen in host.unseen:
        if unseen.startswith("libvirt:"):
            raise Refused(
                f"cannot tell which domain has what: {unseen.partition(': ')[2]}", "virsh list --all"
            )
