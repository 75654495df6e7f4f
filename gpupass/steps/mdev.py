"""Make and remove one mediated device: `create` of its type, its own `remove`.

Source: Documentation/driver-api/vfio-mediated-device.rst. A removal under an open VFIO file waits for ever
(vfio_unregister_group_dev), so the write is guarded.
"""

import errno
from typing import Any

from gpupass.errors import GpupassError, KernelRefused
from gpupass.model.step import SetMdev
from gpupass.system import System

_CREATE_SECONDS = 60.0  # a vendor's driver may talk to its firmware
_REMOVE_SECONDS = 20.0
_FULL = (errno.ENOSPC, errno.EUSERS, errno.EBUSY, errno.ENOMEM)


def current(step: SetMdev, system: System) -> bool:
    """GpupassError when the UUID belongs to another kind of device."""
    found = system.link(f"{_device(step)}/mdev_type")
    if found not in (None, step.type):
        raise GpupassError(
            f"cannot make {step.uuid} on {step.address}: there is a mediated device {found} of this UUID",
            f"ls -l {_device(step)}",
        )
    return system.exists(_device(step))


def do(step: SetMdev, system: System) -> None:
    _reach(step, step.present, system)


def undo(step: SetMdev, before: Any, system: System) -> None:
    _reach(step, bool(before), system)


def _reach(step: SetMdev, present: bool, system: System) -> None:
    if current(step, system) == present:
        return
    (_create if present else _remove)(step, system)
    if current(step, system) != present:
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
    try:
        what = f"remove {step.uuid} of {step.address}"
        system.write(f"{_device(step)}/remove", "1", step.address, what=what, seconds=_REMOVE_SECONDS)
    except KernelRefused as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise


def _device(step: SetMdev) -> str:
    return f"/sys/bus/mdev/devices/{step.uuid}"
