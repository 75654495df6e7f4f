"""How a rule cuts its device, and what other methods have left on it; pure. One line for each method."""

from gpupass.methods import mdev, mig_plan, sriov, vgpu
from gpupass.model.host import Device, Host
from gpupass.model.plan import Plan
from gpupass.model.profile import MdevRule, MigRule, Rule, SriovRule, VgpuRule


def cut_plan(host: Host, device: Device, rule: Rule) -> Plan:
    """What makes the slots that the rule asks for. Empty when they are there."""
    match rule:
        case SriovRule():
            return sriov.cut(host, device, rule)
        case MigRule():
            return mig_plan.cut(host, device, rule)
        case MdevRule():
            return mdev.cut(host, device, rule)
        case VgpuRule():
            return vgpu.cut(host, device, rule)
        case _:
            return Plan(title=f"cut {device.address}")


def uncut_plans(host: Host, device: Device, rule: Rule) -> tuple[Plan, ...]:
    """What takes away the slots of other methods than the rule's, as far as gpupass has made them."""
    if isinstance(rule, VgpuRule):
        return ()
    plans = [vgpu.uncut(host, device, rule)]
    if not isinstance(rule, MdevRule):
        plans.append(mdev.uncut(host, device, rule))
    if not isinstance(rule, SriovRule):
        plans.append(sriov.uncut(host, device, rule))
    if not isinstance(rule, MigRule):
        plans.append(mig_plan.uncut(host, device, rule))
    return tuple(plans)
