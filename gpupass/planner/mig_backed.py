"""vGPUs on GPU instances: MIG mode and VFs, then the instances, then the types; and back again; pure.

VFs come first: making them binds the card anew, which loses its GPU instances. Compute instances are left
to the guests, who make their own (NVIDIA AI Enterprise, MIG-backed vGPU). No mode changes beside a vGPU,
none ends beside VFs, and no GPU instance goes under a vGPU.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from gpupass.methods import mig_plan, sriov, vgpu
from gpupass.model.host import Device, Host
from gpupass.model.mig import GpuInstance, LayoutEntry, measures_of
from gpupass.model.profile import MigRule, Rule, VgpuRule
from gpupass.model.user import User, UserKind
from gpupass.model.vgpu_types import read_label
from gpupass.plan import Finding, Plan, imagine
from gpupass.steps.mig import SetComputeInstance, SetGpuInstance
from gpupass.steps.mig_mode import ResetGpu, SetMigMode
from gpupass.steps.vfs import SetVfs

_NOTHING = Plan(title="")


def cut(host: Host, card: Device, rule: VgpuRule) -> Plan:
    """As far as a look at the card can tell: its types show only when its GPU instances are there."""
    if rule.layout is None:
        return _without_layout(host, card, rule)
    title = f"make vGPUs of {card.address}"
    missing = tuple(_no_instance(rule))
    if missing:
        return Plan(title=title, findings=missing, devices=(card.address,))
    instances = _instances(host, card, rule, rule.layout)
    functions = vgpu.functions(host, card, rule)
    if instances.refusals:
        return replace(instances, title=title, steps=(), disruptions=())
    switched = any(isinstance(step, SetMigMode | ResetGpu) for step in instances.steps)
    if functions is not None or (switched and card.facts.sriov is not None and card.facts.sriov.enabled):
        return _functions_first(host, card, rule, switched)
    if not instances.steps:
        return vgpu.cut(host, card, rule)
    cleared = vgpu.making_way(host, card, rule, _going(card, instances)) if not switched else _NOTHING
    wait = f"vGPUs of {card.address}: made when its GPU instances are there, which tell their types"
    return _joined(cleared, replace(instances, title=title, waits=(*instances.waits, wait)))


def _functions_first(host: Host, card: Device, rule: VgpuRule, switched: bool) -> Plan:
    """Its mode, if that changes, while it has no functions: else the change could not be undone."""
    cleared = vgpu.uncut(host, card, rule, alone=vgpu.ITS_FUNCTIONS)
    instances = _instances(host, card, rule, ())
    gone = _no_functions(host, card, rule) if switched else _NOTHING
    later = imagine(host, gone.steps)
    functions = vgpu.functions(later, later.device(card.address) or card, rule)
    wait = f"vGPUs of {card.address}: made when its MIG mode is on"
    later_on = functions or replace(_NOTHING, waits=(wait,))
    return _joined(cleared, gone, replace(instances, waits=()), later_on)


def without_mig(host: Host, device: Device, rule: Rule, functions: Plan) -> tuple[Plan, ...]:
    """What gpupass made of it goes, `functions` between instances and mode; VFs that stay go for the mode."""
    mig = mig_plan.uncut(host, device, rule)
    at = next((at for at, step in enumerate(mig.steps) if isinstance(step, SetMigMode | ResetGpu)), None)
    if at is not None and not functions.steps:
        functions = _no_functions(host, device, rule)
    going = any(isinstance(step, SetVfs) for step in functions.steps)
    why = vgpu.ITS_FUNCTIONS if going else vgpu.ITS_MODE if at is not None else ""
    vgpus = vgpu.uncut(host, device, rule, alone=why)
    if at is None or not functions.steps:
        return (vgpus, mig, functions) if functions.steps else (vgpus, functions, mig)
    mode = Plan(title=mig.title, steps=mig.steps[at:], devices=mig.devices)
    return (vgpus, replace(mig, steps=mig.steps[:at]), functions, mode)


def _no_functions(host: Host, card: Device, rule: Rule) -> Plan:
    if card.facts.sriov is None:
        return _NOTHING
    before = sriov.autoprobe_before(host, card)
    return sriov.plan_vfs(host, card, 0, before, rule.take_over, sriov.by_script(host, card))


def _without_layout(host: Host, card: Device, rule: VgpuRule) -> Plan:
    """Time-sliced types need MIG mode off; MIG-backed ones live on what somebody else has cut."""
    nvidia = card.facts.nvidia
    state = nvidia.cut if nvidia is not None else None
    if state is None or not (state.on or state.pending):
        backed = tuple(_not_in_mode(card, rule)) if state is not None else ()
        if backed:
            return Plan(title=f"make vGPUs of {card.address}", findings=backed, devices=(card.address,))
        return vgpu.cut(host, card, rule)
    sliced = [count.type for count in rule.types if count.count and _is_sliced(count.type)]
    functions = vgpu.functions(host, card, rule)
    names = ", ".join(one.name for one in mig_plan.instances(card))
    if sliced:
        plan = _joined(*without_mig(host, card, rule, _NOTHING))
        if any(isinstance(step, SetMigMode) for step in plan.steps):
            if functions is not None and functions.refusals:
                return replace(functions, steps=())
            return replace(plan, waits=(f"vGPUs of {card.address}: made when its MIG mode is off",))
        finding = Finding(
            message=f"{card.address} is in MIG mode, in which it has no {sliced[0]}",
            remedy="take-over: true in the rule, or MIG-backed types with a layout",
        )
    elif names and functions is not None and host.sriov_manage:
        finding = Finding(
            message=f"{card.address} has {names}, which making its virtual functions loses",
            remedy="name them in the rule: layout: […]",
        )
    else:
        return vgpu.cut(host, card, rule)
    return Plan(title=f"make vGPUs of {card.address}", findings=(finding,), devices=(card.address,))


def _is_sliced(name: str) -> bool:
    label = read_label(name)
    return label is not None and label.slices is None


def _instances(host: Host, card: Device, rule: VgpuRule, layout: tuple[LayoutEntry, ...] | str) -> Plan:
    mig = MigRule(name=rule.name, select=rule.select, take_over=rule.take_over, layout=layout)
    return _without_compute(mig_plan.cut(host, _with_their_vgpus(host, card, rule), mig))


def _with_their_vgpus(host: Host, card: Device, rule: VgpuRule) -> Device:
    """The card with the vGPUs that stay as users of their GPU instances, which are spared for it."""
    nvidia = card.facts.nvidia
    if nvidia is None or nvidia.cut is None or nvidia.cut.gpu is None:
        return card
    users: dict[int | None, tuple[User, ...]] = {
        one.instance: (User(kind=UserKind.PROCESS, name=f"vGPU {one.name}"),)
        for one in vgpu.staying(host, card, rule)
    }

    def used(one: GpuInstance) -> GpuInstance:
        return replace(one, users=(*one.users, *users.get(one.id, ())))

    gpu = replace(nvidia.cut.gpu, instances=tuple(map(used, nvidia.cut.gpu.instances)))
    seen = replace(nvidia, cut=replace(nvidia.cut, gpu=gpu))
    return replace(card, detail=replace(card.facts, nvidia=seen))


def _going(card: Device, instances: Plan) -> frozenset[int]:
    """The ids of the GPU instances that it destroys."""
    ends = _ends(instances)
    return frozenset(one.id for one in mig_plan.instances(card) if (one.profile, one.placement.start) in ends)


def _ends(plan: Plan) -> set[tuple[str, int]]:
    """GPU instances that it destroys: profile and start."""
    gone = (step for step in plan.steps if isinstance(step, SetGpuInstance) and not step.present)
    return {(step.profile, step.placement.start) for step in gone}


def _joined(*plans: Plan) -> Plan:
    """The title is the last one's that has one."""
    return Plan(
        title=[plan.title for plan in plans if plan.title][-1],
        steps=tuple(step for plan in plans for step in plan.steps),
        findings=tuple(finding for plan in plans for finding in plan.findings),
        devices=tuple(dict.fromkeys(address for plan in plans for address in plan.devices)),
        disruptions=tuple(one for plan in plans for one in plan.disruptions),
        waits=tuple(wait for plan in plans for wait in plan.waits),
        foreign=tuple(one for plan in plans for one in plan.foreign),
    )


