/* GPUs and MIG devices: what they are, and what runs on them. */
#include "call.h"
#include "cards.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL 0xffffffffu

API int nvmlInitWithFlags(unsigned flags)
{
    struct state s;
    int lock, error = fault(__func__);
    (void)flags;
    if (error)
        return error;
    if ((lock = open_state(&s)) < 0)
        return DRIVER_NOT_LOADED;
    close_state(lock);
    started(+1);
    return SUCCESS;
}

API int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

API int nvmlShutdown(void)
{
    struct state s;
    int error = ask(__func__, ANYBODY, &s);
    if (!error)
        started(-1);
    return error;
}

API const char *nvmlErrorString(int error)
{
    switch (error) {
    case SUCCESS: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    case DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case TIMEOUT: return "Timeout";
    case LIBRARY_NOT_FOUND: return "NVML Shared Library Not Found";
    case FUNCTION_NOT_FOUND: return "Function Not Found";
    case GPU_IS_LOST: return "GPU is lost";
    case RESET_REQUIRED: return "GPU requires reset";
    case LIB_RM_VERSION_MISMATCH: return "Driver/library version mismatch";
    case IN_USE: return "In use by another client";
    case MEMORY: return "Insufficient Memory";
    case INSUFFICIENT_RESOURCES: return "Insufficient Resources";
    case ARGUMENT_VERSION_MISMATCH: return "Argument version mismatch";
    case INVALID_STATE: return "Invalid State";
    default: return "Unknown Error";
    }
}

static int text(char *buffer, unsigned length, const char *value)
{
    return snprintf(buffer, length, "%s", value) < (int)length ? SUCCESS : INSUFFICIENT_SIZE;
}

API int nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    struct state s;
    int error = ask(__func__, ANYBODY, &s);
    return error ? error : text(version, length, "580.82.07");
}

API int nvmlSystemGetNVMLVersion(char *version, unsigned length)
{
    struct state s;
    int error = ask(__func__, ANYBODY, &s);
    return error ? error : text(version, length, "13.580.82.07");
}

API int nvmlDeviceGetCount_v2(unsigned *count)
{
    struct state s;
    int error = ask(__func__, ANYBODY, &s);
    return error ? error : (*count = s.gpus, SUCCESS);
}

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, handle *device)
{
    struct state s;
    int error = ask(__func__, ANYBODY, &s);
    if (error)
        return error;
    return index < s.gpus ? (*device = name_gpu(index), SUCCESS) : INVALID_ARGUMENT;
}

static void uuid_of(const struct state *s, struct meant of, char uuid[64])
{
    if (of.kind == GPU)
        snprintf(uuid, 64, "GPU-%08x-0000-4000-8000-%012x", s->gpu[of.gpu].board->pci_id, of.gpu);
    else
        snprintf(uuid, 64, "MIG-%08x-0000-5000-8000-%012x", of.gpu, find_ci(s, of.gpu, of.gi, of.ci)->serial);
}

API int nvmlDeviceGetUUID(handle device, char *uuid, unsigned length)
{
    struct state s;
    struct meant of;
    char found[64];
    int error = ask_of(__func__, ANYBODY, &s, device, GPU, &of);
    if (error)
        return error;
    uuid_of(&s, of, found);
    return text(uuid, length, found);
}

API int nvmlDeviceGetHandleByUUID(const char *uuid, handle *device)
{
    struct state s;
    char found[64];
    int error = ask(__func__, ANYBODY, &s);
    for (unsigned n = 0; !error && n < s.gpus; n++) {
        uuid_of(&s, meaning(name_gpu(n)), found);
        if (!strcmp(found, uuid))
            return *device = name_gpu(n), SUCCESS;
    }
    for (const struct ci *ci = s.ci; !error && ci < s.ci + s.cis; ci++) {
        handle mig = name_mig(ci->gpu, ci->gi, ci->id);
        uuid_of(&s, meaning(mig), found);
        if (!strcmp(found, uuid))
            return *device = mig, SUCCESS;
    }
    return error ? error : NOT_FOUND;
}

