"""Virtual functions of any physical function with SR-IOV: how many, and who drives each; pure."""

from collections.abc import Iterator

from gpupass.devices.binding import back, bind
from gpupass.method import Rules
from gpupass.methods.sriov import gim, intel
from gpupass.methods.sriov.export import as_it_is
from gpupass.methods.sriov.making import (
    Wish,
    draft_of,
    foreign_functions,
    goes_home,
    in_use,
    supports,
    vfs_of,
    wish_of,
)
from gpupass.methods.sriov.marks import Made, autoprobe_before, made_by_us
from gpupass.methods.sriov.rule import SriovRule, Vf
from gpupass.model.atom import of_function
from gpupass.model.host import Device, Host
from gpupass.model.mark import Mark
from gpupass.model.profile import Rule
from gpupass.model.slot import Slot, SlotKind, vf_part
from gpupass.model.user import User, UserKind
from gpupass.plan import NOTHING, Draft, Finding
from gpupass.step import Deed, Kind
from gpupass.steps.bind import BindDriver


def slots(host: Host, pf: Device) -> Iterator[Slot]:
    sriov = pf.facts.sriov
    for vf in host.devices_at(sriov.vfs) if sriov is not None else ():
        number = sriov.vfs.index(vf.address) if sriov is not None else 0
        part, atoms = vf_part(number), of_function(vf)
        yield Slot(kind=SlotKind.VF, device=vf.address, of=pf.address, part=part, atoms=atoms)


def alike(host: Host, device: Device) -> tuple[Device, ...]:
    return gim.gims(host) if device.driver == gim.MODULE else ()


def company(host: Host, device: Device, rules: tuple[Rule, ...]) -> tuple[Device, ...]:
    """A module loaded anew takes all its GPUs along, and their functions."""
    if device.driver != gim.MODULE or not any(isinstance(rule, SriovRule) for rule in rules):
        return ()
    return tuple(one for gpu in gim.gims(host) for one in (gpu, *vfs_of(host, gpu)))


def cut(host: Host, rules: Rules) -> Draft:
    """All counts of one maker at once; those functions that are there get their drivers."""
    draft = NOTHING
    of_gim: list[Wish] = []
    driven: list[tuple[Device, SriovRule]] = []
    for address, its in rules.items():
        pf = host.device(address)
        if pf is None or pf.detail is None or pf.physfn is not None:
            continue
        rule = next((one for one in its if isinstance(one, SriovRule)), None)
        why_not = supports(pf) if rule is not None else None
        if why_not is not None:
            draft += Draft(findings=(Finding(message=why_not, remedy=f"gpupass show {address}"),))
        elif pf.driver == gim.MODULE:
            wish = gim.wish_of(host, pf, its)
            of_gim += [wish] if wish is not None else []
        else:
            draft += _cut(host, pf, its)
        if rule is not None and why_not is None and rule.vfs and rule.driven:
            driven.append((pf, rule))
    draft += gim.draft_of(host, of_gim)
    if draft.refused:
        return draft
    made = host.after(draft.steps)
    return sum((_drivers(made, pf, rule, rules) for pf, rule in driven), draft)


def clear(host: Host, pf: Device, rules: tuple[Rule, ...], step: Deed) -> Draft:
    """What must be without them, takes them away, as far as they are gpupass's."""
    sriov = pf.facts.sriov
    if sriov is None or not sriov.enabled or (Kind.VFS, pf.address) not in step.without:
        return NOTHING
    take_over = any(rule.take_over for rule in rules)
    wish = Wish(pf=pf, count=0, autoprobe=autoprobe_before(host, pf), take_over=take_over)
    return draft_of(host, wish)


def export(host: Host, pf: Device, as_rule: Rule, others: tuple[Rule, ...]) -> Rule | None:
    sriov = pf.facts.sriov
    if sriov is None or not sriov.enabled:
        return None
    return as_it_is(host, pf, sriov, as_rule)


def adopt(host: Host, pf: Device) -> Iterator[Mark]:
    sriov = pf.facts.sriov
    if sriov is not None and sriov.enabled and made_by_us(host, pf) is None:
        yield Made(carrier=pf.address, vfs=sriov.enabled, autoprobe=True, boot_id=host.boot_id)


def foreign(host: Host, pf: Device) -> Iterator[str]:
    sriov = pf.facts.sriov
    if sriov is not None and sriov.enabled and made_by_us(host, pf) is None:
        yield f"{pf.address} has {sriov.enabled} virtual functions that gpupass did not make"


def owner(host: Host, slot: Slot) -> str:
    pf = host.device(slot.of)
    return "gpupass" if pf is not None and made_by_us(host, pf) is not None else ""


def users(host: Host, slot: Slot) -> tuple[User, ...]:
    vf = host.device(slot.device)
    return vf.users if vf is not None else ()


# ── from here to there ─────────────────────────────────────────────────────────────────────────────────────


def _cut(host: Host, pf: Device, rules: tuple[Rule, ...]) -> Draft:
    wish = wish_of(host, pf, rules)
    if wish is None:
        return _left(pf, rules)
    return intel.draft_of(host, wish) if intel.concerns(wish) else draft_of(host, wish)


def _left(pf: Device, rules: tuple[Rule, ...]) -> Draft:
    """A host may work with those that others made."""
    sriov = pf.facts.sriov
    if sriov is None or not sriov.enabled or not any(rule.for_host for rule in rules):
        return NOTHING
    left = f"{pf.address} has {sriov.enabled} virtual functions that gpupass did not make"
    return Draft(foreign=(left,))


def _drivers(host: Host, pf: Device, rule: SriovRule, rules: Rules) -> Draft:
    """Each VF to the driver its profile names; one with a rule of its own is not asked for here."""
    draft = NOTHING
    for number, vf in enumerate(vfs_of(host, host.devices_at((pf.address,))[0])):
        draft += _driver(host, vf, rule.vf, number) if not rules.get(vf.address) else NOTHING
    if (
        draft.steps
        and made_by_us(host, pf) is None
        and not rule.take_over
        and not gim.free_to_change(host, pf)
    ):
        draft += Draft(findings=(foreign_functions(pf, "other drivers for its virtual functions"),))
    return draft


def wanted_driver(vf: Vf, number: int) -> str | None:
    return next((entry.driver for entry in vf.drivers if entry.index == number), vf.driver)


def _driver(host: Host, device: Device, vf: Vf, number: int) -> Draft:
    """The driver of one that a domain has is for when it is back."""
    driver = wanted_driver(vf, number)
    if device.driver == driver or any(user.kind is UserKind.DOMAIN for user in device.users):
        return NOTHING
    home = goes_home(host, device, driver)
    if home is not None:
        return Draft(makes=(back(device, home),), findings=tuple(in_use(device, (device,))))
    if driver is not None:
        return bind(host, device, driver)
    if vf.autoprobe:
        return NOTHING
    step = BindDriver(address=device.address, driver=None, override=None, why="no driver is asked for")
    return Draft(makes=(step,), findings=tuple(in_use(device, (device,))))