def _without_compute(plan: Plan) -> Plan:
    """Compute instances change only together with their GPU instance's end."""
    ends = _ends(plan)
    steps = tuple(
        step
        for step in plan.steps
        if not isinstance(step, SetComputeInstance) or (step.profile, step.start) in ends
    )
    deeds = any(isinstance(step, SetMigMode | ResetGpu | SetGpuInstance) for step in steps)
    return replace(plan, steps=steps) if deeds else replace(plan, steps=(), disruptions=())


def _backed(rule: VgpuRule) -> Iterator[tuple[str, int]]:
    """MIG-backed types that are wanted, and how many slices their GPU instance has: their names say so."""
    for count in rule.types:
        label = read_label(count.type)
        if count.count and label is not None and label.slices is not None:
            yield count.type, label.slices


def _not_in_mode(card: Device, rule: VgpuRule) -> Iterator[Finding]:
    for name, slices in _backed(rule):
        yield Finding(
            message=f"{card.address} is not in MIG mode, and {name} needs a GPU instance of {slices} slices",
            remedy=f"layout: with a {slices}g profile",
        )


def _no_instance(rule: VgpuRule) -> Iterator[Finding]:
    """A layout by name is known to the driver only."""
    if rule.layout is None or isinstance(rule.layout, str):
        return
    there = {measures[0] for entry in rule.layout if (measures := measures_of(entry.profile)) is not None}
    for name, slices in _backed(rule):
        if slices not in there:
            yield Finding(
                message=f"{name} needs a GPU instance of {slices} slices; the layout has none",
                remedy=f"layout: with a {slices}g profile",
            )
