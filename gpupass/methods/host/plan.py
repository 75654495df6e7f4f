"""The host works with the device: what others made of it is left to it; pure."""

from gpupass.devices.binding import bind, origin_of
from gpupass.method import Rules
from gpupass.methods.host.rule import HostRule
from gpupass.model.host import Device, Host
from gpupass.model.profile import Rule
from gpupass.plan import NOTHING, Draft


def cut(host: Host, rules: Rules) -> Draft:
    """Another driver than the one that it has at home."""
    draft = NOTHING
    for address, its in rules.items():
        device = host.device(address)
        driver = next((rule.driver for rule in its if isinstance(rule, HostRule)), None)
        if device is not None and driver is not None and device.driver != driver:
            draft += bind(host, device, driver)
    return draft


def export(host: Host, device: Device, as_rule: Rule, others: tuple[Rule, ...]) -> Rule | None:
    if others:
        return None
    origin = origin_of(host, device)
    rebound = origin is not None and origin.driver != device.driver
    return HostRule(
        name=as_rule.name,
        select=as_rule.select,
        driver=device.driver if rebound else None,
        take_over=as_rule.take_over,
    )
