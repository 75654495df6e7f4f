/* What a card has for all of its vGPUs. */
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
