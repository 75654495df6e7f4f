"""NVIDIA persistence mode, which keeps the device open (nvidia-smi -pm)."""

from typing import Any, ClassVar

from msgspec.structs import replace

from gpupass.model.address import Address
from gpupass.model.host import Device, Host
from gpupass.model.user import User, UserKind
from gpupass.step import NOTHING, Facts, Kind, Step, facts
from gpupass.system import System

PERSISTENCED = "nvidia-persiste"  # nvidia-persistenced, cut by the kernel; it lets go when it is told to


class SetPersistence(Step, frozen=True, kw_only=True):
    """NVIDIA persistence mode of one GPU."""

    address: Address
    uuid: str
    on: bool

    Before: ClassVar[Any] = bool
    means: ClassVar[bool] = True

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def gives(self) -> Facts:
        return facts((Kind.PERSISTENCE, self.address)) if self.on else NOTHING

    @property
    def ends(self) -> Facts:
        return NOTHING if self.on else facts((Kind.PERSISTENCE, self.address))

    def words(self) -> str:
        return f"switch persistence mode {'on' if self.on else 'off'} on {self.address}"

    def after(self, host: Host) -> Host:
        return host.altered(self.address, self._changed)

    def _changed(self, device: Device) -> Device:
        nvidia = device.facts.nvidia
        if nvidia is None:
            return device
        users = device.users if self.on else tuple(user for user in device.users if not _is_daemon(user))
        changed = replace(device.facts, nvidia=replace(nvidia, persistence=self.on))
        return replace(device, detail=changed, users=users)

    def current(self, system: System) -> bool:
        return is_persistent(system, self.address, self.uuid)

    def do(self, system: System, deadline: float) -> None:
        set_persistence(system, self.address, self.uuid, self.on)

    def undo(self, before: Any, system: System) -> None:
        set_persistence(system, self.address, self.uuid, bool(before))


def _is_daemon(user: User) -> bool:
    """It lets go."""
    return user.kind is UserKind.PROCESS and user.name == PERSISTENCED


def is_persistent(system: System, address: Address, uuid: str) -> bool:
    question = ("--query-gpu=persistence_mode", "--format=csv,noheader")
    answer = system.run("nvidia-smi", "-i", uuid, *question, about=(address,))
    return answer.strip() == "Enabled"


def set_persistence(system: System, address: Address, uuid: str, on: bool) -> None:
    system.run("nvidia-smi", "-i", uuid, "-pm", "1" if on else "0", about=(address,))
