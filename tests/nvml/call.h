/* What every call begins and ends with, and what handles mean. */
#pragma once

#include "nvml.h"
#include "placing.h"

enum kind { GPU = 1, MIG_DEVICE, GPU_INSTANCE, COMPUTE_INSTANCE };
struct meant { enum kind kind; unsigned gpu, gi, ci; };

handle name_gpu(unsigned gpu);
handle name_gi(unsigned gpu, unsigned gi);
handle name_ci(unsigned gpu, unsigned gi, unsigned ci);
handle name_mig(unsigned gpu, unsigned gi, unsigned ci);
struct meant meaning(handle handle);

/* A question: initialised, no fault wanted, allowed, and the handle names something of this kind that is there. */
enum rights { ANYBODY, ROOT };
int ask(const char *call, enum rights rights, struct state *s);
int ask_of(const char *call, enum rights rights, struct state *s, handle handle, enum kind kind, struct meant *of);

/* A change: held from the start to `changed`, which writes it down when `error` is 0 and returns `error`. */
struct change { struct state s; struct meant of; int lock, gpu_lock; };
int change(const char *call, struct change *change, handle handle, enum kind kind);
int changed(struct change *change, int error);

int refused(void); /* by an unprivileged caller */
void started(int more);