static unsigned long long address_bits(const char *address)
{
    unsigned domain = 0, bus = 0, slot = 0, function = 0;
    if (sscanf(address, "%x:%x:%x.%x", &domain, &bus, &slot, &function) < 3)
        return ~0ull;
    return (unsigned long long)domain << 16 | bus << 8 | slot << 3 | function;
}

API int nvmlDeviceGetHandleByPciBusId_v2(const char *address, handle *device)
{
    struct state s;
    int error = ask(__func__, ANYBODY, &s);
    for (unsigned n = 0; !error && n < s.gpus; n++)
        if (address_bits(s.gpu[n].address) == address_bits(address))
            return *device = name_gpu(n), SUCCESS;
    return error ? error : NOT_FOUND;
}

API int nvmlDeviceGetPciInfo_v3(handle device, struct pci_info *pci)
{
    struct state s;
    struct meant of;
    int error = ask_of(__func__, ANYBODY, &s, device, GPU, &of);
    if (error)
        return error;
    const struct gpu *gpu = &s.gpu[of.gpu];
    memset(pci, 0, sizeof *pci);
    if (sscanf(gpu->address, "%x:%x:%x.", &pci->domain, &pci->bus, &pci->device) != 3)
        return UNKNOWN;
    snprintf(pci->legacy, sizeof pci->legacy, "%04X:%02X:%02X.0", pci->domain & 0xffff, pci->bus & 0xff,
             pci->device & 0x1f);
    snprintf(pci->address, sizeof pci->address, "%08X:%02X:%02X.0", pci->domain, pci->bus, pci->device);
    pci->pci_id = gpu->board->pci_id << 16 | 0x10de;
    return SUCCESS;
}

#define GPU_QUESTION(call, ...)                                                                                      \
    API int call(handle device, __VA_ARGS__)                                                                         \
    {                                                                                                                \
        struct state s;                                                                                              \
        struct meant of;                                                                                             \
        int error = ask_of(__func__, ANYBODY, &s, device, GPU, &of);                                                 \
        if (error)                                                                                                   \
            return error;                                                                                            \
        const struct gpu *gpu = &s.gpu[of.gpu];                                                                      \
        (void)gpu;

GPU_QUESTION(nvmlDeviceGetName, char *name, unsigned length)
    return text(name, length, gpu->board->name);
}

GPU_QUESTION(nvmlDeviceGetSerial, char *serial, unsigned length)
    char number[32];
    if (of.kind != GPU)
        return NOT_SUPPORTED;
    snprintf(number, sizeof number, "1320021%06u", of.gpu);
    return text(serial, length, number);
}

GPU_QUESTION(nvmlDeviceGetBoardPartNumber, char *part, unsigned length)
    char number[32];
    if (of.kind != GPU)
        return NOT_SUPPORTED;
    snprintf(number, sizeof number, "900-2%04x-0000-000", gpu->board->pci_id);
    return text(part, length, number);
}

GPU_QUESTION(nvmlDeviceGetMinorNumber, unsigned *minor)
    return of.kind == GPU ? (*minor = of.gpu, SUCCESS) : NOT_SUPPORTED;
}

/* NVML_DEVICE_ARCH_TURING, _AMPERE, _HOPPER, _BLACKWELL */
GPU_QUESTION(nvmlDeviceGetArchitecture, unsigned *architecture)
    static const unsigned KNOWN[] = {[BEFORE_MIG] = 6, [AMPERE] = 7, [HOPPER] = 9, [BLACKWELL] = 10};
    return *architecture = KNOWN[gpu->board->generation], SUCCESS;
}

GPU_QUESTION(nvmlDeviceGetIndex, unsigned *index)
    return *index = of.gpu, SUCCESS;
}

GPU_QUESTION(nvmlDeviceGetPersistenceMode, unsigned *mode)
    return *mode = gpu->persistence, SUCCESS;
}

API int nvmlDeviceSetPersistenceMode(handle device, unsigned mode)
{
    struct change c;
    int error = change(__func__, &c, device, GPU);
    if (error)
        return error;
    c.s.gpu[c.of.gpu].persistence = mode;
    return changed(&c, mode > 1 ? INVALID_ARGUMENT : SUCCESS);
}

