"""How NVIDIA GPUs are cut (MIG), as NVML tells it; handles live as long as the library is open.

Two numbers mean a profile: the index of NVML_GPU_INSTANCE_PROFILE_*, and the id that everything else takes.
"""

from collections.abc import Callable, Iterator
from ctypes import byref, c_uint
from typing import Any

from msgspec.structs import replace

from gpupass.model.mig import ComputeInstance, GpuInstance, MigGpu, MigProfile, Placement
from gpupass.model.user import User, UserKind
from gpupass.system.nvml_library import (
    FUNCTION_NOT_FOUND,
    INVALID_ARGUMENT,
    NOT_FOUND,
    NOT_SUPPORTED,
    Opened,
    code,
    text,
)

MOST = (
    32  # instances and places of one profile, compute instances of one GPU instance; boards have 7, 7 and 8
)
_INDEXES = 64  # of profiles; nvml.h has 18
_NO_INSTANCE = 0xFFFFFFFF  # INVALID_GPU_INSTANCE_ID
_UNTOLD = (NOT_SUPPORTED, FUNCTION_NOT_FOUND)
_FIRST_WITHOUT_RESET = 9  # NVML_DEVICE_ARCH_HOPPER
ProcessName = Callable[[int], str]
_Users = dict[tuple[int | None, int | None], tuple[User, ...]]  # by GPU instance and compute instance id


class Incomplete(Exception):
    """What the driver told in one way, it did not tell in another."""


def read_mig_gpu(opened: Opened, device: Any, uuid: str, on: bool, *, guests: bool) -> MigGpu:
    """Profiles whatever the mode, instances when it is on. NVMLError as the driver gives it; needs root.

    `guests`: it can have vGPUs, whose guests are users like processes. Incomplete when there are instances
    that none of the profiles has.
    """
    profiles = read_profiles(opened, device, uuid)
    if not on:
        return MigGpu(profiles=profiles)
    nvml = opened.nvml
    users = _users(nvml, device, guests)
    instances = [
        _instance(opened, uuid, profile, handle, users)
        for profile in profiles
        for handle in gpu_instances(nvml, device, profile.id)
    ]
    _require_all(nvml, device, instances)
    return MigGpu(
        profiles=profiles, instances=tuple(sorted(instances, key=lambda one: (one.placement, one.profile)))
    )


def needs_reset(nvml: Any, device: Any) -> bool:
    """Does another MIG mode take a reset of this GPU? (MIG User Guide: Ampere only)"""
    try:
        return bool(nvml.nvmlDeviceGetArchitecture(device) < _FIRST_WITHOUT_RESET)
    except nvml.NVMLError as error:
        if code(error) not in (NOT_SUPPORTED, FUNCTION_NOT_FOUND):
            raise
        return True


def read_profiles(opened: Opened, device: Any, uuid: str) -> tuple[MigProfile, ...]:
    """Asked for once: they belong to the board."""
    board, known = opened.known.board(uuid), opened.known.profiles
    if board not in known:
        known[board] = tuple(_profiles(opened.nvml, device))
    return known[board]


def gpu_instances(nvml: Any, device: Any, profile_id: int) -> tuple[Any, ...]:
    """Handles of all instances of one profile."""
    count, handles = c_uint(MOST), (nvml.c_nvmlGpuInstance_t * MOST)()
    nvml.nvmlDeviceGetGpuInstances(device, profile_id, handles, byref(count))
    return tuple(handles[: count.value])


def compute_instances(nvml: Any, instance: Any, profile_id: int) -> tuple[Any, ...]:
    count, handles = c_uint(MOST), (nvml.c_nvmlComputeInstance_t * MOST)()
    nvml.nvmlGpuInstanceGetComputeInstances(instance, profile_id, handles, byref(count))
    return tuple(handles[: count.value])


def compute_profiles(
    opened: Opened, instance: Any, uuid: str, profile_id: int
) -> tuple[tuple[int, int], ...]:
    """(id, compute slices) of each; the same in every GPU instance of one profile, so asked for once."""
    which, known = (opened.known.board(uuid), profile_id), opened.known.compute_profiles
    if which not in known:
        nvml = opened.nvml
        told = _all_told(
            nvml,
            lambda number: nvml.nvmlGpuInstanceGetComputeInstanceProfileInfo(instance, number, 0),
            nvml.NVML_COMPUTE_INSTANCE_PROFILE_COUNT,
        )
        found = [(int(info.id), int(info.sliceCount)) for info in told]
        known[which] = tuple(found)
    return known[which]


def placement_of(info: Any) -> Placement:
    return Placement(start=int(info.placement.start), size=int(info.placement.size))


def _profiles(nvml: Any, device: Any) -> Iterator[MigProfile]:
    told = _all_told(
        nvml,
        lambda number: nvml.nvmlDeviceGetGpuInstanceProfileInfo(device, number),
        nvml.NVML_GPU_INSTANCE_PROFILE_COUNT,
    )
    for info in told:
        places = _placements(nvml, device, info.id)
        if places:
            yield MigProfile(
                id=int(info.id),
                name=text(info.name).removeprefix("MIG "),
                slices=int(info.sliceCount),
                memory=int(info.memorySizeMB),
                most=int(info.instanceCount),
                placements=places,
            )


