"""In a process of its own: reads [function, arguments] line by line, calls pynvml, answers its value or its error."""

import json
import sys
from ctypes import byref, c_uint

import pynvml as nvml


def init():
    nvml.nvmlInit()


def shutdown():
    nvml.nvmlShutdown()


def error_string(code):
    return nvml.nvmlErrorString(code)


def count():
    return nvml.nvmlDeviceGetCount()


def gpu(index):
    """What gpupass asks of each GPU today (gpupass/system/nvml.py)."""
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    pci, memory = nvml.nvmlDeviceGetPciInfo(handle), nvml.nvmlDeviceGetMemoryInfo(handle)
    return {
        "address": pci.busId,
        "pci_id": f"{pci.pciDeviceId:08x}",
        "uuid": nvml.nvmlDeviceGetUUID(handle),
        "name": nvml.nvmlDeviceGetName(handle),
        "serial": nvml.nvmlDeviceGetSerial(handle),
        "minor": nvml.nvmlDeviceGetMinorNumber(handle),
        "total": memory.total >> 20,
        "used": memory.used >> 20,
        "total_v2": nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2).total >> 20,
        "persistence": nvml.nvmlDeviceGetPersistenceMode(handle),
    }


def index_by_uuid(uuid):
    return nvml.nvmlDeviceGetIndex(nvml.nvmlDeviceGetHandleByUUID(uuid))


def index_by_address(address):
    return nvml.nvmlDeviceGetIndex(nvml.nvmlDeviceGetHandleByPciBusId(address))


def set_persistence(index, mode):
    nvml.nvmlDeviceSetPersistenceMode(_gpu(index), mode)


def mode(index):
    return nvml.nvmlDeviceGetMigMode(_gpu(index))


def set_mode(index, wanted):
    return nvml.nvmlDeviceSetMigMode(_gpu(index), wanted)


def profiles(index):
    """[id, name, most, MiB, SM, CE, DEC, JPEG, OFA, slices] of each."""
    found = []
    for number in range(nvml.NVML_GPU_INSTANCE_PROFILE_COUNT):
        try:
            info = nvml.nvmlDeviceGetGpuInstanceProfileInfo(_gpu(index), number)
            older = nvml.nvmlDeviceGetGpuInstanceProfileInfo(_gpu(index), number, version=1)
            by_id = nvml.nvmlDeviceGetGpuInstanceProfileInfoById(_gpu(index), info.id)
        except nvml.NVMLError as error:
            if error.value != nvml.NVML_ERROR_NOT_SUPPORTED:
                raise
            continue
        assert _same(info, older) and _same(info, by_id)
        found.append(
            [
                *(info.id, info.name, info.instanceCount, info.memorySizeMB, info.multiprocessorCount),
                *(info.copyEngineCount, info.decoderCount, info.jpegCount, info.ofaCount, info.sliceCount),
            ]
        )
    return found


def placements(index, profile):
    number = c_uint()
    nvml.nvmlDeviceGetGpuInstancePossiblePlacements(_gpu(index), profile, None, byref(number))
    places = (nvml.c_nvmlGpuInstancePlacement_t * number.value)()
    nvml.nvmlDeviceGetGpuInstancePossiblePlacements(_gpu(index), profile, places, byref(number))
    return [[place.start, place.size] for place in places]


def capacity(index, profile):
    return nvml.nvmlDeviceGetGpuInstanceRemainingCapacity(_gpu(index), profile)


def create(index, profile, start=None, size=None):
    """[id, profile, start, size] of the new GPU instance."""
    if start is None:
        made = nvml.nvmlDeviceCreateGpuInstance(_gpu(index), profile)
    else:
        place = nvml.c_nvmlGpuInstancePlacement_t(start, size)
        made = nvml.nvmlDeviceCreateGpuInstanceWithPlacement(_gpu(index), profile, byref(place))
    return _instance(made)


def instances(index):
    found = []
    for profile, _, most, *_ in profiles(index):
        number, handles = c_uint(most), (nvml.c_nvmlGpuInstance_t * most)()
        nvml.nvmlDeviceGetGpuInstances(_gpu(index), profile, handles, byref(number))
        found += [_instance(handles[n]) for n in range(number.value)]
    return sorted(found)


def destroy(index, gi):
    nvml.nvmlGpuInstanceDestroy(_gi(index, gi))