static int runs_there(const struct process *process, struct meant of)
{
    if (process->gpu != of.gpu)
        return 0;
    return of.kind == GPU || (process->gi == (int)of.gi && process->ci == (int)of.ci);
}

static unsigned used_memory(const struct state *s, struct meant of)
{
    unsigned used = 0;
    for (const struct process *process = s->process; process < s->process + s->processes; process++)
        used += runs_there(process, of) ? process->memory : 0;
    return used;
}

static unsigned total_memory(const struct state *s, struct meant of)
{
    if (of.kind == GPU)
        return s->gpu[of.gpu].board->memory;
    return profile_of(s, find_gi(s, of.gpu, of.gi))->memory;
}

GPU_QUESTION(nvmlDeviceGetMemoryInfo, struct memory *memory)
    memory->total = (u64)total_memory(&s, of) << 20;
    memory->used = (u64)used_memory(&s, of) << 20;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

GPU_QUESTION(nvmlDeviceGetMemoryInfo_v2, struct memory_v2 *memory)
    if (memory->version != 0x02000028)
        return ARGUMENT_VERSION_MISMATCH;
    memory->total = (u64)total_memory(&s, of) << 20;
    memory->used = (u64)used_memory(&s, of) << 20;
    memory->free = memory->total - memory->used;
    memory->reserved = 0;
    return SUCCESS;
}

GPU_QUESTION(nvmlDeviceGetComputeRunningProcesses_v3, unsigned *count, struct process_info *found)
    unsigned room = *count;
    *count = 0;
    for (const struct process *process = s.process; process < s.process + s.processes; process++) {
        if (!runs_there(process, of))
            continue;
        if (*count < room)
            found[*count] = (struct process_info){process->pid, (u64)process->memory << 20,
                                                  process->gi < 0 ? ALL : (unsigned)process->gi,
                                                  process->ci < 0 ? ALL : (unsigned)process->ci};
        ++*count;
    }
    return *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

GPU_QUESTION(nvmlDeviceGetGraphicsRunningProcesses_v3, unsigned *count, struct process_info *found)
    (void)found;
    return *count = 0, SUCCESS;
}

GPU_QUESTION(nvmlDeviceGetMPSComputeRunningProcesses_v3, unsigned *count, struct process_info *found)
    (void)found;
    return *count = 0, SUCCESS;
}

GPU_QUESTION(nvmlDeviceGetMigMode, unsigned *current, unsigned *pending)
    if (of.kind != GPU || gpu->board->generation == BEFORE_MIG)
        return NOT_SUPPORTED;
    return *current = gpu->mig, *pending = gpu->pending, SUCCESS;
}

static int is_busy(const struct state *s, unsigned gpu)
{
    for (const struct process *process = s->process; process < s->process + s->processes; process++)
        if (process->gpu == gpu)
            return 1;
    for (const struct guest *guest = s->guest; guest < s->guest + s->guests; guest++)
        if (guest->gpu == gpu)
            return 1;
    return 0;
}

static int has_instances(const struct state *s, unsigned gpu)
{
    for (const struct gi *gi = s->gi; gi < s->gi + s->gis; gi++)
        if (gi->gpu == gpu)
            return 1;
    return 0;
}

/* Ampere: the mode is pending until a reset, which the driver does by itself where FAKE_NVML_RESETS is set and the
   GPU is idle; Hopper: at once (MIG User Guide, "Enable MIG Mode"; nvml.h, nvmlDeviceSetMigMode). The error of
   the change itself comes in `activation` while the call succeeds. */
