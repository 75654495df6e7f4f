"""What only makers of virtual functions do: load a module anew, set shares before they are there."""

from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from gpupass.errors import GpupassError, NeedsPerson
from gpupass.model.address import Address
from gpupass.model.amd import GIM_OPTIONS, vf_counts
from gpupass.model.host import Device, Host
from gpupass.model.intel import Knob
from gpupass.step import Facts, Kind, Rank, Step, facts
from gpupass.steps import vfs
from gpupass.steps.attribute import SetAttribute
from gpupass.steps.bind import Binding
from gpupass.steps.module import module_directory
from gpupass.system import System

_SECONDS = 300.0  # GIM resets every GPU it has


class SetShare(SetAttribute, frozen=True, kw_only=True):
    """What a virtual function gets of its GPU: said while there are none, where their number changes.

    Of those of one GPU the one with the lower `turn` goes first.
    """

    turn: int = 0

    @property
    def rank(self) -> Rank:
        return (-self.turn,)

    @property
    def gives(self) -> Facts:
        return facts((Kind.SHARES, self.address))

    def after(self, host: Host) -> Host:
        return host.altered(self.address, self._shared)

    def _shared(self, device: Device) -> Device:
        intel = device.facts.intel
        if intel is None:
            return device
        told = replace(
            intel,
            quantum=self._turned(intel.quantum),
            timeout=self._turned(intel.timeout),
            memory=self._turned(intel.memory, parts=True),
            auto=self.value == "1" if self.path == intel.auto_file else intel.auto,
        )
        return replace(device, detail=replace(device.facts, intel=told))

    def _turned(self, knob: Knob | None, parts: bool = False) -> Knob | None:
        """Memory is the sum of what the parts of the GPU have."""
        if knob is None:
            return None
        value = int(self.value) * (len(knob.paths) if parts else 1)
        vfs = tuple(value if self.path in knob.files(vf) else old for vf, old in enumerate(knob.vfs))
        return replace(knob, pf=value if self.path in knob.files(None) else knob.pf, vfs=vfs)


class SetMemoryMode(SetAttribute, frozen=True, kw_only=True):
    """The memory mode that a number of virtual functions goes with, once they are there."""

    @property
    def needs(self) -> Facts:
        return super().needs | facts((Kind.VFS, self.address))


class Loaded(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`options` as the module tells them: "vf_num=1,1"; `vfs`: the virtual functions of its devices."""

    loaded: bool
    options: str
    vfs: dict[Address, Binding]


class ReloadModule(Step, frozen=True, kw_only=True):
    """Take a kernel module out and load it with `options` ("vf_num=8,1"); all its devices go meanwhile.

    `back`: the options of a rollback, where the module does not tell those it was loaded with.
    """

    module: str
    options: str
    back: str = ""
    addresses: tuple[Address, ...] = ()  # of its devices

    Before: ClassVar[Any] = Loaded

    @property
    def carriers(self) -> tuple[Address, ...]:
        return self.addresses

    @property
    def needs(self) -> Facts:
        return super().needs | facts(*((Kind.SHARES, gpu) for gpu in self.addresses))

    @property
    def gives(self) -> Facts:
        return facts(*((Kind.VFS, gpu) for gpu in self.addresses))

    @property
    def ends(self) -> Facts:
        return self.gives

    @property
    def without(self) -> Facts:
        """On the way back the file of every boot must be the old one when the module is loaded."""
        lent = ((Kind.LENT, gpu) for gpu in self.addresses)
        return facts(*lent, (Kind.FILE, GIM_OPTIONS))

    @property
    def rebinds(self) -> tuple[Address, ...]:
        return self.addresses

    def words(self) -> str:
        return f"load the kernel module {self.module} anew with {self.options}"

    def seconds(self) -> float:
        return 10.0 + 10.0 * len(self.addresses)

    def after(self, host: Host) -> Host:
        for address, count in zip(self.addresses, vf_counts(self.options), strict=False):
            host = vfs.with_vfs(vfs.with_vfs(host, address, 0), address, count)
        return host

    def current(self, system: System) -> Loaded:
        """Of the options that the step names; a module that is given none of them tells none."""
        parameters = f"{module_directory(self.module)}/parameters"
        names = [option.partition("=")[0] for option in self.options.split()]
        values = {name: system.read(f"{parameters}/{name}") for name in names}
        told = " ".join(f"{name}={value}" for name, value in values.items() if value)
        return Loaded(
            loaded=system.exists(module_directory(self.module)),
            options=told,
            vfs={vf: had for pf in self.addresses for vf, had in vfs.bindings(system, pf).items()},
        )

    def do(self, system: System, deadline: float) -> None:
        """GpupassError when it cannot be taken out, or does not say what it was loaded with.

        Where a device has as many virtual functions as before, they get the drivers back that they had.
        """
        had = {pf: vfs.bindings(system, pf) for pf in self.addresses}
        _reach(self, True, self.options, system)
        for pf, bindings in had.items():
            if bindings.keys() == vfs.bindings(system, pf).keys():
                vfs.bind_again(system, bindings)

    def undo(self, before: Any, system: System) -> None:
        now = self.current(system)
        if now == before:
            return
        if now.loaded and now.options not in (before.options, self.options, self.back):
            raise NeedsPerson(
                f"cannot load {self.module} with {before.options or 'no options'} again: "
                f"somebody else has loaded it with {now.options or 'none'} meanwhile",
                f"cat {module_directory(self.module)}/parameters/*",
            )
        _reach(self, before.loaded, before.options or self.back, system)
        vfs.bind_again(system, before.vfs)


def _reach(step: ReloadModule, loaded: bool, options: str, system: System) -> None:
    now = step.current(system)
    if (now.loaded, now.options) == (loaded, options):
        return
    if now.loaded:
        for pf in step.addresses:
            vfs.require_closed(system, pf)
        system.run("modprobe", "-r", "--", step.module, timeout=_SECONDS, about=step.addresses)
    if not loaded:
        return
    load = ("modprobe", "--", step.module, *options.split())
    system.run(*load, timeout=_SECONDS, about=step.addresses)
    found = step.current(system)
    if not found.loaded or found.options != options:
        raise GpupassError(
            f"cannot load {step.module} with {options}: it says {found.options or 'nothing'}",
            f"modinfo {step.module}; dmesg | tail",
        )
