"""The memory mode of a hive of AMD GPUs: asked for, then done while amdgpu lets go of all of them.

A write to current_memory_partition only records the wish. It reaches the firmware when the first GPU of
the hive leaves the driver (amdgpu_gmc_prepare_nps_mode_change), and comes true with the reset that follows
when the driver has all of them again (amdgpu_xgmi_reset_on_init). The way back is the same way once more, so
it is one step: the wish must be said while the driver is there; steps undone one by one would be too late.
"""

from enum import StrEnum
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from gpupass.errors import GpupassError, NeedsPerson
from gpupass.model.address import Address, sysfs
from gpupass.model.amd import AMDGPU
from gpupass.model.host import Device, Host
from gpupass.step import Facts, Kind, Step, facts
from gpupass.steps import attribute
from gpupass.steps.bind import bind, binding
from gpupass.system import System


class Fact(StrEnum):
    """What steps of this way give and need among themselves."""

    MEMORY = "memory mode"


class Modes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The memory mode of the hive and the compute mode of each GPU, which goes with it."""

    memory: str
    computes: dict[Address, str]


class SetComputePartition(Step, frozen=True, kw_only=True):
    """Into how many compute partitions an AMD GPU is split."""

    address: Address
    mode: str  # CPX

    Before: ClassVar[Any] = str | None

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def needs(self) -> Facts:
        return super().needs | facts((Fact.MEMORY, self.address))

    @property
    def ends(self) -> Facts:
        """The partitions that were; which there are then shows at the next look."""
        return facts((Kind.CUT, self.address))

    @property
    def without(self) -> Facts:
        return facts((Kind.AT_WORK, self.address))

    def words(self) -> str:
        return f"set current_compute_partition of {self.address} to {self.mode}"

    def after(self, host: Host) -> Host:
        return host.altered(self.address, self._changed)

    def _changed(self, device: Device) -> Device:
        """Its partitions show at the next look."""
        amd = device.facts.amd
        if amd is None:
            return device
        return replace(
            device, detail=replace(device.facts, amd=replace(amd, compute=self.mode, partitions=()))
        )

    def current(self, system: System) -> str | None:
        return attribute.read(system, _path(self.address, "compute"))

    def do(self, system: System, deadline: float) -> None:
        attribute.write(system, self.address, _path(self.address, "compute"), self.mode)

    def undo(self, before: Any, system: System) -> None:
        attribute.put_back(system, self.address, _path(self.address, "compute"), self.mode, before)


class SetMemoryPartition(Step, frozen=True, kw_only=True):
    """Another memory mode of all AMD GPUs of a hive: amdgpu lets go of them and takes them again."""

    addresses: tuple[Address, ...]
    mode: str  # NPS4

    Before: ClassVar[Any] = Modes

    @property
    def carriers(self) -> tuple[Address, ...]:
        return self.addresses

    @property
    def gives(self) -> Facts:
        return facts(*((Fact.MEMORY, address) for address in self.addresses))

    @property
    def ends(self) -> Facts:
        """Likewise."""
        return facts(*((Kind.CUT, address) for address in self.addresses))

    @property
    def without(self) -> Facts:
        return facts(*((Kind.AT_WORK, address) for address in self.addresses))

    @property
    def rebinds(self) -> tuple[Address, ...]:
        return self.addresses

    def words(self) -> str:
        return f"change the memory mode of {', '.join(self.addresses)} to {self.mode}"

    def seconds(self) -> float:
        return 10.0 + 5.0 * len(self.addresses)

    def after(self, host: Host) -> Host:
        for address in self.addresses:
            host = host.altered(address, self._changed)
        return host

    def _changed(self, device: Device) -> Device:
        """Which compute mode it will have then the driver decides."""
        amd = device.facts.amd
        if amd is None:
            return device
        new = replace(amd, memory=self.mode, compute="", computes=(), partitions=())
        return replace(device, detail=replace(device.facts, amd=new))

    def current(self, system: System) -> Modes:
        return _modes(self, system)

    def do(self, system: System, deadline: float) -> None:
        """GpupassError when the driver cannot take all GPUs back, or the firmware keeps the old mode."""
        _reach(self.addresses, self.mode, system)

    def undo(self, before: Any, system: System) -> None:
        """From any point in between: first everything back to the driver, then look."""
        for address in self.addresses:
            _bind(address, AMDGPU, system)
        now = _modes(self, system)
        if now.memory not in (before.memory, self.mode):
            raise NeedsPerson(
                f"cannot put the memory mode of {self.addresses[0]} back to {before.memory}: "
                f"somebody else has made it {now.memory} meanwhile",
                f"gpupass show {self.addresses[0]}",
            )
        _reach(self.addresses, before.memory, system)
        for address, mode in before.computes.items():
            attribute.write(system, address, _path(address, "compute"), mode)


def _modes(step: SetMemoryPartition, system: System) -> Modes:
    memories = {attribute.read(system, _path(address, "memory")) for address in step.addresses}
    memory = memories.pop()
    if memories or memory is None:
        raise GpupassError(
            f"cannot tell the memory mode of {', '.join(step.addresses)}: they do not say the same",
            f"gpupass show {step.addresses[0]}",
        )
    computes = {a: attribute.read(system, _path(a, "compute")) for a in step.addresses}
    return Modes(memory=memory, computes={a: mode for a, mode in computes.items() if mode is not None})


def _reach(addresses: tuple[Address, ...], mode: str, system: System) -> None:
    first = addresses[0]
    if _has(addresses, mode, system):
        return
    log = system.kernel_log()
    system.write(_path(first, "memory"), mode, *addresses, what=f"ask for {mode} on {first}")
    try:
        _bind(first, None, system)
    except GpupassError as error:  # amdgpu passes over a wish for the mode it has, so this one stays
        error.message += f"; {AMDGPU} still changes to {mode} when it next lets go of a GPU of the hive"
        raise
    for address in addresses[1:]:
        _bind(address, None, system)
    for address in addresses:
        _bind(address, AMDGPU, system)
    if not _has(addresses, mode, system):
        said = log.since(first)
        raise GpupassError(
            f"cannot change the memory mode of {', '.join(addresses)} to {mode}: "
            "the firmware has kept the old one" + (f"; kernel: {said}" if said else ""),
            f"dmesg | grep {first}",
        )


def _has(addresses: tuple[Address, ...], mode: str, system: System) -> bool:
    return all(attribute.read(system, _path(address, "memory")) == mode for address in addresses)


def _bind(address: Address, driver: str | None, system: System) -> None:
    """With whatever driver_override there is."""
    bind(system, address, driver, binding(system, address).override)


def _path(address: Address, what: str) -> str:
    return sysfs(address, f"current_{what}_partition")