API int nvmlDeviceSetMigMode(handle device, unsigned mode, int *activation)
{
    struct change c;
    int error = change(__func__, &c, device, GPU);
    if (error)
        return error;
    struct gpu *gpu = &c.s.gpu[c.of.gpu];
    if (gpu->board->generation == BEFORE_MIG || mode > 1)
        return changed(&c, gpu->board->generation == BEFORE_MIG ? NOT_SUPPORTED : INVALID_ARGUMENT);
    int at_once = gpu->board->generation >= HOPPER || getenv("FAKE_NVML_RESETS");
    gpu->pending = mode;
    *activation = SUCCESS;
    if (mode != gpu->mig) {
        if (is_busy(&c.s, c.of.gpu) || (at_once && has_instances(&c.s, c.of.gpu)))
            *activation = IN_USE;
        else if (!at_once)
            *activation = RESET_REQUIRED;
        else if (tell_card(&c.s, c.of.gpu, "mig_mode", mode ? "1" : "0"))
            *activation = IN_USE;
        else
            gpu->mig = mode;
    }
    return changed(&c, SUCCESS);
}

API int nvmlDeviceIsMigDeviceHandle(handle device, unsigned *is)
{
    struct state s;
    struct meant of;
    int error = ask_of(__func__, ANYBODY, &s, device, GPU, &of);
    return error ? error : (*is = of.kind == MIG_DEVICE, SUCCESS);
}

API int nvmlDeviceGetMaxMigDeviceCount(handle device, unsigned *count)
{
    struct state s;
    struct meant of;
    int error = ask_of(__func__, ANYBODY, &s, device, GPU, &of);
    return error ? error : (*count = s.gpu[of.gpu].board->slices, SUCCESS);
}

static int earlier(const struct ci *a, const struct ci *b)
{
    return a->gi != b->gi ? a->gi < b->gi : a->id < b->id;
}

/* By GPU instance and compute instance id, without holes. */
API int nvmlDeviceGetMigDeviceHandleByIndex(handle device, unsigned index, handle *mig)
{
    struct state s;
    struct meant of;
    int error = ask_of(__func__, ANYBODY, &s, device, GPU, &of);
    if (error)
        return error;
    if (of.kind != GPU || s.gpu[of.gpu].board->generation == BEFORE_MIG)
        return NOT_SUPPORTED;
    if (index >= s.gpu[of.gpu].board->slices)
        return INVALID_ARGUMENT;
    for (const struct ci *ci = s.ci; ci < s.ci + s.cis; ci++) {
        unsigned before = 0;
        for (const struct ci *other = s.ci; other < s.ci + s.cis; other++)
            before += other->gpu == of.gpu && earlier(other, ci);
        if (ci->gpu == of.gpu && before == index)
            return *mig = name_mig(ci->gpu, ci->gi, ci->id), SUCCESS;
    }
    return NOT_FOUND;
}

#define MIG_QUESTION(call, ...)                                                                                      \
    API int call(handle device, __VA_ARGS__)                                                                         \
    {                                                                                                                \
        struct state s;                                                                                              \
        struct meant of;                                                                                             \
        int error = ask_of(__func__, ANYBODY, &s, device, MIG_DEVICE, &of);                                          \
        if (error)                                                                                                   \
            return error;

MIG_QUESTION(nvmlDeviceGetDeviceHandleFromMigDeviceHandle, handle *gpu)
    return *gpu = name_gpu(of.gpu), SUCCESS;
}

MIG_QUESTION(nvmlDeviceGetGpuInstanceId, unsigned *id)
    return *id = of.gi, SUCCESS;
}

MIG_QUESTION(nvmlDeviceGetComputeInstanceId, unsigned *id)
    return *id = of.ci, SUCCESS;
}

MIG_QUESTION(nvmlDeviceGetAttributes_v2, struct attributes *attributes)
    const struct profile *profile = profile_of(&s, find_gi(&s, of.gpu, of.gi));
    const struct ci *ci = find_ci(&s, of.gpu, of.gi, of.ci);
    *attributes = (struct attributes){
        .sms = compute_sms(s.gpu[of.gpu].board, profile, ci->size), .copy = profile->copy,
        .decoders = profile->decoders, .jpeg = profile->jpeg, .ofa = profile->ofa,
        .gi_slices = profile->slices, .ci_slices = ci->size, .memory = profile->memory};
    return SUCCESS;
}
