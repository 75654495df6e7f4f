"""How a rule cuts its device, and what other methods have left on it; pure. One line for each method."""

from gpupass.methods import amd, gim, intel, sriov
from gpupass.model.host import Device, Host
from gpupass.model.plan import Plan
from gpupass.model.profile import PartitionRule, Rule, SriovRule


def cut_plan(host: Host, device: Device, rule: Rule) -> Plan:
    """What makes the slots that the rule asks for. Empty when they are there."""
    match rule:
        case SriovRule() if device.driver == gim.MODULE:
            return gim.cut(host, device, rule)
        case SriovRule() if device.facts.intel is not None or intel.asked_for(rule):
            return intel.cut(host, device, rule)
        case SriovRule():
            return sriov.cut(host, device, rule)
        case PartitionRule():
            return amd.cut(host, device, rule)
        case _:
            return Plan(title=f"cut {device.address}")


def uncut_plan(host: Host, device: Device, rule: Rule) -> Plan:
    """What takes away the slots of other methods than the rule's, as far as gpupass has made them."""
    match rule:
        case SriovRule():
            return Plan(title=f"uncut {device.address}")
        case _ if device.driver == gim.MODULE:
            return gim.uncut(host, device, rule)
        case _:
            return intel.uncut(host, device, rule)


def company(host: Host, device: Device) -> tuple[Device, ...]:
    """Other devices that may be one thing with it, as far as a bare look can tell: to be looked at, too."""
    if device.driver == gim.MODULE:
        return gim.gims(host)
    if device.driver == amd.DRIVER and device.is_gpu:
        return tuple(other for other in host.devices if other.ids == device.ids and other.physfn is None)
    return ()


def changed_with(host: Host, device: Device, rule: Rule) -> tuple[Device, ...]:
    """Other devices that cutting this one by the rule may change."""
    match rule:
        case SriovRule() if device.driver == gim.MODULE:
            return tuple(one for gpu in gim.gims(host) for one in (gpu, *gim.vfs_of(host, gpu)))
        case PartitionRule() if rule.memory is not None:
            return amd.hive_of(host, device)
        case _:
            return ()
