"""The host works with the device: what others made of it is left to it; pure."""

from gpupass.devices.binding import bind, never_bound, origin_of
from gpupass.method import Rules
from gpupass.methods.host.rule import HostRule
from gpupass.model.host import Base, Device, Host
from gpupass.model.mdev import MdevBus
from gpupass.model.profile import Rule
from gpupass.plan import NOTHING, Draft


def cut(host: Host, rules: Rules) -> Draft:
    """Another driver than the one that it has at home."""
    draft = NOTHING
    for address, its in rules.items():
        carrier = host.carrier(address)
        driver = next((rule.driver for rule in its if isinstance(rule, HostRule)), None)
        if isinstance(carrier, MdevBus) and driver is not None:
            draft += never_bound(carrier)
        elif isinstance(carrier, Device) and driver is not None and carrier.driver != driver:
            draft += bind(host, carrier, driver)
    return draft


def export(host: Host, carrier: Base, as_rule: Rule, others: tuple[Rule, ...]) -> Rule | None:
    if others:
        return None
    return HostRule(
        name=as_rule.name,
        select=as_rule.select,
        driver=_other_driver(host, carrier) if isinstance(carrier, Device) else None,
        take_over=as_rule.take_over,
    )


def _other_driver(host: Host, device: Device) -> str | None:
    """Than the one that it has at home."""
    origin = origin_of(host, device)
    return device.driver if origin is not None and origin.driver != device.driver else None
