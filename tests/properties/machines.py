"""Any small machine in any state that people, guests and gpupass may have left it in, for hypothesis."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from gpupass import app
from gpupass.errors import GpupassError
from gpupass.methods.host.rule import HostRule
from gpupass.methods.passthrough.rule import PassthroughRule
from gpupass.methods.sriov.rule import SriovRule, Vf, VfDriver
from gpupass.model.profile import Attachment, Profile, Rule, Select
from tests.profile_trips import apply
from tests.simulated import (
    ACCEL,
    BUS_AUDIO,
    BUS_GPU,
    CONSOLE,
    DISK,
    DOMAINS,
    FUNCTIONS,
    GPU,
    GPU_AUDIO,
    LONE,
    NIC,
    NVIDIA,
    PF,
    SPARE,
    STUBBORN,
    USB,
    VF0,
    VF1,
    Machine,
)

CARDS = (
    (GPU, GPU_AUDIO),
    (LONE,),
    (ACCEL, USB, SPARE),
    (DISK,),
    (PF, VF0, VF1),
    (NIC,),
    (CONSOLE,),
    (BUS_GPU, BUS_AUDIO),
    (STUBBORN,),
    (NVIDIA,),
)
PFS = (PF, NIC)
ORIGINAL = {function.address: function for function in FUNCTIONS}


@dataclass(frozen=True)
class Doing:
    """One thing that happened before, named so that a failing example can be read."""

    what: str
    arguments: tuple[object, ...]

    def happen(self, machine: Machine) -> None:
        with suppress(GpupassError):
            getattr(_Past(machine), self.what)(*self.arguments)


class _Past:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def bind(self, device: str) -> None:
        app.bind(self.machine, device, agreed=(USB,) if device == ACCEL else ())

    def unbind(self, device: str) -> None:
        app.unbind(self.machine, device)

    def attach(self, domain: str, device: str) -> None:
        app.attach(self.machine, domain, device)

    def detach(self, domain: str, device: str) -> None:
        app.detach(self.machine, domain, device)

    def adopt(self, device: str) -> None:
        app.adopt(self.machine, device)

    def apply(self, profile: Profile) -> None:
        apply(self.machine, profile, allow_disruption=True)

    def stop(self, domain: str) -> None:
        self.machine.libvirt.stop(domain)

    def bound_by_others(self, device: str) -> None:
        """Its whole group, by driverctl perhaps."""
        self.machine.register_driver("vfio-pci")
        for member in self._group(device):
            vfs = self.machine.sriov.vfs(member)
            if not any(map(self.machine.libvirt.holders, (member, *vfs))) and member != DISK:
                self.machine.put(f"{self.machine.tree.path(member)}/driver_override", "vfio-pci\n")
                if self.machine.sriov.has(member):
                    self.machine.sriov.remove(member)
                self.machine.set_driver(member, "vfio-pci")

    def unbound_by_others(self, device: str) -> None:
        for member in self._group(device):
            if not self.machine.libvirt.holders(member):
                self.machine.put(f"{self.machine.tree.path(member)}/driver_override", "(null)\n")
                self.machine.set_driver(member, ORIGINAL[member].driver if member in ORIGINAL else None)

    def cut_by_others(self, pf: str, count: int, autoprobe: bool) -> None:
        if not any(self.machine.libvirt.holders(vf) for vf in self.machine.sriov.vfs(pf)):
            self.machine.sriov.remove(pf)
            self.machine.sriov.set_autoprobe(pf, str(int(autoprobe)))
            if self.machine.driver(pf) == "igb":
                self.machine.sriov.set_number(pf, str(count))

    def plugged_by_others(self, domain: str, device: str) -> None:
        group = self._group(device)
        ready = all(self.machine.driver(member) in ("vfio-pci", None) for member in group)
        free = not any(self.machine.libvirt.holders(member) for member in group)
        running = self.machine.libvirt.guests[domain].active
        if running and ready and free and self.machine.driver(device) == "vfio-pci":
            self.machine.libvirt.plug(domain, device)

    def reboot(self) -> None:
        self.machine.reboot()

    def _group(self, device: str) -> list[str]:
        functions = self.machine.functions
        if device not in functions:
            return []
        return [address for address, f in functions.items() if f.group == functions[device].group]


def machine_of(cards: tuple[tuple[str, ...], ...], past: tuple[Doing, ...], state: Path) -> Machine:
    addresses = {DISK, *(address for card in cards for address in card)}
    parents = {ORIGINAL[address].parent for address in addresses}
    kept = tuple(f for f in FUNCTIONS if f.address in addresses | parents)
    machine = Machine(state, kept)
    machine.register_driver("igbvf")
    for doing in past:
        doing.happen(machine)
    machine.log.clear()
    return machine


@st.composite
def rule(draw: st.DrawFn, name: str, card: tuple[str, ...]) -> Rule:
    device = card[0]
    common = {
        "name": name,
        "select": _select(draw, device),
        "take_over": draw(st.booleans()),
    }
    uses = [HostRule, PassthroughRule, *([SriovRule] * 2 if device in PFS else [])]
    kind = draw(st.sampled_from(uses))
    if kind is HostRule:
        return HostRule(**common)
    if kind is PassthroughRule:
        with_ = tuple(member for member in card[1:] if draw(st.booleans()))
        return PassthroughRule(**common, with_=with_, allow_boot_display=draw(st.booleans()))
    drivers = st.sampled_from([None, "vfio-pci", "igbvf"])
    vfs = draw(st.integers(0, 4))
    single = {0: draw(drivers)} if vfs and draw(st.booleans()) else {}
    vf = Vf(
        driver=draw(drivers),
        autoprobe=draw(st.booleans()),
        drivers=tuple(VfDriver(index=index, driver=driver) for index, driver in single.items()),
    )
    return SriovRule(**common, vfs=vfs, vf=vf)


def _select(draw: st.DrawFn, device: str) -> Select:
    if device == NVIDIA and draw(st.booleans()):
        return Select(uuid="GPU-11111111-2222-3333-4444-555555555555")
    if device == LONE and draw(st.booleans()):
        return Select(driver="bochs-drm")
    if device == GPU and draw(st.booleans()):
        return Select(serial="00-01-02-03-04-05-06-07")
    return Select(address=device)


@st.composite
def profiles(draw: st.DrawFn, cards: tuple[tuple[str, ...], ...]) -> Profile:
    chosen = draw(st.lists(st.sampled_from(cards), unique=True, min_size=1, max_size=4))
    rules = tuple(draw(rule(f"r{number}", card)) for number, card in enumerate(chosen))
    devices = [one.name for one in rules if isinstance(one, PassthroughRule)]
    devices += [f"{one.name}/vf{n}" for one in rules if isinstance(one, SriovRule) for n in range(one.vfs)]
    given = draw(st.lists(st.sampled_from(devices), unique=True, max_size=4)) if devices else []
    return Profile(
        gpus=rules,
        attachments=tuple(
            Attachment(domain=draw(st.sampled_from(DOMAINS)), device=device) for device in given
        ),
    )


@st.composite
def pasts(draw: st.DrawFn, cards: tuple[tuple[str, ...], ...]) -> tuple[Doing, ...]:
    devices = st.sampled_from([address for card in cards for address in card])
    domains = st.sampled_from(DOMAINS)
    pfs = [card[0] for card in cards if card[0] in PFS]
    doings = [
        st.tuples(
            st.sampled_from(["bind", "unbind", "adopt", "bound_by_others", "unbound_by_others"]), devices
        ),
        st.tuples(st.sampled_from(["attach", "attach", "detach", "plugged_by_others"]), domains, devices),
        st.tuples(st.just("apply"), profiles(cards)),
        st.tuples(st.just("stop"), domains),
        st.tuples(st.just("reboot")),
    ]
    if pfs:
        cut = st.just("cut_by_others")
        doings.append(st.tuples(cut, st.sampled_from(pfs), st.integers(0, 4), st.booleans()))
    found = draw(st.lists(st.one_of(doings), max_size=4))
    return tuple(Doing(what, tuple(arguments)) for what, *arguments in found)


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[tuple[str, ...], ...], tuple[Doing, ...], Profile]:
    """The cards of a machine, its past, and what is wanted of it now."""
    cards = tuple(sorted(draw(st.lists(st.sampled_from(CARDS), unique=True, min_size=1, max_size=4))))
    return cards, draw(pasts(cards)), draw(profiles(cards))
