/* Which places are free, which one the driver would take, and what a compute instance can be. */
#pragma once

#include "state.h"

struct place { unsigned start, size; };

#define COMPUTE_PROFILES 5 /* NVML_COMPUTE_INSTANCE_PROFILE_{1,2,3,4,7}_SLICE, which are their ids, too */

const struct profile *profile_of(const struct state *s, const struct gi *gi);
const struct gi *find_gi(const struct state *s, unsigned gpu, unsigned id);
const struct ci *find_ci(const struct state *s, unsigned gpu, unsigned gi, unsigned id);

unsigned room(const struct state *s, unsigned gpu, const struct profile *profile); /* how many more fit */
int fits(const struct state *s, unsigned gpu, const struct profile *profile, unsigned start);
int drivers_choice(const struct state *s, unsigned gpu, const struct profile *profile); /* < 0: none fits */
unsigned next_gi_id(const struct state *s, unsigned gpu, unsigned size);

unsigned compute_slices(unsigned index); /* of a compute instance profile; 0: no such profile */
unsigned compute_places(const struct profile *gpu_instance, unsigned index, struct place *places); /* at most 8 */
int compute_fits(const struct state *s, const struct gi *gi, struct place place);
unsigned compute_sms(const struct board *board, const struct profile *gpu_instance, unsigned slices);
unsigned next_ci_id(const struct state *s, const struct gi *gi);
