"""plan, apply, check, export, rollback: the trip of a whole profile, its devices in parallel."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from gpupass.app.change import QEMU, Ending, Report, forbid, require_libvirt, require_root, settle, told
from gpupass.engine import journal
from gpupass.engine.journal import Operation
from gpupass.engine.run import execute
from gpupass.errors import GpupassError, Refused, Usage
from gpupass.hotplug.windows import with_windows
from gpupass.methods.sriov import vf_address
from gpupass.model.address import Address
from gpupass.model.apply import Apply, ApplyEnd
from gpupass.model.encode import encode
from gpupass.model.host import Device, Host
from gpupass.model.plan import HostPlan, Plan, Step
from gpupass.model.profile import Profile
from gpupass.observe import observe
from gpupass.planner.export import export as export_profile
from gpupass.planner.export import made_elsewhere, worth_telling
from gpupass.planner.profile import plan_profile
from gpupass.planner.selection import attachments, candidates, choose
from gpupass.profiles import write_profile
from gpupass.system import System
from gpupass.system.applies import new_id, read_applies, write_apply
from gpupass.system.locks import hold

WORKERS = 8
_MENDABLE = (Ending.FAILED, Ending.NEEDS_PERSON, Ending.PENDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to do with a profile, apart from the profile."""

    source: str = "-"
    connect: str = QEMU
    timeout: float = 60.0  # for guests to let go
    allow_disruption: bool = False
    devices_only: bool = False  # no attachments: libvirt may not run yet
    partly: bool = False  # do what can be done, at boot
    workers: int = WORKERS
    takes_back: str = ""
    on_step: Callable[[str, Step], None] = lambda title, step: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One report per set of devices, and what has to wait or was left alone."""

    reports: tuple[Report, ...]
    plan: HostPlan

    @property
    def done(self) -> bool:
        return not any(report.ending in _MENDABLE for report in self.reports)


def plan(system: System, profile: Profile, order: Order) -> HostPlan:
    """What an apply would do now. Usage when the profile does not fit this host."""
    host = look(system, profile, order)
    return plan_profile(profile, host, order.connect, order.devices_only)


def look(system: System, profile: Profile, order: Order) -> Host:
    """The devices that the profile could mean, all that hangs together with them, and its domains."""
    connect = None if order.devices_only else order.connect  # asking would start libvirt, which waits for us
    host = observe(system, detail=lambda bare: _worth_a_look(profile, bare), connect=connect)
    if profile.attachments and not order.devices_only:
        require_libvirt(host)
    if system.recorded:
        return host
    names = {attachment.domain for attachment in profile.attachments} if not order.devices_only else set()
    domains = (
        with_windows(domain, system.hypervisor(order.connect).query_pci(domain.uuid))
        if domain.active and (domain.name in names or domain.uuid in names)
        else domain
        for domain in host.domains
    )
    return replace(host, domains=tuple(domains))


def apply(system: System, profile: Profile, order: Order, shown: HostPlan | None = None) -> Applied:
    """Reach the profile. `shown` is the plan that somebody agreed to: another one is refused.

    A device whose change fails is rolled back; the others reach their goal.
    """
    require_root()
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
        plans = _allowed(made, order)
        if not order.devices_only:
            pending = _withdraw(pending, made, profile, host)
        if not plans:
            _mark_taken_back(system, order, ())
            return Applied(reports=(), plan=made)
        entry = _begin(system, profile, order, host, plans)
        reports = _run(system, plans, pending, order, entry.id)
        reports = _verified(reports, profile, lambda: plan(system, profile, order))
        write_apply(system.state, replace(entry, end=_end(reports)))
        _mark_taken_back(system, order, reports)
    return Applied(reports=reports, plan=made)


def apply_when_ready(system: System, profile: Profile, order: Order, seconds: float) -> Applied:
    """At boot: again whenever something happens, until nothing is left to wait for or the time is over."""
    deadline = system.monotonic() + seconds
    done: dict[str, Report] = {}
    while True:
        happened = system.watch(None if order.devices_only else order.connect)
        failure: GpupassError | None = None
        try:
            applied = apply(system, profile, order)
            done |= {report.title: report for report in applied.reports}
            if not applied.plan.waits and not applied.plan.refusals and applied.done:
                return replace(applied, reports=tuple(done.values()))
        except (Usage, Refused) as error:
            failure = error
        left = deadline - system.monotonic()
        if left <= 0:
            if failure is not None:
                raise failure
            return replace(applied, reports=tuple(done.values()))
        happened(left)


def export(system: System, connect: str = QEMU) -> tuple[Profile, Host]:
    """A profile of this host as it is."""
    host = observe(system, connect=connect)
    return export_profile(host, worth_telling(host)), host


def foreign(host: Host) -> tuple[str, ...]:
    return tuple(made_elsewhere(host, host.devices))


def last_apply(system: System) -> Apply:
    """The one that `rollback` takes back; Usage when there is none."""
    applies = [a for a in read_applies(system.state) if a.end is not ApplyEnd.TAKEN_BACK and not a.takes_back]
    if not applies:
        raise Usage("cannot roll back: nothing has been applied", "gpupass history")
    return applies[-1]


def history(system: System) -> tuple[tuple[Apply, ...], tuple[Operation, ...]]:
    """Applies, and every operation that is over or open; oldest first."""
    operations = (*journal.ended_operations(system), *journal.open_operations(system))
    return read_applies(system.state), tuple(sorted(operations, key=lambda operation: operation.id))


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


def _worth_a_look(profile: Profile, bare: Host) -> set[Address]:
    """The candidates, their groups and VFs with theirs, and the ports above."""
    chosen = bare.devices_at(candidates(profile, bare))
    pfs = {device.address for device in chosen}
    vfs = tuple(device for device in bare.devices if device.physfn in pfs)
    found = {member.address for device in (*chosen, *vfs) for member in bare.group_of(device)}
    todo = list(found)
    while todo:
        device = bare.device(todo.pop())
        if device is not None and device.parent is not None and device.parent not in found:
            found.add(device.parent)
            todo.append(device.parent)
    return found


def _locked(profile: Profile, host: Host) -> tuple[Address, ...]:
    """Everything the profile could touch, VFs to come included."""
    found: dict[Address, None] = {}
    for one in choose(profile, host):
        found |= dict.fromkeys(member.address for member in host.group_of(one.device))
        sriov = one.device.facts.sriov
        for number in range(sriov.total if sriov is not None else 0):
            vf = vf_address(one.device.address, sriov, number) if sriov is not None else None
            found |= {vf: None} if vf is not None else {}
        for vf_there in host.devices_at(sriov.vfs if sriov is not None else ()):
            found |= dict.fromkeys(member.address for member in host.group_of(vf_there))
    return tuple(found)


def _allowed(made: HostPlan, order: Order) -> tuple[Plan, ...]:
    """The plans to do; Refused when one may not be done, unless the others shall be done nevertheless."""
    plans = made.to_do
    if order.partly:
        return tuple(p for p in plans if not p.refusals and (order.allow_disruption or not _victims(p)))
    forbid("apply this profile", made.refusals)
    if made.victims and not order.allow_disruption:
        reasons = tuple((f"{victim.victim} would lose {victim.loses}", "") for victim in made.victims)
        names = ", ".join(dict.fromkeys(victim.victim for victim in made.victims))
        hint = "--allow-disruption, when they may be disrupted"
        raise Refused(f"cannot apply this profile: it disrupts {names}", hint, reasons)
    return plans


def _victims(plan: Plan) -> bool:
    return any(disruption.at_work for disruption in plan.disruptions)


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
        before=write_profile(export_profile(host, _principals(chosen), names, take_over=True)),
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
    staying = {want.address for want in attachments(profile, choose(profile, host), host)}
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
    """Each plan in an operation of its own; steps of one in order, several at a time."""

    def one(plan: Plan) -> Report:
        report = Report(title=plan.title, ending=Ending.DONE, plan=plan)
        replaced = tuple(operation for operation in pending if set(operation.devices) & set(plan.devices))
        try:
            watching = partial(order.on_step, plan.title)
            return told(
                report,
                execute(plan, system, system.monotonic() + order.timeout, replaced, apply_id, watching),
            )
        except GpupassError as error:
            return replace(report, ending=Ending.FAILED, note=error.message)

    if order.workers == 1 or len(plans) == 1:
        return tuple(one(plan) for plan in plans)
    with ThreadPoolExecutor(max_workers=min(order.workers, len(plans))) as pool:
        return tuple(pool.map(one, plans))


def _verified(
    reports: tuple[Report, ...], profile: Profile, plan_now: Callable[[], HostPlan]
) -> tuple[Report, ...]:
    """A fresh look must want nothing more of what is said to be done."""
    if not any(report.ending is Ending.DONE for report in reports):
        return reports
    try:
        left = {plan.title: plan for plan in plan_now().to_do}
    except GpupassError as error:
        why = f"done, but cannot be verified: {error.message}"
        return tuple(_unless_done(report, why) for report in reports)
    wants = {title: type(plan.steps[0]).__name__ for title, plan in left.items()}
    return tuple(
        _unless_done(report, f"done, but a fresh look still wants {wants[report.title]}")
        if report.title in wants
        else report
        for report in reports
    )


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
