"""Settings of a card for all its vGPUs; NVML is asked again after each change."""

from enum import StrEnum
from typing import Any, ClassVar

from msgspec.structs import replace

from gpupass.errors import GpupassError
from gpupass.model.address import Address
from gpupass.model.host import Device, Host, VgpuCard
from gpupass.step import NOTHING, Facts, Kind, Step, facts
from gpupass.system import System, vgpu_card

DEFAULT_TURNS = "best-effort"


class Fact(StrEnum):
    """What steps of this way give and need among themselves."""

    SHARING = "sharing"  # its vGPUs may be of as many sizes as they are to be
    TURNS = "turns"  # … and take turns as they are to


class SetVgpuSharing(Step, frozen=True, kw_only=True):
    """May vGPUs of several sizes share the card (NVIDIA's heterogeneous mode)?"""

    address: Address
    mixed: bool

    Before: ClassVar[Any] = bool | None

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def gives(self) -> Facts:
        mixed = ((Kind.MIXED, self.address),) if self.mixed else ()
        return facts((Fact.SHARING, self.address), *mixed)

    @property
    def ends(self) -> Facts:
        return NOTHING if self.mixed else facts((Kind.MIXED, self.address))

    @property
    def without(self) -> Facts:
        return facts((Kind.CUT, self.address))

    def words(self) -> str:
        return f"let vGPUs of {'several sizes' if self.mixed else 'one size'} share {self.address}"

    def after(self, host: Host) -> Host:
        return _told(host, self.address, mixed=self.mixed)

    def current(self, system: System) -> bool | None:
        return _card(system, self.address).mixed

    def do(self, system: System, deadline: float) -> None:
        self._reach(self.mixed, system)

    def undo(self, before: Any, system: System) -> None:
        """None: the driver has not told, so nothing is known to go back to."""
        if before is not None:
            self._reach(bool(before), system)

    def _reach(self, wanted: bool, system: System) -> None:
        if self.current(system) != wanted:
            vgpu_card.set_mixed(system, self.address, wanted)
            _require(self.address, self.current(system), wanted)


class SetVgpuScheduler(Step, frozen=True, kw_only=True):
    """How the vGPUs of a card take turns: best-effort, equal-share or fixed-share."""

    address: Address
    policy: str

    Before: ClassVar[Any] = str | None

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def gives(self) -> Facts:
        turns = ((Kind.TURNS, self.address),) if self.policy != DEFAULT_TURNS else ()
        return facts((Fact.TURNS, self.address), *turns)

    @property
    def ends(self) -> Facts:
        return facts((Kind.TURNS, self.address)) if self.policy == DEFAULT_TURNS else NOTHING

    def words(self) -> str:
        return f"have the vGPUs of {self.address} take turns by {self.policy}"

    def after(self, host: Host) -> Host:
        return _told(host, self.address, scheduler=self.policy)

    def current(self, system: System) -> str | None:
        return _card(system, self.address).scheduler

    def do(self, system: System, deadline: float) -> None:
        self._reach(self.policy, system)

    def undo(self, before: Any, system: System) -> None:
        """None: likewise."""
        if before is not None:
            self._reach(str(before), system)

    def _reach(self, wanted: str, system: System) -> None:
        if self.current(system) != wanted:
            vgpu_card.set_scheduler(system, self.address, wanted)
            _require(self.address, self.current(system), wanted)


def _card(system: System, address: Address) -> VgpuCard:
    return vgpu_card.card(system, address) or VgpuCard()


def _require(address: Address, found: bool | str | None, wanted: bool | str) -> None:
    if found != wanted:
        raise GpupassError(
            f"cannot change the vGPU settings of {address}: the driver has not taken {wanted}",
            "nvidia-smi vgpu -q",
        )


def _told(host: Host, address: Address, **settings: Any) -> Host:
    def changed(device: Device) -> Device:
        nvidia = device.facts.nvidia
        if nvidia is None:
            return device
        card = replace(nvidia.vgpu_card or VgpuCard(), **settings)
        return replace(device, detail=replace(device.facts, nvidia=replace(nvidia, vgpu_card=card)))

    return host.altered(address, changed)
