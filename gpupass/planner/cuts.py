"""How a rule cuts its device, and what other methods have left on it; pure. One line for each method."""

from gpupass.methods import amd, amd_ownership, gim, intel, mdev, mig_plan, sriov, vgpu
from gpupass.model.host import Device, Host
from gpupass.model.profile import HostRule, MdevRule, MigRule, PartitionRule, Rule, SriovRule, VgpuRule
from gpupass.plan import Plan
from gpupass.planner import mig_backed


def cut_plan(host: Host, device: Device, rule: Rule, rules: amd_ownership.Rules | None = None) -> Plan:
    """What makes the slots that the rule asks for. Empty when they are there.

    `rules` are those of all devices that change together.
    """
    match rule:
        case SriovRule() if device.driver == gim.MODULE:
            return gim.cut(host, device, rule)
        case SriovRule() if device.facts.intel is not None or intel.asked_for(rule):
            return intel.cut(host, device, rule)
        case SriovRule():
            return sriov.cut(host, device, rule)
        case MigRule():
            return mig_plan.cut(host, device, rule)
        case MdevRule():
            return mdev.cut(host, device, rule)
        case VgpuRule():
            return mig_backed.cut(host, device, rule)
        case PartitionRule():
            return amd.cut(host, device, rule, rules or {})
        case HostRule():
            return Plan(title=f"cut {device.address}", foreign=amd.left_alone(host, device))
        case _:
            return Plan(title=f"cut {device.address}")


def uncut_plans(host: Host, device: Device, rule: Rule) -> tuple[Plan, ...]:
    """What takes away the slots of other methods than the rule's, as far as gpupass has made them."""
    if isinstance(rule, VgpuRule):
        return ()
    mediated = () if isinstance(rule, MdevRule) else (mdev.uncut(host, device, rule),)
    functions = Plan(title="")
    if not isinstance(rule, SriovRule):
        functions = (gim if device.driver == gim.MODULE else intel).uncut(host, device, rule)
    if isinstance(rule, MigRule):
        alone = vgpu.ITS_FUNCTIONS if functions.steps else "" if mig_plan.in_mode(device) else vgpu.ITS_MODE
        return (vgpu.uncut(host, device, rule, alone), *mediated, functions)
    vgpus, *others = mig_backed.without_mig(host, device, rule, functions)
    return (vgpus, *mediated, *others)


def unsplit_plan(host: Host, device: Device, rule: Rule, rules: amd_ownership.Rules) -> Plan:
    """What gives an AMD GPU the modes back that gpupass changed; before anything of its hive is cut."""
    return Plan(title="") if isinstance(rule, PartitionRule) else amd.uncut(host, device, rule, rules)


def company(host: Host, device: Device) -> tuple[Device, ...]:
    """Other devices that may be one thing with it, as far as a bare look can tell: to be looked at, too."""
    if device.driver == gim.MODULE:
        return gim.gims(host)
    if device.driver == amd.DRIVER and device.is_gpu:
        return amd_ownership.alike(host, device)
    return ()


def changed_with(host: Host, device: Device, rule: Rule) -> tuple[Device, ...]:
    """Other devices that cutting this one by the rule may change."""
    match rule:
        case SriovRule() if device.driver == gim.MODULE:
            return tuple(one for gpu in gim.gims(host) for one in (gpu, *gim.vfs_of(host, gpu)))
        case PartitionRule():
            return amd_ownership.alike(host, device) if rule.memory is not None else ()
        case _:
            return amd.goes_back_with(host, device, rule)
