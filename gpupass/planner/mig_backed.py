"""vGPUs on GPU instances: MIG mode and VFs, then the instances, then the types; pure.

VFs come first: making them binds the card anew, which loses its GPU instances. No instance ends under a
vGPU, which goes before it. Compute instances are left to the guests, who make their own (NVIDIA AI
Enterprise, MIG-backed vGPU).
"""

from collections.abc import Iterator
from dataclasses import replace

from gpupass.methods import mig_plan, vgpu
from gpupass.methods.vgpu_types import read_label
from gpupass.model.host import Device, Host
from gpupass.model.mig import measures_of
from gpupass.model.plan import Finding, Plan, ResetGpu, SetComputeInstance, SetGpuInstance, SetMigMode
from gpupass.model.profile import MigRule, VgpuRule


def cut(host: Host, card: Device, rule: VgpuRule) -> Plan:
    """As far as a look at the card can tell: its types show only when its GPU instances are there."""
    vgpus = vgpu.cut(host, card, rule)
    if rule.layout is None:
        return vgpus
    missing = tuple(_no_instance(rule))
    if missing:
        return Plan(title=vgpus.title, findings=missing, devices=(card.address,))
    vfs_first = bool(vgpus.waits)
    layout = () if vfs_first else rule.layout
    mig = MigRule(name=rule.name, select=rule.select, take_over=rule.take_over, layout=layout)
    instances = _without_compute(mig_plan.cut(host, card, mig))
    if vfs_first:
        return _joined(instances, vgpus)
    if instances.steps or instances.refusals:
        wait = f"vGPUs of {card.address}: made when its GPU instances are there, which tell their types"
        way = vgpu.make_way(host, card, rule, frozenset(_ending(card, instances)))
        return replace(_joined(way, instances), waits=(*instances.waits, wait))
    return _joined(instances, vgpus)


def _joined(first: Plan, then: Plan) -> Plan:
    return replace(
        then,
        steps=(*first.steps, *then.steps),
        findings=(*first.findings, *then.findings),
        devices=tuple(dict.fromkeys((*first.devices, *then.devices))),
        disruptions=(*first.disruptions, *then.disruptions),
        foreign=(*first.foreign, *then.foreign),
    )


def _ending(card: Device, plan: Plan) -> Iterator[int]:
    """Ids of the GPU instances that are destroyed."""
    ends = _ends(plan)
    return (one.id for one in mig_plan.instances(card) if (one.profile, one.placement.start) in ends)


def _ends(plan: Plan) -> set[tuple[str, int]]:
    instances = (step for step in plan.steps if isinstance(step, SetGpuInstance) and not step.present)
    return {(step.profile, step.placement.start) for step in instances}


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


def _no_instance(rule: VgpuRule) -> Iterator[Finding]:
    """A type says how many slices its GPU instance has; a layout by name is known to the driver only."""
    if rule.layout is None or isinstance(rule.layout, str):
        return
    there = {measures[0] for entry in rule.layout if (measures := measures_of(entry.profile)) is not None}
    for count in rule.types:
        label = read_label(count.type)
        if count.count and label is not None and label.slices is not None and label.slices not in there:
            yield Finding(
                message=f"{count.type} needs a GPU instance of {label.slices} slices; the layout has none",
                remedy=f"layout: with a {label.slices}g profile",
            )
