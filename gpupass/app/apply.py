"""The apply of a profile: devices in parallel, each an operation of its own, verified by a fresh look."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from threading import Event

from gpupass.app.cdi import refresh
from gpupass.app.change import Ending, Report, forbid, require_root, settle, told
from gpupass.app.profile import Order, look, plan
from gpupass.engine import journal
from gpupass.engine.journal import Operation
from gpupass.engine.run import execute
from gpupass.errors import GpupassError, Refused, Usage
from gpupass.methods.sriov import vf_address
from gpupass.model.address import Address
from gpupass.model.apply import Apply, ApplyEnd
from gpupass.model.encode import encode
from gpupass.model.host import Device, Host
from gpupass.model.plan import Disruption, Finding, HostPlan, Plan, Step
from gpupass.model.profile import Profile
from gpupass.planner.cuts import changed_with
from gpupass.planner.estimate import gpu_resets
from gpupass.planner.export import export
from gpupass.planner.profile import plan_profile
from gpupass.planner.selection import attachments, choose
from gpupass.planner.slots import slot_of
from gpupass.profiles import write_profile
from gpupass.system import System
from gpupass.system.applies import new_id, read_applies, write_apply
from gpupass.system.locks import hold
from gpupass.system.nvml_library import LIBRARY

_MENDABLE = (Ending.FAILED, Ending.NEEDS_PERSON, Ending.PENDING)
_ROUNDS = 3  # what the first one makes may be what the second one needs to know


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
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
    require_root()
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
            pending = _withdraw(pending, made, profile, host)
        if not plans:
            _mark_taken_back(system, order, ())
            return Applied(reports=(), plan=made)
        entry = _begin(system, profile, order, host, plans)
        try:
            applied = _in_rounds(system, profile, order, Applied(reports=(), plan=made), pending, entry.id)
        except KeyboardInterrupt:
            write_apply(system.state, replace(entry, end=ApplyEnd.INTERRUPTED))
            raise
        write_apply(system.state, replace(entry, end=_end(applied.reports)))
        _mark_taken_back(system, order, applied.reports)
    return applied


def _in_rounds(
    system: System,
    profile: Profile,
    order: Order,
    applied: Applied,
    pending: tuple[Operation, ...],
    apply_id: str,
) -> Applied:
    """Until a fresh look wants nothing more of what is said to be done."""
    reports: dict[str, Report] = {}
    made = applied.plan
    left = todo = allowed(made, order)
    unseen: tuple[Plan, ...] = ()
    for _ in range(_ROUNDS):
        reports |= {report.title: report for report in _run(system, todo, pending, order, apply_id)}
        pending = ()
        try:
            made = plan(system, profile, order)
        except GpupassError as error:
            why = f"done, but cannot be verified: {error.message}"
            return Applied(reports=tuple(_unless_done(r, why) for r in reports.values()), plan=made)
        done = {title for title, report in reports.items() if report.ending is Ending.DONE}
        unseen = tuple(one for one in made.plans if one.title in done and one.refusals)
        left = tuple(one for one in made.to_do if one.title in done)
        todo = tuple(one for one in left if _may_go_on(one, order))
        if not todo and not unseen:
            break
    for one in (*left, *unseen):
        why = (
            f"done, but cannot be verified: {one.refusals[0].message}"
            if one.refusals
            else f"done, but a fresh look still wants {type(one.steps[0]).__name__}"
        )
        reports[one.title] = _unless_done(reports[one.title], why)
    return Applied(reports=tuple(reports.values()), plan=made)


def apply_when_ready(system: System, profile: Profile, order: Order, seconds: float) -> Applied:
    """At boot: again whenever something happens, until nothing is left to wait for or the time is over."""
    require_root()
    deadline = system.monotonic() + seconds
    uri = None if order.devices_only else order.connect
    applied = Applied(reports=(), plan=HostPlan())
    done: dict[str, Report] = {}
    while True:
        happened = system.watch(uri)
        failure: GpupassError | None = None
        try:
            applied = apply_profile(system, profile, order)
            done |= {report.title: report for report in applied.reports}
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


def require_same(shown: HostPlan, made: HostPlan) -> None:
    """Refused, with the first difference, when the host would now be changed in another way."""
    for old, new in zip(shown.plans, made.plans, strict=False):
        if encode(old.steps) != encode(new.steps):
            raise Refused(
                f"cannot apply this plan: the host has changed since in what it touches ({old.title})",
                "gpupass plan: make it anew",
            )
    if len(shown.plans) != len(made.plans):
        raise Refused(
            "cannot apply this plan: the profile now means other devices", "gpupass plan: make it anew"
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


def allowed(made: HostPlan, order: Order) -> tuple[Plan, ...]:
    """The plans to do; Refused when one may not be done, unless the others shall be done nevertheless."""
    plans = made.to_do
    if order.partly:
        return tuple(one for one in plans if _may_go_on(one, order))
    verb = "roll back" if order.takes_back else "apply this profile"
    forbid(verb, made.refusals)
    if made.victims and not order.allow_disruption:
        reasons = tuple((f"{victim.victim} would lose {victim.loses}", "") for victim in made.victims)
        names = ", ".join(dict.fromkeys(victim.victim for victim in made.victims))
        hint = "--allow-disruption, when they may be disrupted"
        raise Refused(f"cannot {verb}: it disrupts {names}", hint, reasons)
    resets = [address for one in plans for address in gpu_resets(one)]
    if resets and not order.allow_reset:
        hint = "--allow-reset, when they may be reset; who uses them: gpupass list"
        raise Refused(f"cannot {verb}: it resets {', '.join(resets)} for another MIG mode", hint)
    return plans


def _may_go_on(plan: Plan, order: Order) -> bool:
    harmless = order.allow_disruption or not any(disruption.at_work for disruption in plan.disruptions)
    return harmless and not plan.refusals and (order.allow_reset or not gpu_resets(plan))


def _begin(system: System, profile: Profile, order: Order, host: Host, plans: tuple[Plan, ...]) -> Apply:
    """Remember how the devices were, before the first of them is touched."""
    touched = {address for plan in plans for address in plan.devices}
    names = {one.device: one.name.replace("/", ".") for one in choose(profile, host)}
    chosen = tuple(device for device in names if device.address in touched)
    entry = Apply(
        id=new_id(system.state, system.now()),
        time=system.now(),
        user=system.user(),
        source=order.source,
        devices=tuple(device.address for device in chosen),
        before=write_profile(export(host, _principals(chosen), names, take_over=True)),
        after=write_profile(profile),
        boot_id=host.boot_id,
        takes_back=order.takes_back,
    )
    write_apply(system.state, entry)
    return entry


def _withdraw(
    pending: tuple[Operation, ...], made: HostPlan, profile: Profile, host: Host
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
            journal.end(operation, "replaced", "by a profile whose attachment stays")
        else:
            left.append(operation)
    return tuple(left)


def _principals(chosen: tuple[Device, ...]) -> Iterable[Device]:
    """GPUs before their companions: a group on VFIO is told by one rule."""
    return sorted(chosen, key=lambda device: (not device.is_gpu, device.address))


def _run(
    system: System, plans: tuple[Plan, ...], pending: tuple[Operation, ...], order: Order, apply_id: str
) -> tuple[Report, ...]:
    """Each plan in an operation of its own; steps of one in order, several at a time.

    An interruption takes back what is at work, before its next step.
    """
    interrupted = Event()

    def watching(plan: Plan, step: Step) -> None:
        if interrupted.is_set():
            raise GpupassError("interrupted")
        order.on_step(plan.title, step)

    def one(plan: Plan) -> Report:
        report = Report(title=plan.title, ending=Ending.DONE, plan=plan)
        replaced = tuple(operation for operation in pending if set(operation.devices) & set(plan.devices))
        try:
            deadline = system.monotonic() + order.timeout
            on_step = partial(watching, plan)
            return told(report, execute(plan, system, deadline, replaced, apply_id, on_step))
        except GpupassError as error:
            return replace(report, ending=Ending.FAILED, note=error.message)

    if order.workers == 1 or len(plans) <= 1:
        return tuple(one(plan) for plan in plans)
    with ThreadPoolExecutor(max_workers=min(order.workers, len(plans))) as pool:
        try:
            return tuple(pool.map(one, plans))
        except KeyboardInterrupt:
            interrupted.set()
            raise


def _unless_done(report: Report, why: str) -> Report:
    return replace(report, ending=Ending.NEEDS_PERSON, note=why) if report.ending is Ending.DONE else report


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
    for entry in read_applies(system.state):
        if entry.id == order.takes_back:
            write_apply(system.state, replace(entry, end=ApplyEnd.TAKEN_BACK))
