"""Make and remove one mediated device: `create` of its type, its own `remove`.

Source: Documentation/driver-api/vfio-mediated-device.rst. A removal under an open VFIO file waits for ever
(vfio_unregister_group_dev), so the write is guarded.
"""

import errno
from typing import Any, ClassVar

from msgspec.structs import replace

from gpupass.errors import GpupassError, KernelRefused
from gpupass.model.address import Address
from gpupass.model.host import B, Host
from gpupass.model.mdev import Mdev
from gpupass.step import NOTHING, Facts, Kind, Rank, Step, facts
from gpupass.steps.release import opener
from gpupass.system import System

_CREATE_SECONDS = 60.0  # a vendor's driver may talk to its firmware
_REMOVE_SECONDS = 20.0
_FULL = (errno.ENOSPC, errno.EUSERS, errno.EBUSY, errno.ENOMEM)


class SetMdev(Step, frozen=True, kw_only=True):
    """Is there a mediated device of this type and UUID on the parent?"""

    address: Address
    uuid: str
    type: str  # its id in mdev_supported_types
    present: bool
    turn: int = 0  # of several the higher is made first and goes last

    Before: ClassVar[Any] = bool

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def _there(self) -> Facts:
        of = self.of or self.address
        return facts((Kind.PART, self.uuid), (Kind.PART, f"{of}/{self.uuid}"), (Kind.CUT, of))

    @property
    def needs(self) -> Facts:
        """One that is on a GPU instance does not say so: its type is of its driver's naming."""
        closed = NOTHING if self.present else facts((Kind.CLOSED, self.address))
        return super().needs | closed | facts((Kind.INSTANCE, self.of or self.address))

    @property
    def gives(self) -> Facts:
        return self._there if self.present else NOTHING

    @property
    def ends(self) -> Facts:
        return NOTHING if self.present else self._there

    @property
    def rank(self) -> Rank:
        return (self.turn if self.present else -self.turn,)

    def words(self) -> str:
        verb = "make" if self.present else "remove"
        return f"{verb} the mediated device {self.uuid} ({self.type}) of {self.address}"

    def seconds(self) -> float:
        return 1.0

    def after(self, host: Host) -> Host:
        return host.altered_parent(self.address, self._with)

    def _with(self, parent: B) -> B:
        """How many more there can be is known for types of which there was one left, and for no other."""
        others: tuple[Mdev, ...] = tuple(mdev for mdev in parent.facts.mdevs if mdev.uuid != self.uuid)
        mdevs = (*others, Mdev(uuid=self.uuid, type=self.type)) if self.present else others
        return replace(parent, detail=replace(parent.facts, mdevs=mdevs))

    def current(self, system: System) -> bool:
        """GpupassError when the UUID belongs to another kind of device."""
        found = system.link(f"{_device(self)}/mdev_type")
        if found not in (None, self.type):
            raise GpupassError(
                f"cannot make {self.uuid} on {self.address}: there is a mediated device {found} of this UUID",
                f"ls -l {_device(self)}",
            )
        return system.exists(_device(self))

    def do(self, system: System, deadline: float) -> None:
        _reach(self, self.present, system)

    def undo(self, before: Any, system: System) -> None:
        _reach(self, bool(before), system)


def _reach(step: SetMdev, present: bool, system: System) -> None:
    if step.current(system) == present:
        return
    (_create if present else _remove)(step, system)
    if step.current(system) != present:
        verb = "make" if present else "remove"
        raise GpupassError(
            f"cannot {verb} {step.uuid} of {step.address}: the kernel has not done it", "dmesg"
        )


def _create(step: SetMdev, system: System) -> None:
    kind = f"/sys/class/mdev_bus/{step.address}/mdev_supported_types/{step.type}"
    try:
        what = f"make a {step.type} on {step.address}"
        system.write(f"{kind}/create", step.uuid, step.address, what=what, seconds=_CREATE_SECONDS)
    except KernelRefused as error:
        if error.errno not in _FULL:
            raise
        raise GpupassError(
            f"cannot {what}: it has no room for another one", f"cat {kind}/available_instances"
        ) from None


def _remove(step: SetMdev, system: System) -> None:
    """NVIDIA's driver may remove its own when the guest ends: then nothing is left to do."""
    what = f"remove {step.uuid} of {step.address}"
    who = opener(system, _device(step))
    if who is not None:
        raise GpupassError(f"cannot {what}: {who}", f"gpupass show {step.address}")
    try:
        system.write(f"{_device(step)}/remove", "1", step.address, what=what, seconds=_REMOVE_SECONDS)
    except KernelRefused as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise


def _device(step: SetMdev) -> str:
    return f"/sys/bus/mdev/devices/{step.uuid}"