def compute_profiles(index, gi):
    """[id, name, slices, most, SM, [start, …]] of each."""
    found = []
    for number in range(nvml.NVML_COMPUTE_INSTANCE_PROFILE_COUNT):
        try:
            info = nvml.nvmlGpuInstanceGetComputeInstanceProfileInfo(_gi(index, gi), number, 0)
        except nvml.NVMLError as error:
            if error.value != nvml.NVML_ERROR_NOT_SUPPORTED:
                raise
            continue
        older = nvml.nvmlGpuInstanceGetComputeInstanceProfileInfo(_gi(index, gi), number, 0, version=1)
        assert _same(info, older)
        places = (nvml.c_nvmlComputeInstancePlacement_t * 8)()
        many = c_uint(8)
        nvml.nvmlGpuInstanceGetComputeInstancePossiblePlacements(_gi(index, gi), info.id, places, byref(many))
        starts = [places[n].start for n in range(many.value)]
        found.append(
            [info.id, info.name, info.sliceCount, info.instanceCount, info.multiprocessorCount, starts]
        )
    return found


def compute_capacity(index, gi, profile):
    return nvml.nvmlGpuInstanceGetComputeInstanceRemainingCapacity(_gi(index, gi), profile)


def create_compute(index, gi, profile, start=None, size=None):
    """[id, profile, start, size, uuid] of the new compute instance."""
    if start is None:
        made = nvml.nvmlGpuInstanceCreateComputeInstance(_gi(index, gi), profile)
    else:
        place = nvml.c_nvmlComputeInstancePlacement_t(start, size)
        made = nvml.nvmlGpuInstanceCreateComputeInstanceWithPlacement(_gi(index, gi), profile, byref(place))
    return _compute(made)


def compute_instances(index, gi):
    found = []
    for profile in [profile[0] for profile in compute_profiles(index, gi)]:
        number, handles = c_uint(8), (nvml.c_nvmlComputeInstance_t * 8)()
        nvml.nvmlGpuInstanceGetComputeInstances(_gi(index, gi), profile, handles, byref(number))
        found += [_compute(handles[n]) for n in range(number.value)]
    return sorted(found)


def destroy_compute(index, gi, ci):
    nvml.nvmlComputeInstanceDestroy(nvml.nvmlGpuInstanceGetComputeInstanceById(_gi(index, gi), ci))


def mig_devices(index):
    """[uuid, gi, ci, SM, slices, MiB, [pid, …]] of each, as an unprivileged caller may ask."""
    found = []
    for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(_gpu(index))):
        try:
            device = nvml.nvmlDeviceGetMigDeviceHandleByIndex(_gpu(index), number)
        except nvml.NVMLError as error:
            if error.value != nvml.NVML_ERROR_NOT_FOUND:
                raise
            continue
        uuid = nvml.nvmlDeviceGetUUID(device)
        assert nvml.nvmlDeviceIsMigDeviceHandle(device).value == 1
        assert nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetHandleByUUID(uuid)) == uuid
        parent = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device)
        assert nvml.nvmlDeviceGetIndex(parent) == index
        has = nvml.nvmlDeviceGetAttributes(device)
        found.append(
            [
                *(uuid, nvml.nvmlDeviceGetGpuInstanceId(device), nvml.nvmlDeviceGetComputeInstanceId(device)),
                *(has.multiprocessorCount, has.gpuInstanceSliceCount, has.memorySizeMB),
                [process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(device)],
            ]
        )
    return found


def processes(index):
    """[pid, gi, ci, MiB] of each; gi and ci None for one on the whole GPU."""
    return [
        [process.pid, process.gpuInstanceId, process.computeInstanceId, process.usedGpuMemory >> 20]
        for process in nvml.nvmlDeviceGetComputeRunningProcesses(_gpu(index))
    ]


def active(index):
    """[vGPU, GPU instance, VM, type of its id, UUID] of each."""
    return [
        [
            vgpu,
            nvml.nvmlVgpuInstanceGetGpuInstanceId(vgpu),
            *(_str(part) for part in nvml.nvmlVgpuInstanceGetVmID(vgpu)),
            nvml.nvmlVgpuInstanceGetUUID(vgpu),
        ]
        for vgpu in nvml.nvmlDeviceGetActiveVgpus(_gpu(index))
    ]


def vgpu_instance(vgpu):
    return nvml.nvmlVgpuInstanceGetGpuInstanceId(vgpu)


def _str(value):
    return value.decode() if isinstance(value, bytes) else value


def _gpu(index):
    return nvml.nvmlDeviceGetHandleByIndex(index)


def _gi(index, gi):
    return nvml.nvmlDeviceGetGpuInstanceById(_gpu(index), gi)


def _instance(handle):
    info = nvml.nvmlGpuInstanceGetInfo(handle)
    return [info.id, info.profileId, info.placement.start, info.placement.size]


def _compute(handle):
    info = nvml.nvmlComputeInstanceGetInfo(handle)
    return [
        info.id,
        info.profileId,
        info.placement.start,
        info.placement.size,
        nvml.nvmlDeviceGetUUID(info.device),
    ]


def _same(newer, older):
    return all(getattr(newer, name) == getattr(older, name) for name, _ in type(older)._fields_)


def main():
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"value": globals()[name](*arguments)}
        except nvml.NVMLError as error:
            answer = {"error": error.value}
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
