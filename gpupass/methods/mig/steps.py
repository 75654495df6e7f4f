"""GPU instances and compute instances of a MIG GPU: there or not, found by profile and place."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar

from msgspec.structs import replace

from gpupass.errors import GpupassError
from gpupass.model.address import Address
from gpupass.model.host import Device, Host
from gpupass.model.mig import ComputeInstance, GpuInstance, MigGpu, MigState, Placement, instance_name
from gpupass.step import NOTHING, Facts, Kind, Rank, Step, facts
from gpupass.system import System, mig_change

_NO_ID = -1  # the driver chooses one


class Fact(StrEnum):
    """What steps of this way give, end and need among themselves."""

    COMPUTE = "compute instance"


class _Instance(Step, frozen=True, kw_only=True):
    """Placements of GPU instances count memory slices of the GPU, of compute instances those of theirs."""

    address: Address
    uuid: str
    profile: str
    profile_id: int
    placement: Placement
    present: bool
    in_use: bool = False  # goes first: where the driver refuses that, nothing else has lost its UUID for it

    Before: ClassVar[Any] = bool

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def _at(self) -> mig_change.At:
        """The GPU instance that it is, or is a part of."""
        return self.profile_id, self.placement.start

    def words(self) -> str:
        return f"{'make' if self.present else 'destroy'} {self.name} on {self.address}"

    def seconds(self) -> float:
        return 0.3

    def after(self, host: Host) -> Host:
        return recut(host, self.address, self._recut)

    def _recut(self, gpu: MigGpu) -> MigGpu:
        raise NotImplementedError

    def current(self, system: System) -> bool:
        """Is it there?"""
        raise NotImplementedError

    def _change(self, present: bool, system: System) -> bool:
        """Is it there afterwards? Nothing happens where it is so already."""
        raise NotImplementedError

    def do(self, system: System, deadline: float) -> None:
        """GpupassError when the driver refuses, or says yes and a fresh look does not show it."""
        self._reach(self.present, system)

    def undo(self, before: Any, system: System) -> None:
        self._reach(bool(before), system)

    def _reach(self, present: bool, system: System) -> None:
        if self._change(present, system) != present:
            verb = "make" if present else "destroy"
            raise GpupassError(
                f"cannot {verb} {self.name} on {self.address}: the driver says it has, and it has not",
                f"gpupass show {self.address}",
            )


class SetGpuInstance(_Instance, frozen=True, kw_only=True):
    """Whether a MIG GPU has this GPU instance."""

    beside: ClassVar[str] = "a GPU instance cannot go"

    @property
    def name(self) -> str:
        """3g.20gb@4."""
        return instance_name(self.profile, self.placement)

    @property
    def needs(self) -> Facts:
        return super().needs | facts((Kind.MIG_MODE, self.address))

    @property
    def _there(self) -> Facts:
        return facts((Kind.INSTANCE, self.address), (Kind.PART, f"{self.address}/{self.name}"))

    @property
    def gives(self) -> Facts:
        return self._there if self.present else NOTHING

    @property
    def ends(self) -> Facts:
        return NOTHING if self.present else self._there

    @property
    def rank(self) -> Rank:
        """The largest are made first, of equal ones that at the lowest slice."""
        return self.placement.size if self.present else int(self.in_use), -self.placement.start

    def _recut(self, gpu: MigGpu) -> MigGpu:
        rest = [one for one in gpu.instances if not _is(one, self.profile, self.placement.start)]
        made = GpuInstance(id=_NO_ID, profile=self.profile, placement=self.placement)
        there = [*rest, made] if self.present else rest
        return replace(gpu, instances=tuple(sorted(there, key=lambda one: (one.placement, one.profile))))

    def current(self, system: System) -> bool:
        return mig_change.has_gpu_instance(system, self.address, self._at)

    def _change(self, present: bool, system: System) -> bool:
        if present:
            return mig_change.make_gpu_instance(
                system, self.address, self.profile_id, self.placement, self.name
            )
        return mig_change.destroy_gpu_instance(system, self.address, self._at, self.name)


class SetComputeInstance(_Instance, frozen=True, kw_only=True):
    """Whether the GPU instance `profile` at `start` has this compute instance."""

    start: int

    @property
    def name(self) -> str:
        """2c@0 of 4g.20gb@0."""
        return f"{self.placement.size}c@{self.placement.start} of {self.profile}@{self.start}"

    @property
    def needs(self) -> Facts:
        return super().needs | facts((Kind.PART, self._instance))

    @property
    def _instance(self) -> str:
        return f"{self.address}/{self.profile}@{self.start}"

    @property
    def _there(self) -> Facts:
        return facts((Fact.COMPUTE, self.address), (Kind.WHOLE, self._instance))

    @property
    def gives(self) -> Facts:
        return self._there if self.present else NOTHING

    @property
    def ends(self) -> Facts:
        return NOTHING if self.present else self._there

    @property
    def rank(self) -> Rank:
        """Likewise."""
        first = self.placement.size if self.present else int(self.in_use)
        return first, -self.start, -self.placement.start

    @property
    def _at(self) -> mig_change.At:
        return self.profile_id, self.start

    def _recut(self, gpu: MigGpu) -> MigGpu:
        of = (self.profile, self.start)
        return replace(
            gpu, instances=tuple(self._with(one) if _is(one, *of) else one for one in gpu.instances)
        )

    def _with(self, instance: GpuInstance) -> GpuInstance:
        rest = [part for part in instance.compute if part.placement != self.placement]
        parts = [*rest, ComputeInstance(id=_NO_ID, placement=self.placement)] if self.present else rest
        return replace(instance, compute=tuple(sorted(parts, key=lambda part: part.placement)))

    def current(self, system: System) -> bool:
        return mig_change.has_compute_instance(system, self.address, self.uuid, self._at, self.placement)

    def _change(self, present: bool, system: System) -> bool:
        at = (system, self.address, self.uuid, self._at, self.placement, self.name)
        if present:
            return mig_change.make_compute_instance(*at)
        return mig_change.destroy_compute_instance(*at)


def recut(host: Host, address: Address, change: Callable[[MigGpu], MigGpu]) -> Host:
    return cut_after(
        host, address, lambda cut: replace(cut, gpu=change(cut.gpu) if cut.gpu is not None else None)
    )


def cut_after(host: Host, address: Address, change: Callable[[MigState], MigState]) -> Host:
    """The host with another MIG state of that GPU, where it has one."""

    def changed(device: Device) -> Device:
        nvidia = device.facts.nvidia
        if nvidia is None or nvidia.mig is None:
            return device
        return replace(device, detail=replace(device.facts, nvidia=replace(nvidia, mig=change(nvidia.mig))))

    return host.altered(address, changed)


def _is(instance: GpuInstance, profile: str, start: int) -> bool:
    return instance.profile == profile and instance.placement.start == start
