"""A vGPU card in any state that people, guests and gpupass may have left it in, for hypothesis."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from gpupass import app
from gpupass.errors import GpupassError
from gpupass.methods.host.rule import HostRule
from gpupass.methods.vgpu.rule import VgpuParam, VgpuRule
from gpupass.model.mig import LayoutEntry
from gpupass.model.profile import Profile, Rule, Select
from gpupass.model.types import TypeCount
from tests.machines_in_parts import vgpu_machine
from tests.profile_trips import apply
from tests.simulated import DOMAINS, Machine
from tests.simulated_vgpu import CARD, KINDS, VFS

SELECT = Select(address=CARD)
SLICED = tuple(kind.name for kind in KINDS if kind.slices is None)
BACKED = {"A100-1-5C": "1g.5gb", "A100-2-10C": "2g.10gb", "A100-3-20C": "3g.20gb"}
ALLOWED = {"allow_disruption": True, "allow_reset": True}


@dataclass(frozen=True)
class Doing:
    """One thing that happened before, named so that a failing example can be read."""

    what: str
    arguments: tuple[object, ...] = ()

    def happen(self, machine: Machine) -> None:
        with suppress(GpupassError, OSError):
            getattr(_Past(machine), self.what)(*self.arguments)


class _Past:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.vgpu = machine.vgpu

    def apply(self, profile: Profile) -> None:
        apply(self.machine, profile, **ALLOWED)

    def adopt(self) -> None:
        app.adopt(self.machine, CARD)

    def attach(self, domain: str, number: int) -> None:
        app.attach(self.machine, domain, self._slot(number))

    def detach(self, domain: str, number: int) -> None:
        app.detach(self.machine, domain, self._slot(number))

    def stop(self, domain: str) -> None:
        self.machine.libvirt.stop(domain)

    def reboot(self) -> None:
        self.machine.reboot()

    def functions_by_others(self) -> None:
        if self.vgpu.script:
            self.vgpu.manage("-e", CARD)
        else:
            self.machine.sriov.set_number(CARD, "3")

    def made_by_others(self, number: int, name: str) -> None:
        vf = self.machine.sriov.address(CARD, number)
        kind = next(kind for kind in KINDS if kind.name == name)
        path = self.machine.tree.path(vf) if vf in self.machine.functions else ""
        if self.vgpu.framework == "vendor":
            self.vgpu.store(f"{path}/nvidia/current_vgpu_type", str(kind.id))
        else:
            uuid = f"0f0f0f0f-0000-4000-8000-00000000000{number}"
            self.vgpu.store(f"{path}/mdev_supported_types/nvidia-{kind.id}/create", uuid)

    def plugged_by_others(self, domain: str, number: int) -> None:
        slot = self._slot(number)
        vf = self.machine.sriov.address(CARD, number)
        if vf in self.vgpu.vgpus and self.machine.libvirt.guests[domain].active and not self.vgpu.in_use(vf):
            self.machine.libvirt.plug(domain, slot)

    def mixed_by_others(self) -> None:
        self.vgpu.set_mixed(True)

    def cut_by_others(self, names: tuple[str, ...]) -> None:
        if not self.vgpu.set_mig(True):
            self.vgpu.reset()
            for name in names:
                profile = self.vgpu.gpu.profile(name)
                for place in profile.placements:
                    with suppress(GpupassError):
                        self.vgpu.make_instance(profile.id, place)
                        break

    def _slot(self, number: int) -> str:
        vf = self.machine.sriov.address(CARD, number)
        made = self.vgpu.vgpus.get(vf)
        return made.mdev if made is not None and made.mdev is not None else vf


def machine_of(
    framework: str, script: bool, tells_types: bool, past: tuple[Doing, ...], state: Path
) -> Machine:
    machine = vgpu_machine(state, framework, script)
    machine.vgpu.tells_types = tells_types
    for doing in past:
        doing.happen(machine)
    machine.log.clear()
    return machine


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    common = {"name": "a", "select": SELECT, "take_over": draw(st.integers(0, 3)) == 0}
    kind = draw(st.sampled_from(["sliced", "sliced", "sliced", "backed", "backed", "host"]))
    if kind == "host":
        return HostRule(**common)
    names = SLICED if kind == "sliced" else tuple(BACKED)
    chosen = draw(st.lists(st.sampled_from(names), unique=True, max_size=2))
    counts = {name: draw(st.integers(0, 3)) for name in chosen}
    layout = None
    if kind == "backed":
        more = draw(st.lists(st.sampled_from(tuple(BACKED.values())), max_size=1))
        wanted = [BACKED[name] for name, count in counts.items() for _ in range(count)]
        layout = tuple(LayoutEntry(profile=name) for name in [*wanted, *more])
    return VgpuRule(
        **common,
        types=tuple(TypeCount(type=name, count=count) for name, count in counts.items()),
        layout=layout,
        params=draw(st.sampled_from([(), (), (VgpuParam(name="disable_vnc", value="1"),)])),
        scheduler=draw(st.sampled_from([None, None, "equal-share", "fixed-share"])),
    )


def profiles() -> st.SearchStrategy[Profile]:
    return st.builds(lambda rule: Profile(gpus=(rule,)), rules())


@st.composite
def pasts(draw: st.DrawFn) -> tuple[Doing, ...]:
    numbers, domains = st.integers(0, VFS - 1), st.sampled_from(DOMAINS)
    names = st.sampled_from([kind.name for kind in KINDS])
    applied = st.tuples(st.just("apply"), profiles())
    with_guests = st.tuples(
        st.sampled_from(["attach", "attach", "plugged_by_others", "detach"]), domains, numbers
    )
    doings = [
        applied,
        applied,
        with_guests,
        with_guests,
        st.tuples(st.just("made_by_others"), numbers, names),
        st.tuples(st.just("made_by_others"), numbers, names),
        st.tuples(st.sampled_from(["functions_by_others", "mixed_by_others", "adopt", "reboot"])),
        st.tuples(st.just("stop"), domains),
        st.tuples(
            st.just("cut_by_others"), st.lists(st.sampled_from(tuple(BACKED.values())), max_size=2).map(tuple)
        ),
    ]
    found = draw(st.lists(st.one_of(doings), max_size=5))
    return tuple(Doing(what, tuple(arguments)) for what, *arguments in found)


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, bool, bool, tuple[Doing, ...], Profile]:
    """The framework, is there sriov-manage, does NVML tell types, what happened before, what is wanted now."""
    framework = draw(st.sampled_from(["vendor", "mdev"]))
    script, tells_types = draw(st.integers(0, 3)) > 0, draw(st.integers(0, 3)) > 0
    return framework, script, tells_types, draw(pasts()), draw(profiles())
