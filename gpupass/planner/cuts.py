"""How a rule cuts its device, and what other methods have left on it; pure. One line for each method."""

from gpupass.methods import sriov
from gpupass.model.host import Device, Host
from gpupass.model.plan import Plan
from gpupass.model.profile import Rule, SriovRule


def cut_plan(host: Host, device: Device, rule: Rule) -> Plan:
    """What makes the slots that the rule asks for. Empty when they are there."""
    match rule:
        case SriovRule():
            return sriov.cut(host, device, rule)
        case _:
            return Plan(title=f"cut {device.address}")


def uncut_plan(host: Host, device: Device, rule: Rule) -> Plan:
    """What takes away the slots of other methods than the rule's, as far as gpupass has made them."""
    match rule:
        case SriovRule():
            return Plan(title=f"uncut {device.address}")
        case _:
            return sriov.uncut(host, device, rule)
