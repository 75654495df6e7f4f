"""What a vGPU's plugin is told: `vgpu_params` of a VF or a mediated device.

Single keys cannot be taken back, a blank takes all; the driver reads them when the guest starts, and refuses
while it runs (NVIDIA AI Enterprise, vGPU C-series).
"""

from typing import Any, ClassVar

from msgspec.structs import replace

from gpupass.errors import GpupassError
from gpupass.model.address import Address, sysfs
from gpupass.model.host import Device, Host
from gpupass.step import Facts, Kind, Step, facts
from gpupass.system import System


class SetVgpuParams(Step, frozen=True, kw_only=True):
    """What a vGPU's plugin is told when its guest starts: "frame_rate_limiter=0 disable_vnc=1"."""

    address: Address
    params: str
    mdev: str | None = None

    Before: ClassVar[Any] = str

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def needs(self) -> Facts:
        return super().needs | facts((Kind.PART, self.mdev or self.address), (Kind.CLOSED, self.address))

    @property
    def without(self) -> Facts:
        return facts((Kind.LENT, self.mdev or self.address))

    def words(self) -> str:
        return f"tell the vGPU of {self.mdev or self.address}: {self.params}"

    def after(self, host: Host) -> Host:
        return host.altered(self.address, self._told)

    def _told(self, device: Device) -> Device:
        if self.mdev is not None:
            mdevs = (replace(m, params=self.params) if m.uuid == self.mdev else m for m in device.facts.mdevs)
            return replace(device, detail=replace(device.facts, mdevs=tuple(mdevs)))
        vgpu = device.facts.vgpu
        if vgpu is None:
            return device
        return replace(device, detail=replace(device.facts, vgpu=replace(vgpu, params=self.params)))

    def current(self, system: System) -> str:
        return " ".join(sorted(_words(system.read(_path(self)) or "")))

    def do(self, system: System, deadline: float) -> None:
        _reach(self, self.params, system)

    def undo(self, before: Any, system: System) -> None:
        """A vGPU that has gone meanwhile has none either."""
        if system.exists(_path(self)):
            _reach(self, str(before), system)


def _reach(step: SetVgpuParams, wanted: str, system: System) -> None:
    if _words(step.current(system)) == _words(wanted):
        return
    what = f"set the parameters of the vGPU {step.mdev or step.address}"
    system.write(_path(step), " ", step.address, what=what)
    if wanted:
        system.write(_path(step), wanted, step.address, what=what)
    if not _words(wanted) <= _words(step.current(system)):
        raise GpupassError(
            f"cannot set {wanted} for the vGPU of {step.mdev or step.address}: the driver has not taken it",
            f"cat {_path(step)}",
        )


def _words(text: str) -> set[str]:
    return set(text.replace(",", " ").split())


def _path(step: SetVgpuParams) -> str:
    if step.mdev is not None:
        return f"/sys/bus/mdev/devices/{step.mdev}/nvidia/vgpu_params"
    return sysfs(step.address, "nvidia/vgpu_params")
