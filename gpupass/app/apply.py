"""The apply of a profile: devices in parallel, each an operation of its own, verified by a fresh look."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from gpupass.app.cdi import refresh
from gpupass.app.change import Ending, Report, require_ready, settle
from gpupass.app.consent import allowed, require_same
from gpupass.app.profile import Order, look
from gpupass.app.rounds import in_rounds, take_back
from gpupass.engine import journal
from gpupass.engine.journal import Operation
from gpupass.errors import GpupassError, Refused, Usage
from gpupass.methods.amd_ownership import hive_of
from gpupass.model.address import Address
from gpupass.model.apply import Apply, ApplyEnd
from gpupass.model.host import Device, Host, vf_address
from gpupass.model.profile import Profile
from gpupass.plan import Disruption, Finding, HostPlan, Plan
from gpupass.planner.cuts import changed_with
from gpupass.planner.estimate import gpu_resets
from gpupass.planner.export import export
from gpupass.planner.profile import plan_profile
from gpupass.planner.selection import Chosen, attachments, choose
from gpupass.planner.slots import slot_of
from gpupass.profiles import write_profile
from gpupass.store import store_of
from gpupass.store.applies import new_id, read_applies, write_apply
from gpupass.system import System
from gpupass.system.locks import hold
from gpupass.system.nvml_library import LIBRARY

_TRIES = 3
_MENDABLE = (Ending.FAILED, Ending.NEEDS_PERSON, Ending.PENDING)


class Applied(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One report per set of devices, and what has to wait or was left alone."""

    reports: tuple[Report, ...]
    plan: HostPlan
    warnings: tuple[Finding, ...] = ()  # of what containers are told afterwards

    @property
    def done(self) -> bool:
        return not any(report.ending in _MENDABLE for report in self.reports)

    @property
    def spared(self) -> tuple[Disruption, ...]:
        """Who would have lost something by what was therefore left undone."""
        tried = {report.title for report in self.reports}
        return tuple(
            disruption
            for one in self.plan.to_do
            if one.title not in tried
            for disruption in one.disruptions
            if disruption.at_work
        )

    @property
    def unreset(self) -> tuple[Address, ...]:
        """GPUs that were therefore left alone because they would have been reset."""
        tried = {report.title for report in self.reports}
        left = (one for one in self.plan.to_do if one.title not in tried and not one.refusals)
        return tuple(address for one in left for address in gpu_resets(one))


def apply_profile(system: System, profile: Profile, order: Order, shown: HostPlan | None = None) -> Applied:
    """Reach the profile. `shown` is the plan that somebody agreed to: another one is refused.

    A device whose change fails is rolled back; the others reach their goal.
    """
    require_ready(system)
    with LIBRARY.kept():
        applied = _apply(system, profile, order, shown)
        connect = None if order.devices_only else order.connect
        return replace(applied, warnings=refresh(system, profile.containers, connect))


def _apply(system: System, profile: Profile, order: Order, shown: HostPlan | None) -> Applied:
    first = look(system, profile, order)
    devices = _locked(profile, first)
    with hold(system.state, devices):
        pending = settle(system, devices, order.timeout)
        host = look(system, profile, order)
        if not set(_locked(profile, host)) <= set(devices):
            raise Refused("cannot apply: the devices changed while they were looked at", "try again")
        made = plan_profile(profile, host, order.connect, order.devices_only)
        if shown is not None:
            require_same(shown, made)
        plans = allowed(made, order)
        if not order.devices_only:
            pending = _withdraw(system, pending, made, profile, host)
        if not plans:
            _mark_taken_back(system, order, ())
            return Applied(reports=(), plan=made)
        entry = _begin(system, profile, order, host, plans)
        try:
            reports, made = in_rounds(system, profile, order, made, pending, entry.id)
        except KeyboardInterrupt:
            take_back(system, entry.id, GpupassError("interrupted"))
            write_apply(store_of(system), replace(entry, end=ApplyEnd.INTERRUPTED))
            raise
        with suppress(GpupassError):  # the store's disk is full: recover says that it was interrupted
            write_apply(store_of(system), replace(entry, end=_end(reports)))
            _mark_taken_back(system, order, reports)
    return Applied(reports=reports, plan=made)


