/* vGPUs whose guests run, and what a card has for all of its vGPUs. */
#include "call.h"
#include "cards.h"

struct heterogeneous { unsigned version, mode; };
struct scheduler { unsigned policy, arr; unsigned parameters[2]; };

API int nvmlDeviceGetVgpuHeterogeneousMode(handle device, struct heterogeneous *mode)
{
    struct state s;
    struct meant of;
    int error = ask_of(__func__, ANYBODY, &s, device, GPU, &of);
    if (error)
        return error;
    if (mode->version != 0x1000008)
        return ARGUMENT_VERSION_MISMATCH;
    if (s.gpu[of.gpu].mig)
        return NOT_SUPPORTED;
    mode->mode = s.gpu[of.gpu].mixed;
    FILE *file = card_file(&s, of.gpu, "heterogeneous");
    if (file) {
        if (fscanf(file, "%u", &mode->mode) != 1)
            error = UNKNOWN;
        fclose(file);
    }
    return error;
}

API int nvmlDeviceSetVgpuHeterogeneousMode(handle device, const struct heterogeneous *mode)
{
    struct change c;
    int error = change(__func__, &c, device, GPU);
    if (error)
        return error;
    if (mode->version != 0x1000008)
        return changed(&c, ARGUMENT_VERSION_MISMATCH);
    if (c.s.gpu[c.of.gpu].mig || mode->mode > 1)
        return changed(&c, c.s.gpu[c.of.gpu].mig ? NOT_SUPPORTED : INVALID_ARGUMENT);
    if (tell_card(&c.s, c.of.gpu, "heterogeneous", mode->mode ? "1" : "0"))
        return changed(&c, IN_USE);
    c.s.gpu[c.of.gpu].mixed = mode->mode;
    return changed(&c, SUCCESS);
}

API int nvmlDeviceGetVgpuSchedulerState(handle device, struct scheduler *state)
{
    struct state s;
    struct meant of;
    int error = ask_of(__func__, ANYBODY, &s, device, GPU, &of);
    if (error)
        return error;
    *state = (struct scheduler){.policy = s.gpu[of.gpu].policy};
    return SUCCESS;
}

API int nvmlDeviceSetVgpuSchedulerState(handle device, const struct scheduler *state)
{
    struct change c;
    int error = change(__func__, &c, device, GPU);
    if (error)
        return error;
    if (state->policy < 1 || state->policy > 3)
        return changed(&c, INVALID_ARGUMENT);
    c.s.gpu[c.of.gpu].policy = state->policy;
    return changed(&c, SUCCESS);
}

/* nvml.h: a count that is too small is INSUFFICIENT_SIZE with the right one; SUCCESS where there is none. */
API int nvmlDeviceGetActiveVgpus(handle device, unsigned *count, unsigned *found)
{
    struct state s;
    struct meant of;
    int error = ask_of(__func__, ANYBODY, &s, device, GPU, &of);
    if (error)
        return error;
    if (of.kind != GPU)
        return NOT_SUPPORTED;
    unsigned room = *count;
    *count = 0;
    for (const struct guest *guest = s.guest; guest < s.guest + s.guests; guest++) {
        if (guest->gpu != of.gpu)
            continue;
        if (*count < room)
            found[*count] = guest->vgpu;
        ++*count;
    }
    return *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

/* nvml.h: INVALID_ARGUMENT for a vGPU of 0, NOT_FOUND for one that is not active. */
static int ask_vgpu(const char *call, unsigned vgpu, struct guest *found)
{
    struct state s;
    int error = ask(call, ANYBODY, &s);
    if (error || !vgpu)
        return error ? error : INVALID_ARGUMENT;
    for (const struct guest *guest = s.guest; guest < s.guest + s.guests; guest++)
        if (guest->vgpu == vgpu)
            return *found = *guest, SUCCESS;
    return NOT_FOUND;
}

API int nvmlVgpuInstanceGetGpuInstanceId(unsigned vgpu, unsigned *id)
{
    struct guest guest;
    int error = ask_vgpu(__func__, vgpu, &guest);
    return error ? error : (*id = (unsigned)guest.gi, SUCCESS); /* -1: INVALID_GPU_INSTANCE_ID */
}

static int text(char *buffer, unsigned size, const char *value)
{
    return snprintf(buffer, size, "%s", value) < (int)size ? SUCCESS : INSUFFICIENT_SIZE;
}

API int nvmlVgpuInstanceGetVmID(unsigned vgpu, char *id, unsigned size, unsigned *type)
{
    struct guest guest;
    int error = ask_vgpu(__func__, vgpu, &guest);
    return error ? error : (*type = 1, text(id, size, guest.vm)); /* NVML_VGPU_VM_ID_UUID */
}

API int nvmlVgpuInstanceGetUUID(unsigned vgpu, char *uuid, unsigned size)
{
    struct guest guest;
    int error = ask_vgpu(__func__, vgpu, &guest);
    return error ? error : text(uuid, size, guest.uuid);
}
