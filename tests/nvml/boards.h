/* What NVIDIA's boards can be cut into. Memory in MiB, places in memory slices. Sources: published/ and README. */
#pragma once

enum generation { BEFORE_MIG, AMPERE, HOPPER, BLACKWELL };

struct profile {
    unsigned index; /* NVML_GPU_INSTANCE_PROFILE_*: what profile info is asked by */
    unsigned id;    /* what instances are made by */
    const char *name;
    unsigned slices, most, memory, sms;
    unsigned copy, decoders, jpeg, ofa;
    unsigned starts; /* bit n: may start at memory slice n */
    unsigned size;
};

struct board {
    const char *key, *name;
    enum generation generation;
    unsigned pci_id, memory, slices, profiles;
    const struct profile *profile;
    unsigned slice_sms; /* SMs of a compute instance of one slice that does not fill its GPU instance */
};

#define MEDIA_ENGINES "+me"  /* in a profile's name: it has the only OFA engine, and JPEG before Hopper */
#define ALL_ENGINES "+me.all" /* beside it only profiles without media engines fit … */
#define NO_ENGINES "-me"      /* … these */

const struct board *find_board(const char *key);
const struct profile *find_profile(const struct board *board, unsigned id);