def apply_when_ready(system: System, profile: Profile, order: Order, seconds: float) -> Applied:
    """At boot: again whenever something happens, until nothing is left to wait for or the time is over.

    Each try of a change may reset a GPU: one that goes on failing is left as it was.
    """
    require_ready(system)
    deadline = system.monotonic() + seconds
    uri = None if order.devices_only else order.connect
    applied = Applied(reports=(), plan=HostPlan())
    done: dict[str, Report] = {}
    failures: Counter[str] = Counter()
    while True:
        happened = system.watch(uri)
        failure: GpupassError | None = None
        try:
            applied = apply_profile(system, profile, order)
            done |= {report.title: report for report in applied.reports}
            failures.update(report.title for report in applied.reports if report.ending is Ending.FAILED)
            order = replace(order, given_up=frozenset(t for t, n in failures.items() if n >= _TRIES))
            if not applied.plan.waits and not applied.plan.refusals and applied.done:
                return replace(applied, reports=tuple(done.values()))
            if applied.reports:
                happened = system.watch(uri)  # what it did itself is no reason to look again at once
        except (Usage, Refused) as error:
            failure = error
        left = deadline - system.monotonic()
        if left <= 0:
            return replace(applied, reports=_at_last(done, failure, order))
        happened(left)


def _at_last(done: dict[str, Report], failure: GpupassError | None, order: Order) -> tuple[Report, ...]:
    """What could not be looked at any more does not hide what was done before."""
    if failure is None:
        return tuple(done.values())
    if not done:
        raise failure
    title = f"apply {order.source} once more"
    return (
        *done.values(),
        Report(title=title, ending=Ending.FAILED, plan=Plan(title=title), note=failure.message),
    )


def _locked(profile: Profile, host: Host) -> tuple[Address, ...]:
    """Everything the profile could touch, VFs to come included."""
    found: dict[Address, None] = {}
    for one in choose(profile, host):
        found |= dict.fromkeys(member.address for member in host.group_of(one.device))
        found |= dict.fromkeys(other.address for other in changed_with(host, one.device, one.rule))
        sriov = one.device.facts.sriov
        for number in range(sriov.total if sriov is not None else 0):
            vf = vf_address(one.device.address, sriov, number) if sriov is not None else None
            found |= {vf: None} if vf is not None else {}
        for vf_there in host.devices_at(sriov.vfs if sriov is not None else ()):
            found |= dict.fromkeys(member.address for member in host.group_of(vf_there))
    return tuple(found)


def _begin(system: System, profile: Profile, order: Order, host: Host, plans: tuple[Plan, ...]) -> Apply:
    """Remember how the devices were, before the first of them is touched."""
    touched = {address for plan in plans for address in plan.devices}
    meant = choose(profile, host)
    names = dict(_along(meant, host))
    names |= {one.device: one.name.replace("/", ".") for one in meant}
    chosen = tuple(device for device in names if device.address in touched)
    entry = Apply(
        id=new_id(store_of(system), system.now()),
        time=system.now(),
        user=system.user(),
        source=order.source,
        devices=tuple(device.address for device in chosen),
        before=write_profile(export(host, _principals(chosen), names, take_over=True)),
        after=write_profile(profile),
        boot_id=host.boot_id,
        takes_back=order.takes_back,
    )
    write_apply(store_of(system), entry)
    return entry


def _along(meant: Iterable[Chosen], host: Host) -> Iterator[tuple[Device, str]]:
    """The rest of a hive, whose GPUs lose their compute mode with the memory mode: by names of their own."""
    for one in meant:
        if one.device.facts.amd is not None:
            for other in hive_of(host, one.device):
                yield other, "hive-" + other.address.replace(":", "-")


def _withdraw(
    system: System, pending: tuple[Operation, ...], made: HostPlan, profile: Profile, host: Host
) -> tuple[Operation, ...]:
    """What is pending and not asked for any more, because its device is to stay with its domain, ends."""
    staying = {
        slot.device
        for want in attachments(profile, choose(profile, host), host)
        if (slot := slot_of(host, want.chosen.device, want.part)) is not None
    }
    changing = {address for plan in made.to_do for address in plan.devices}
    left = []
    for operation in pending:
        if staying.intersection(operation.devices) and not changing.intersection(operation.devices):
            journal.end(store_of(system), operation, "replaced", "by a profile whose attachment stays")
        else:
            left.append(operation)
    return tuple(left)


def _principals(chosen: tuple[Device, ...]) -> Iterable[Device]:
    """GPUs before their companions: a group on VFIO is told by one rule."""
    return sorted(chosen, key=lambda device: (not device.is_gpu, device.address))


def _end(reports: tuple[Report, ...]) -> ApplyEnd:
    endings = {report.ending for report in reports}
    if Ending.NEEDS_PERSON in endings:
        return ApplyEnd.NEEDS_PERSON
    if Ending.FAILED in endings:
        return ApplyEnd.FAILED
    return ApplyEnd.PENDING if Ending.PENDING in endings else ApplyEnd.DONE


def _mark_taken_back(system: System, order: Order, reports: tuple[Report, ...]) -> None:
    if not order.takes_back or _end(reports) is not ApplyEnd.DONE:
        return
    for entry in read_applies(store_of(system)):
        if entry.id == order.takes_back:
            write_apply(store_of(system), replace(entry, end=ApplyEnd.TAKEN_BACK))