def _all_told(nvml: Any, question: Callable[[int], Any], known: int) -> Iterator[Any]:
    """Of each index that there is on this board: an older nvidia-ml-py knows fewer than the driver does.

    Up to what it knows both errors are holes; beyond, INVALID_ARGUMENT is the end (nvml.h).
    """
    for index in range(_INDEXES):
        try:
            yield question(index)
        except nvml.NVMLError as error:
            if code(error) not in (NOT_SUPPORTED, INVALID_ARGUMENT):
                raise
            if code(error) == INVALID_ARGUMENT and index >= known:
                return


def _placements(nvml: Any, device: Any, profile_id: int) -> tuple[Placement, ...]:
    count, places = c_uint(MOST), (nvml.c_nvmlGpuInstancePlacement_t * MOST)()
    nvml.nvmlDeviceGetGpuInstancePossiblePlacements(device, profile_id, places, byref(count))
    found = (Placement(start=place.start, size=place.size) for place in places[: count.value])
    return tuple(sorted(found))


def _instance(opened: Opened, uuid: str, profile: MigProfile, handle: Any, users: _Users) -> GpuInstance:
    nvml = opened.nvml
    info = nvml.nvmlGpuInstanceGetInfo(handle)
    parts = [
        _compute(nvml, int(info.id), part, users)
        for number, _ in compute_profiles(opened, handle, uuid, profile.id)
        for part in compute_instances(nvml, handle, number)
    ]
    return GpuInstance(
        id=int(info.id),
        profile=profile.name,
        placement=placement_of(info),
        compute=tuple(sorted(parts, key=lambda part: part.placement)),
        users=users.get((int(info.id), None), ()),
    )


def _require_all(nvml: Any, device: Any, instances: list[GpuInstance]) -> None:
    """A profile that the driver is silent about would hide its instances; MIG devices are listed without."""
    seen = {(one.id, part.id) for one in instances for part in one.compute}
    devices = tuple(_mig_devices(nvml, device))
    for part in devices if len(devices) != len(seen) else ():  # each compute instance is one
        where = (nvml.nvmlDeviceGetGpuInstanceId(part), nvml.nvmlDeviceGetComputeInstanceId(part))
        if where not in seen:
            raise Incomplete(f"it has a GPU instance {where[0]} that is listed for none of its profiles")


def _mig_devices(nvml: Any, device: Any) -> Iterator[Any]:
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(device)):
        try:
            yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(device, index)
        except nvml.NVMLError as error:
            if code(error) != NOT_FOUND:
                raise


def _compute(nvml: Any, instance: int, handle: Any, users: _Users) -> ComputeInstance:
    info = nvml.nvmlComputeInstanceGetInfo(handle)
    return ComputeInstance(
        id=int(info.id),
        placement=placement_of(info),
        users=users.get((instance, int(info.id)), ()),
        uuid=str(nvml.nvmlDeviceGetUUID(info.device)),
    )


def named(users: tuple[User, ...], name_of: ProcessName) -> tuple[User, ...]:
    """The processes among them with their names, which NVML does not know."""
    return tuple(user if user.pid is None else replace(user, name=name_of(user.pid)) for user in users)


def read_users(nvml: Any, device: Any) -> tuple[User, ...]:
    """Every process, without its name, and every guest that works on the GPU or a part of it."""
    found = (user for users in _users(nvml, device, True).values() for user in users)
    return tuple(dict.fromkeys(found))


def _users(nvml: Any, device: Any, guests: bool) -> _Users:
    found: _Users = {}
    for instance, guest in _guests(nvml, device) if guests else ():
        found[instance, None] = (*found.get((instance, None), ()), guest)
    for kind in ("Compute", "Graphics", "MPSCompute"):
        for process in _processes(nvml, device, kind):
            where = (process.gpuInstanceId, process.computeInstanceId)
            user = User(kind=UserKind.PROCESS, name="?", detail=f"pid {process.pid}", pid=process.pid)
            if user not in found.get(where, ()):
                found[where] = (*found.get(where, ()), user)
    return found


def _guests(nvml: Any, device: Any) -> Iterator[tuple[int | None, User]]:
    """Guests with a vGPU, by GPU instance: None where the vGPU is on no instance.

    nvml.h: a vGPU is active while its guest runs, and NOT_FOUND from then on.
    """
    for vgpu in _active_vgpus(nvml, device):
        try:
            instance = int(nvml.nvmlVgpuInstanceGetGpuInstanceId(vgpu))
            vm, uuid = nvml.nvmlVgpuInstanceGetVmID(vgpu)[0], nvml.nvmlVgpuInstanceGetUUID(vgpu)
        except nvml.NVMLError as error:
            if code(error) not in (NOT_FOUND, *_UNTOLD):
                raise
            continue
        guest = User(kind=UserKind.VM, name=text(vm), detail=f"vGPU {text(uuid)}")
        yield (None if instance == _NO_INSTANCE else instance), guest


def _active_vgpus(nvml: Any, device: Any) -> Any:
    """None where the driver or the GPU has no vGPUs."""
    try:
        return nvml.nvmlDeviceGetActiveVgpus(device)
    except nvml.NVMLError as error:
        if code(error) not in _UNTOLD:
            raise
        return ()


def _processes(nvml: Any, device: Any, kind: str) -> Any:
    """With the ids of instances, which the third version of the call tells, and the second one before it."""
    try:
        return getattr(nvml, f"nvmlDeviceGet{kind}RunningProcesses_v3")(device)
    except nvml.NVMLError as error:
        if code(error) == NOT_SUPPORTED:
            return ()
        if code(error) != FUNCTION_NOT_FOUND:
            raise
    return getattr(nvml, f"nvmlDeviceGet{kind}RunningProcesses_v2")(device)
