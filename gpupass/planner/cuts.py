"""How a rule cuts its device, and what other methods have left on it; pure. One line for each method."""

from gpupass.methods import mig_plan, sriov
from gpupass.model.host import Device, Host
from gpupass.model.plan import Plan
from gpupass.model.profile import MigRule, Rule, SriovRule


def cut_plan(host: Host, device: Device, rule: Rule) -> Plan:
    """What makes the slots that the rule asks for. Empty when they are there."""
    match rule:
        case SriovRule():
            return sriov.cut(host, device, rule)
        case MigRule():
            return mig_plan.cut(host, device, rule)
        case _:
            return Plan(title=f"cut {device.address}")


def uncut_plan(host: Host, device: Device, rule: Rule) -> Plan:
    """What takes away the slots of other methods than the rule's, as far as gpupass has made them."""
    plans = []
    if not isinstance(rule, SriovRule):
        plans.append(sriov.uncut(host, device, rule))
    if not isinstance(rule, MigRule):
        plans.append(mig_plan.uncut(host, device, rule))
    return _joined(f"uncut {device.address}", plans)


def _joined(title: str, plans: list[Plan]) -> Plan:
    """Of methods that touch different things."""
    return Plan(
        title=title,
        steps=tuple(step for plan in plans for step in plan.steps),
        findings=tuple(finding for plan in plans for finding in plan.findings),
        devices=tuple(dict.fromkeys(address for plan in plans for address in plan.devices)),
        disruptions=tuple(disruption for plan in plans for disruption in plan.disruptions),
        waits=tuple(wait for plan in plans for wait in plan.waits),
        foreign=tuple(text for plan in plans for text in plan.foreign),
    )
