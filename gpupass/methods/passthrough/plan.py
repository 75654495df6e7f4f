"""The whole function for a domain, with its IOMMU group; pure."""

from collections.abc import Iterator

from gpupass.devices.binding import VFIO, bind, no_endpoint
from gpupass.method import Rules
from gpupass.methods.passthrough.rule import PassthroughRule
from gpupass.model.address import same_slot
from gpupass.model.atom import of_function
from gpupass.model.host import Device, Host, lends
from gpupass.model.profile import Rule
from gpupass.model.slot import Slot, SlotKind
from gpupass.model.user import User
from gpupass.plan import NOTHING, Draft


def slots(host: Host, device: Device) -> Iterator[Slot]:
    if not no_endpoint(device):
        vgpu = device.facts.vgpu is not None and device.facts.vgpu.current
        whole = SlotKind.FUNCTION if device.physfn is None else SlotKind.VF
        at, kind = device.address, SlotKind.VGPU if vgpu else whole
        yield Slot(kind=kind, device=at, of=at, atoms=of_function(device))


def cut(host: Host, rules: Rules) -> Draft:
    """Bound before anybody is to have it: then it is told in time what stands against that."""
    draft = NOTHING
    for address, its in rules.items():
        device = host.device(address)
        rule = next((one for one in its if isinstance(one, PassthroughRule)), None)
        if device is None or rule is None:
            continue
        if not device.on_vfio or (device.driver != rule.driver and lends(rule.driver)):
            draft += bind(host, device, rule.driver, rule.with_, rule.allow_boot_display)
    return draft


def export(host: Host, device: Device, as_rule: Rule, others: tuple[Rule, ...]) -> Rule | None:
    if not device.on_vfio:
        return None
    along = tuple(
        member.address
        for member in host.group_of(device)
        if member.on_vfio and not same_slot(member.address, device.address)
    )
    return PassthroughRule(
        name=as_rule.name,
        select=as_rule.select,
        driver=device.driver or VFIO,
        with_=along,
        allow_boot_display=device.facts.boot_display,
        take_over=as_rule.take_over,
    )


def users(host: Host, slot: Slot) -> tuple[User, ...]:
    device = host.device(slot.device)
    return device.users if device is not None else ()
