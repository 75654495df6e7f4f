"""Cutting NVIDIA GPUs: one NVML call that changes something each, and the fresh look at what it came to.

A GPU is found by its PCI address, an instance by profile and place: ids are given anew, UUIDs too.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import byref
from typing import Any

from gpupass.errors import GpupassError
from gpupass.model.address import Address
from gpupass.model.mig import Placement
from gpupass.model.user import User
from gpupass.system.door import System
from gpupass.system.holders import process_name
from gpupass.system.mig import (
    compute_instances,
    compute_profiles,
    gpu_instances,
    named,
    placement_of,
    read_users,
)
from gpupass.system.nvml_library import (
    CHANGE_SECONDS,
    FUNCTION_NOT_FOUND,
    IN_USE,
    INSUFFICIENT_RESOURCES,
    READ_SECONDS,
    RESET_REQUIRED,
    Opened,
    code,
    why,
)

At = tuple[int, int]  # a profile's id, and the first slice of its instance
Ended = tuple[
    bool, tuple[User, ...] | None
]  # is it there; by whom it is used, so that it could not be destroyed


def mode(system: System, address: Address) -> tuple[bool, bool]:
    """MIG mode now, and after the next reset."""
    return system.nvml.ask(address, _mode, address, seconds=READ_SECONDS)


def _mode(opened: Opened, address: Address) -> tuple[bool, bool]:
    with opened.gpu(address, f"read the MIG mode of {address}") as (nvml, device):
        now, pending = nvml.nvmlDeviceGetMigMode(device)
        return bool(now), bool(pending)


def set_mode(system: System, address: Address, on: bool) -> str:
    """What the driver waits for, or "": the mode can be pending after a success and after these errors."""
    return system.nvml.ask(address, _set_mode, address, on, seconds=CHANGE_SECONDS)


def _set_mode(opened: Opened, address: Address, on: bool) -> str:
    with opened.gpu(address, f"switch MIG mode of {address} {'on' if on else 'off'}") as (nvml, device):
        try:
            status = nvml.nvmlDeviceSetMigMode(device, int(on))
        except nvml.NVMLError as error:
            if code(error) not in (IN_USE, RESET_REQUIRED):
                raise
            return why(error)
        return "" if status == nvml.NVML_SUCCESS else why(nvml.NVMLError(status))


def users(system: System, address: Address) -> tuple[User, ...]:
    """Processes and guests that work on the GPU or a part of it."""
    found = system.nvml.ask(address, _users, address, seconds=READ_SECONDS)
    return named(found, lambda pid: process_name(system, pid))


def _users(opened: Opened, address: Address) -> tuple[User, ...]:
    with opened.gpu(address, f"ask who uses {address}") as (nvml, device):
        return read_users(nvml, device)


def has_gpu_instance(system: System, address: Address, where: At) -> bool:
    return system.nvml.ask(address, _has_gpu_instance, address, where, seconds=READ_SECONDS)


def _has_gpu_instance(opened: Opened, address: Address, where: At) -> bool:
    with opened.gpu(address, f"read the GPU instances of {address}") as (nvml, device):
        return _find_gpu_instance(nvml, device, where) is not None


def make_gpu_instance(system: System, address: Address, profile_id: int, place: Placement, name: str) -> bool:
    """Is it there afterwards? Nothing happens when it has been before."""
    where = (profile_id, place.start)
    return system.nvml.ask(address, _make_gpu_instance, address, where, place, name, seconds=CHANGE_SECONDS)


def _make_gpu_instance(opened: Opened, address: Address, where: At, place: Placement, name: str) -> bool:
    what = f"make {name} on {address}"
    with opened.gpu(address, what) as (nvml, device):
        if _find_gpu_instance(nvml, device, where) is not None:
            return True
        wanted = nvml.c_nvmlGpuInstancePlacement_t(place.start, place.size)
        with _taken(nvml, what, address):
            nvml.nvmlDeviceCreateGpuInstanceWithPlacement(device, where[0], byref(wanted))
        return _find_gpu_instance(nvml, device, where) is not None


def destroy_gpu_instance(system: System, address: Address, where: At, name: str) -> bool:
    """Is it there afterwards? Nothing happens when it has not been before."""
    what = f"destroy {name} of {address}"
    there, users = system.nvml.ask(
        address, _destroy_gpu_instance, address, where, what, seconds=CHANGE_SECONDS
    )
    _require_unused(system, users, what, address)
    return there


def _destroy_gpu_instance(opened: Opened, address: Address, where: At, what: str) -> Ended:
    with opened.gpu(address, what) as (nvml, device):
        found = _find_gpu_instance(nvml, device, where)
        if found is None:
            return False, None
        users = _destroyed(nvml, device, nvml.nvmlGpuInstanceDestroy, found)
        return _find_gpu_instance(nvml, device, where) is not None, users


def has_compute_instance(system: System, address: Address, uuid: str, where: At, place: Placement) -> bool:
    """False also when there is no such GPU instance."""
    return system.nvml.ask(address, _has_compute_instance, address, uuid, where, place, seconds=READ_SECONDS)


def _has_compute_instance(opened: Opened, address: Address, uuid: str, where: At, place: Placement) -> bool:
    with opened.gpu(address, f"read the compute instances of {address}") as (nvml, device):
        instance = _find_gpu_instance(nvml, device, where)
        return _find_compute_instance(opened, instance, uuid, where[0], place) is not None


def make_compute_instance(
    system: System, address: Address, uuid: str, where: At, place: Placement, name: str
) -> bool:
    """Is it there afterwards? Nothing happens when it has been before."""
    return system.nvml.ask(
        address, _make_compute_instance, address, uuid, where, place, name, seconds=CHANGE_SECONDS
    )


def _make_compute_instance(
    opened: Opened, address: Address, uuid: str, where: At, place: Placement, name: str
) -> bool:
    what = f"make {name} on {address}"
    with opened.gpu(address, what) as (nvml, device):
        instance = _find_gpu_instance(nvml, device, where)
        if instance is None:
            raise GpupassError(f"cannot {what}: its GPU instance is gone", f"gpupass show {address}")
        if _find_compute_instance(opened, instance, uuid, where[0], place) is not None:
            return True
        known = compute_profiles(opened, instance, uuid, where[0])
        sizes = [slices for _, slices in known]
        ids = [number for number, slices in known if slices == place.size]
        if not ids:
            raise GpupassError(f"cannot {what}: the driver knows no such part", f"gpupass show {address}")
        with _taken(nvml, what, address):
            _create_compute(nvml, instance, ids[0], place, whole=place.size == max(sizes))
        return _find_compute_instance(opened, instance, uuid, where[0], place) is not None


def destroy_compute_instance(
    system: System, address: Address, uuid: str, where: At, place: Placement, name: str
) -> bool:
    """Is it there afterwards? Nothing happens when it has not been before."""
    what = f"destroy {name} of {address}"
    there, users = system.nvml.ask(
        address, _destroy_compute_instance, address, uuid, where, place, what, seconds=CHANGE_SECONDS
    )
    _require_unused(system, users, what, address)
    return there


def _destroy_compute_instance(
    opened: Opened, address: Address, uuid: str, where: At, place: Placement, what: str
) -> Ended:
    with opened.gpu(address, what) as (nvml, device):
        instance = _find_gpu_instance(nvml, device, where)
        found = _find_compute_instance(opened, instance, uuid, where[0], place)
        if found is None:
            return False, None
        users = _destroyed(nvml, device, nvml.nvmlComputeInstanceDestroy, found)
        return _find_compute_instance(opened, instance, uuid, where[0], place) is not None, users


def _create_compute(nvml: Any, instance: Any, profile_id: int, place: Placement, whole: bool) -> None:
    """Drivers that cannot be told a place have but one for what fills the whole GPU instance."""
    wanted = nvml.c_nvmlComputeInstancePlacement_t(place.start, place.size)
    try:
        nvml.nvmlGpuInstanceCreateComputeInstanceWithPlacement(instance, profile_id, byref(wanted))
    except nvml.NVMLError as error:
        if not whole or code(error) != FUNCTION_NOT_FOUND:
            raise
        nvml.nvmlGpuInstanceCreateComputeInstance(instance, profile_id)


def reset(system: System, address: Address, uuid: str) -> None:
    """NVML has no call for it, and must have let go of every GPU. GpupassError with what nvidia-smi says."""
    system.run("nvidia-smi", "--gpu-reset", "-i", uuid, timeout=180.0, about=(address,))


def _find_gpu_instance(nvml: Any, device: Any, where: At) -> Any:
    for handle in gpu_instances(nvml, device, where[0]):
        if nvml.nvmlGpuInstanceGetInfo(handle).placement.start == where[1]:
            return handle
    return None


def _find_compute_instance(
    opened: Opened, instance: Any, uuid: str, profile_id: int, place: Placement
) -> Any:
    if instance is None:
        return None
    nvml = opened.nvml
    for number, slices in compute_profiles(opened, instance, uuid, profile_id):
        if slices != place.size:
            continue
        for handle in compute_instances(nvml, instance, number):
            if placement_of(nvml.nvmlComputeInstanceGetInfo(handle)) == place:
                return handle
    return None


@contextmanager
def _taken(nvml: Any, what: str, address: Address) -> Iterator[None]:
    """The driver says the same of a GPU that is full and of a place that is taken."""
    try:
        yield
    except nvml.NVMLError as error:
        if code(error) != INSUFFICIENT_RESOURCES:
            raise
        raise GpupassError(
            f"cannot {what}: others have taken its slices meanwhile, or the driver has no room for it",
            f"gpupass show {address}",
        ) from None


def _destroyed(
    nvml: Any, device: Any, destroy: Callable[[Any], None], instance: Any
) -> tuple[User, ...] | None:
    try:
        destroy(instance)
    except nvml.NVMLError as error:
        if code(error) != IN_USE:
            raise
        return read_users(nvml, device)
    return None


def _require_unused(system: System, used: tuple[User, ...] | None, what: str, address: Address) -> None:
    if used is not None:
        names = ", ".join(user.words for user in named(used, lambda pid: process_name(system, pid)))
        raise GpupassError(
            f"cannot {what}: it is in use" + (f"; on this GPU work {names}" if names else ""),
            f"gpupass show {address}",
        )
