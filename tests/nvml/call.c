#include "call.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

static atomic_int users;

static handle name(enum kind kind, unsigned gpu, unsigned gi, unsigned ci)
{
    return (handle)((uintptr_t)kind << 40 | (uintptr_t)gpu << 32 | (uintptr_t)gi << 16 | ci);
}

handle name_gpu(unsigned gpu) { return name(GPU, gpu, 0, 0); }
handle name_gi(unsigned gpu, unsigned gi) { return name(GPU_INSTANCE, gpu, gi, 0); }
handle name_ci(unsigned gpu, unsigned gi, unsigned ci) { return name(COMPUTE_INSTANCE, gpu, gi, ci); }
handle name_mig(unsigned gpu, unsigned gi, unsigned ci) { return name(MIG_DEVICE, gpu, gi, ci); }

struct meant meaning(handle handle)
{
    uintptr_t bits = (uintptr_t)handle;
    return (struct meant){(enum kind)(bits >> 40), bits >> 32 & 0xff, bits >> 16 & 0xffff, bits & 0xffff};
}

void started(int more)
{
    if (more > 0 || users > 0)
        users += more;
}

/* FAKE_NVML_UNPRIVILEGED */
int refused(void)
{
    return getenv("FAKE_NVML_UNPRIVILEGED") != NULL;
}

static int may(const char *call, enum rights rights)
{
    int wanted = fault(call);
    if (wanted)
        return wanted;
    if (!users)
        return UNINITIALIZED;
    return rights == ROOT && refused() ? NO_PERMISSION : SUCCESS;
}

/* A GPU also stands for itself where a MIG device may be meant; NVML is one type for both. */
static int is_there(const struct state *s, struct meant of, enum kind kind)
{
    if (of.kind != kind || of.gpu >= s->gpus)
        return 0;
    if (kind == GPU_INSTANCE)
        return find_gi(s, of.gpu, of.gi) != NULL;
    return kind == GPU || find_ci(s, of.gpu, of.gi, of.ci) != NULL;
}

int ask(const char *call, enum rights rights, struct state *s)
{
    int error = may(call, rights);
    if (error)
        return error;
    int lock = open_state(s);
    if (lock < 0)
        return DRIVER_NOT_LOADED;
    close_state(lock);
    return SUCCESS;
}

int ask_of(const char *call, enum rights rights, struct state *s, handle handle, enum kind kind, struct meant *of)
{
    int error = ask(call, rights, s);
    *of = meaning(handle);
    if (!error && kind == GPU && of->kind == MIG_DEVICE)
        kind = MIG_DEVICE;
    return error ? error : is_there(s, *of, kind) ? SUCCESS : INVALID_ARGUMENT;
}

int change(const char *call, struct change *change, handle handle, enum kind kind)
{
    int error = may(call, ROOT);
    change->of = meaning(handle);
    if (error)
        return error;
    change->gpu_lock = hold_gpu(change->of.gpu);
    dawdle();
    change->lock = open_state(&change->s);
    if (change->lock >= 0 && is_there(&change->s, change->of, kind))
        return SUCCESS;
    error = change->lock < 0 ? DRIVER_NOT_LOADED : INVALID_ARGUMENT;
    if (change->lock >= 0)
        close_state(change->lock);
    release_gpu(change->gpu_lock);
    return error;
}

int changed(struct change *change, int error)
{
    if (!error)
        save_state(&change->s);
    close_state(change->lock);
    release_gpu(change->gpu_lock);
    return error;
}
