/* The machine behind the library: a text file, so that it outlives processes and a test can read and edit it.

   gpu      NUMBER BOARD ADDRESS MIG MIG-PENDING PERSISTENCE
   gi       GPU ID PROFILE START SIZE
   ci       GPU GI ID PROFILE START SIZE SERIAL
   process  GPU GI CI PID MIB            (GI and CI -1: on the whole GPU)
   guest    GPU GI VGPU VM UUID          (a vGPU while its guest runs; GI -1: on the whole GPU)
   vgpu     GPU MIXED SCHEDULER          (heterogeneous mode; NVML_VGPU_SCHEDULER_POLICY_*)
   serial   NUMBER                       (of the latest compute instance: its UUID is new every time) */
#pragma once

#include "boards.h"

#define GPUS 32
#define MANY 512

struct gpu { const struct board *board; char address[16]; unsigned mig, pending, persistence, mixed, policy; };
struct gi { unsigned gpu, id, profile, start, size; };
struct ci { unsigned gpu, gi, id, profile, start, size, serial; };
struct process { unsigned gpu; int gi, ci; unsigned pid, memory; };
struct guest { unsigned gpu; int gi; unsigned vgpu; char vm[40], uuid[40]; };

struct state {
    unsigned gpus, gis, cis, processes, guests, serial;
    struct gpu gpu[GPUS];
    struct gi gi[MANY];
    struct ci ci[MANY];
    struct process process[MANY];
    struct guest guest[MANY];
};

int open_state(struct state *state);   /* locks against every process and thread; < 0: it cannot be read */
void save_state(const struct state *state);
void close_state(int lock);

int hold_gpu(unsigned gpu); /* the driver changes one GPU at a time, but GPUs side by side */
void release_gpu(int lock);

int fault(const char *call); /* the error that a test wants of this call now, or 0 */
void dawdle(void);           /* as long as a test wants each change to take */
