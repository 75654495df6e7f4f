"""The vGPU type of a VF in NVIDIA's vendor-specific VFIO framework: current_vgpu_type.

Source: Proxmox VE's qemu-server: one type after another goes through 0, the list of creatable types is read
again before each creation, and right after a guest has gone 0 may be refused for some seconds.
"""

import errno
from typing import Any, ClassVar

from msgspec.structs import replace

from gpupass.errors import GpupassError, KernelRefused
from gpupass.methods.vgpu.card import Fact
from gpupass.model.address import Address, sysfs
from gpupass.model.host import Device, Host
from gpupass.model.vgpu_types import Label, parse_types, read_label
from gpupass.step import NOTHING, Facts, Kind, Rank, Step, facts
from gpupass.system import System, interrupts

_SECONDS = 60.0
_CLOSING = 10.0
_LOOK_AGAIN = 0.5


class SetVgpuType(Step, frozen=True, kw_only=True):
    """The vGPU type of a VF of the vendor-specific framework; `id` 0: no vGPU."""

    address: Address
    id: int
    type: str  # its name, "A100-4C"

    Before: ClassVar[Any] = int

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def card(self) -> Address:
        return self.of or self.address

    @property
    def _label(self) -> Label | None:
        return read_label(self.type)

    @property
    def needs(self) -> Facts:
        backed = self._label is None or self._label.slices is not None
        instance = ((Kind.INSTANCE, self.card),) if backed else ()
        card = ((Fact.SHARING, self.card), (Fact.TURNS, self.card)) if self.id else ()
        return super().needs | facts((Kind.CLOSED, self.address), *card, *instance)

    @property
    def _there(self) -> Facts:
        return facts((Kind.CUT, self.card), (Kind.PART, self.address))

    @property
    def gives(self) -> Facts:
        return self._there if self.id else NOTHING

    @property
    def ends(self) -> Facts:
        return NOTHING if self.id else self._there

    @property
    def without(self) -> Facts:
        return facts((Kind.LENT, self.address))

    @property
    def rank(self) -> Rank:
        """The largest is made first and goes last: so no gaps are left."""
        size = self._label.memory if self._label is not None else 0
        return (size if self.id else -size,)

    def words(self) -> str:
        return f"make {self.address} a vGPU {self.type}" if self.id else f"remove the vGPU of {self.address}"

    def seconds(self) -> float:
        return 1.0

    def after(self, host: Host) -> Host:
        return host.altered(self.address, self._changed)

    def _changed(self, device: Device) -> Device:
        vgpu = device.facts.vgpu
        if vgpu is None:
            return device
        return replace(device, detail=replace(device.facts, vgpu=replace(vgpu, current=self.id)))

    def current(self, system: System) -> int:
        text = system.read(f"{_directory(self)}/current_vgpu_type") or ""
        if not text.isdecimal():
            raise GpupassError(
                f"cannot read the vGPU type of {self.address}: its driver does not tell it",
                f"ls {_directory(self)}",
            )
        return int(text)

    def do(self, system: System, deadline: float) -> None:
        """GpupassError when the driver does not offer the type any more, or refuses it."""
        _reach(self, self.id, system)

    def undo(self, before: Any, system: System) -> None:
        _reach(self, int(before), system)


def _reach(step: SetVgpuType, wanted: int, system: System) -> None:
    now = step.current(system)
    if now == wanted:
        return
    if now:
        _clear(step, system)
    if wanted:
        _set(step, wanted, system)
    found = step.current(system)
    if found != wanted:
        raise GpupassError(
            f"cannot make {step.address} a vGPU {step.type}: its type reads {found or 'none'}", "dmesg"
        )


def _set(step: SetVgpuType, wanted: int, system: System) -> None:
    offered = parse_types(system.read(f"{_directory(step)}/creatable_vgpu_types") or "")
    if wanted not in {kind.id for kind in offered}:
        names = ", ".join(kind.name for kind in offered) or "nothing"
        raise GpupassError(
            f"cannot make {step.address} a vGPU {step.type}: its card has room for {names}",
            f"cat {_directory(step)}/creatable_vgpu_types",
        )
    _write(step, str(wanted), f"make {step.address} a vGPU {step.type}", system)


def _clear(step: SetVgpuType, system: System) -> None:
    what = f"remove the vGPU of {step.address}"
    deadline = system.monotonic() + _CLOSING
    while True:
        try:
            return _write(step, "0", what, system)
        except KernelRefused as error:
            if error.errno not in (errno.EPERM, errno.EBUSY):
                raise
            if system.monotonic() >= deadline:
                raise GpupassError(
                    f"cannot {what}: somebody has it open", f"gpupass show {step.address}"
                ) from None
        interrupts.heed(what)
        system.sleep(_LOOK_AGAIN)


def _write(step: SetVgpuType, value: str, what: str, system: System) -> None:
    path = f"{_directory(step)}/current_vgpu_type"
    system.write(path, value, step.address, what=what, seconds=_SECONDS)


def _directory(step: SetVgpuType) -> str:
    return sysfs(step.address, "nvidia")
