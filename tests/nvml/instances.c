/* GPU instances and compute instances: asked for, made, destroyed. */
#include "call.h"
#include "cards.h"

#include <stdio.h>
#include <string.h>

#define PROFILES 18 /* NVML_GPU_INSTANCE_PROFILE_COUNT */
#define CI_PROFILES 9 /* NVML_COMPUTE_INSTANCE_PROFILE_COUNT */

static int asked_gpu(const char *call, enum rights rights, struct state *s, handle device, struct meant *of,
                     unsigned id, const struct profile **profile)
{
    int error = ask_of(call, rights, s, device, GPU, of);
    if (error)
        return error;
    if (of->kind != GPU || s->gpu[of->gpu].board->generation == BEFORE_MIG)
        return NOT_SUPPORTED;
    *profile = find_profile(s->gpu[of->gpu].board, id);
    return SUCCESS;
}

static struct gi_profile_info_v2 described(const struct profile *profile)
{
    struct gi_profile_info_v2 info = {
        .version = 0x02000098, .id = profile->id, .slices = profile->slices, .most = profile->most,
        .sms = profile->sms, .copy = profile->copy, .decoders = profile->decoders, .jpeg = profile->jpeg,
        .ofa = profile->ofa, .memory = profile->memory};
    snprintf(info.name, sizeof info.name, "%s", profile->name);
    return info;
}

static int profile_info(const char *call, handle device, unsigned index, struct gi_profile_info_v2 *info)
{
    struct state s;
    struct meant of;
    const struct profile *profile;
    int error = asked_gpu(call, ANYBODY, &s, device, &of, 0, &profile);
    if (error || index >= PROFILES)
        return error ? error : INVALID_ARGUMENT;
    const struct board *board = s.gpu[of.gpu].board;
    for (profile = board->profile; profile < board->profile + board->profiles; profile++)
        if (profile->index == index)
            return *info = described(profile), SUCCESS;
    return NOT_SUPPORTED;
}

API int nvmlDeviceGetGpuInstanceProfileInfo(handle device, unsigned index, struct gi_profile_info *info)
{
    struct gi_profile_info_v2 v2;
    int error = profile_info(__func__, device, index, &v2);
    if (error)
        return error;
    *info = (struct gi_profile_info){v2.id, v2.p2p, v2.slices, v2.most, v2.sms, v2.copy,
                                     v2.decoders, v2.encoders, v2.jpeg, v2.ofa, v2.memory};
    return SUCCESS;
}

API int nvmlDeviceGetGpuInstanceProfileInfoV(handle device, unsigned index, struct gi_profile_info_v2 *info)
{
    if (info->version != 0x02000098)
        return ARGUMENT_VERSION_MISMATCH;
    return profile_info(__func__, device, index, info);
}

API int nvmlDeviceGetGpuInstanceProfileInfoByIdV(handle device, unsigned id, struct gi_profile_info_v2 *info)
{
    struct state s;
    struct meant of;
    const struct profile *profile;
    int error = asked_gpu(__func__, ANYBODY, &s, device, &of, id, &profile);
    if (error || !profile)
        return error ? error : NOT_SUPPORTED;
    if (info->version != 0x02000098)
        return ARGUMENT_VERSION_MISMATCH;
    return *info = described(profile), SUCCESS;
}

API int nvmlDeviceGetGpuInstancePossiblePlacements_v2(handle device, unsigned id, struct place *places,
                                                      unsigned *count)
{
    struct state s;
    struct meant of;
    const struct profile *profile;
    int error = asked_gpu(__func__, ROOT, &s, device, &of, id, &profile);
    if (error || !profile)
        return error ? error : NOT_SUPPORTED;
    unsigned room = places ? *count : 0;
    *count = 0;
    for (unsigned start = 0; start < 32; start++)
        if (profile->starts & 1u << start) {
            if (*count < room)
                places[*count] = (struct place){start, profile->size};
            ++*count;
        }
    return places && *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

API int nvmlDeviceGetGpuInstanceRemainingCapacity(handle device, unsigned id, unsigned *count)
{
    struct state s;
    struct meant of;
    const struct profile *profile;
    int error = asked_gpu(__func__, ROOT, &s, device, &of, id, &profile);
    if (error || !profile || !s.gpu[of.gpu].mig)
        return error ? error : NOT_SUPPORTED;
    return *count = room(&s, of.gpu, profile), SUCCESS;
}

static int create(const char *call, handle device, unsigned id, const struct place *place, handle *made)
{
    struct change c;
    int error = change(call, &c, device, GPU);
    if (error)
        return error;
    struct state *s = &c.s;
    const struct profile *profile = find_profile(s->gpu[c.of.gpu].board, id);
    if (!profile || !s->gpu[c.of.gpu].mig)
        return changed(&c, NOT_SUPPORTED);
    if (place && (place->size != profile->size || place->start > 31 || !(profile->starts & 1u << place->start)))
        return changed(&c, INVALID_ARGUMENT);
    int start = place ? (int)place->start : drivers_choice(s, c.of.gpu, profile);
    if (start < 0 || s->gis == MANY || !fits(s, c.of.gpu, profile, (unsigned)start))
        return changed(&c, INSUFFICIENT_RESOURCES);
    struct gi gi = {c.of.gpu, next_gi_id(s, c.of.gpu, profile->size), id, (unsigned)start, profile->size};
    char told[32];
    snprintf(told, sizeof told, "%u %u", gi.id, id);
    if (tell_card(s, gi.gpu, "create_gpu_instance", told))
        return changed(&c, UNKNOWN);
    s->gi[s->gis++] = gi;
    *made = name_gi(gi.gpu, gi.id);
    return changed(&c, SUCCESS);
}

API int nvmlDeviceCreateGpuInstance(handle device, unsigned id, handle *made)
{
    return create(__func__, device, id, NULL, made);
}

API int nvmlDeviceCreateGpuInstanceWithPlacement(handle device, unsigned id, const struct place *place, handle *made)
{
    return create(__func__, device, id, place, made);
}

static int in_use(const struct state *s, struct meant of)
{
    for (const struct process *process = s->process; process < s->process + s->processes; process++)
        if (process->gpu == of.gpu && process->gi == (int)of.gi &&
            (of.kind == GPU_INSTANCE || process->ci == (int)of.ci))
            return 1;
    for (const struct guest *guest = s->guest; guest < s->guest + s->guests; guest++)
        if (of.kind == GPU_INSTANCE && guest->gpu == of.gpu && guest->gi == (int)of.gi)
            return 1;
    for (const struct ci *ci = s->ci; of.kind == GPU_INSTANCE && ci < s->ci + s->cis; ci++)
        if (ci->gpu == of.gpu && ci->gi == of.gi)
            return 1;
    return 0;
}

API int nvmlGpuInstanceDestroy(handle instance)
{
    struct change c;
    int error = change(__func__, &c, instance, GPU_INSTANCE);
    if (error)
        return error;
    char id[16];
    snprintf(id, sizeof id, "%u", c.of.gi);
    if (in_use(&c.s, c.of) || tell_card(&c.s, c.of.gpu, "destroy_gpu_instance", id))
        return changed(&c, IN_USE);
    unsigned at = (unsigned)(find_gi(&c.s, c.of.gpu, c.of.gi) - c.s.gi);
    memmove(&c.s.gi[at], &c.s.gi[at + 1], (--c.s.gis - at) * sizeof *c.s.gi);
    return changed(&c, SUCCESS);
}

API int nvmlDeviceGetGpuInstances(handle device, unsigned id, handle *found, unsigned *count)
{
    struct state s;
    struct meant of;
    const struct profile *profile;
    int error = asked_gpu(__func__, ROOT, &s, device, &of, id, &profile);
    if (error || !profile || !s.gpu[of.gpu].mig)
        return error ? error : NOT_SUPPORTED;
    *count = 0;
    for (const struct gi *gi = s.gi; gi < s.gi + s.gis; gi++)
        if (gi->gpu == of.gpu && gi->profile == id)
            found[(*count)++] = name_gi(gi->gpu, gi->id);
    return SUCCESS;
}

API int nvmlDeviceGetGpuInstanceById(handle device, unsigned id, handle *found)
{
    struct state s;
    struct meant of;
    const struct profile *profile;
    int error = asked_gpu(__func__, ROOT, &s, device, &of, 0, &profile);
    if (error || !s.gpu[of.gpu].mig)
        return error ? error : NOT_SUPPORTED;
    return find_gi(&s, of.gpu, id) ? (*found = name_gi(of.gpu, id), SUCCESS) : NOT_FOUND;
}

API int nvmlGpuInstanceGetInfo(handle instance, struct gi_info *info)
{
    struct state s;
    struct meant of;
    int error = ask_of(__func__, ANYBODY, &s, instance, GPU_INSTANCE, &of);
    if (error)
        return error;
    const struct gi *gi = find_gi(&s, of.gpu, of.gi);
    *info = (struct gi_info){name_gpu(gi->gpu), gi->id, gi->profile, gi->start, gi->size};
    return SUCCESS;
}

/* Profiles of compute instances are asked of a GPU instance that is there. */
static int asked_instance(const char *call, enum rights rights, struct state *s, handle instance, struct meant *of,
                          const struct gi **gi, const struct profile **profile)
{
    int error = ask_of(call, rights, s, instance, GPU_INSTANCE, of);
    if (error)
        return error;
    *gi = find_gi(s, of->gpu, of->gi);
    *profile = profile_of(s, *gi);
    return SUCCESS;
}

static int compute_info(const char *call, handle instance, unsigned index, unsigned engines,
                        struct ci_profile_info_v2 *info)
{
    struct state s;
    struct meant of;
    struct place places[8];
    const struct gi *gi;
    const struct profile *p;
    int error = asked_instance(call, ANYBODY, &s, instance, &of, &gi, &p);
    if (error || index >= CI_PROFILES || engines)
        return error ? error : INVALID_ARGUMENT;
    unsigned most = compute_places(p, index, places), slices = compute_slices(index);
    if (!most)
        return NOT_SUPPORTED;
    *info = (struct ci_profile_info_v2){
        .version = 0x02000088, .v1 = {index, slices, most, compute_sms(s.gpu[of.gpu].board, p, slices), p->copy,
                                      p->decoders, 0, p->jpeg, p->ofa}};
    if (slices == p->slices)
        snprintf(info->name, sizeof info->name, "%s", p->name);
    else
        snprintf(info->name, sizeof info->name, "MIG %uc.%s", slices, p->name + strlen("MIG "));
    return SUCCESS;
}

API int nvmlGpuInstanceGetComputeInstanceProfileInfo(handle instance, unsigned index, unsigned engines,
                                                     struct ci_profile_info *info)
{
    struct ci_profile_info_v2 v2;
    int error = compute_info(__func__, instance, index, engines, &v2);
    return error ? error : (*info = v2.v1, SUCCESS);
}

API int nvmlGpuInstanceGetComputeInstanceProfileInfoV(handle instance, unsigned index, unsigned engines,
                                                      struct ci_profile_info_v2 *info)
{
    if (info->version != 0x02000088)
        return ARGUMENT_VERSION_MISMATCH;
    return compute_info(__func__, instance, index, engines, info);
}

API int nvmlGpuInstanceGetComputeInstancePossiblePlacements(handle instance, unsigned id, struct place *found,
                                                            unsigned *count)
{
    struct state s;
    struct meant of;
    struct place places[8];
    const struct gi *gi;
    const struct profile *profile;
    int error = asked_instance(__func__, ROOT, &s, instance, &of, &gi, &profile);
    if (error)
        return error;
    unsigned room = *count;
    if (!(*count = compute_places(profile, id, places)))
        return NOT_SUPPORTED;
    if (found && *count > room)
        return INSUFFICIENT_SIZE;
    if (found)
        memcpy(found, places, *count * sizeof *places);
    return SUCCESS;
}

API int nvmlGpuInstanceGetComputeInstanceRemainingCapacity(handle instance, unsigned id, unsigned *count)
{
    struct state s;
    struct meant of;
    struct place places[8];
    const struct gi *gi;
    const struct profile *profile;
    int error = asked_instance(__func__, ROOT, &s, instance, &of, &gi, &profile);
    if (error)
        return error;
    unsigned all = compute_places(profile, id, places);
    *count = 0;
    for (unsigned n = 0; n < all; n++)
        *count += (unsigned)compute_fits(&s, gi, places[n]);
    return all ? SUCCESS : NOT_SUPPORTED;
}

static int create_compute(const char *call, handle instance, unsigned id, const struct place *wanted, handle *made)
{
    struct change c;
    struct place places[8];
    int error = change(call, &c, instance, GPU_INSTANCE), known = 0;
    if (error)
        return error;
    struct state *s = &c.s;
    const struct gi *gi = find_gi(s, c.of.gpu, c.of.gi);
    unsigned all = compute_places(profile_of(s, gi), id, places);
    if (!all)
        return changed(&c, NOT_SUPPORTED);
    for (unsigned n = 0; n < all; n++) {
        struct place place = places[n];
        if (wanted && (wanted->start != place.start || wanted->size != place.size))
            continue;
        known = 1;
        if (s->cis == MANY || !compute_fits(s, gi, place))
            continue;
        struct ci ci = {gi->gpu, gi->id, next_ci_id(s, gi), id, place.start, place.size, ++s->serial};
        s->ci[s->cis++] = ci;
        *made = name_ci(ci.gpu, ci.gi, ci.id);
        return changed(&c, SUCCESS);
    }
    return changed(&c, known ? INSUFFICIENT_RESOURCES : INVALID_ARGUMENT);
}

API int nvmlGpuInstanceCreateComputeInstance(handle instance, unsigned id, handle *made)
{
    return create_compute(__func__, instance, id, NULL, made);
}

API int nvmlGpuInstanceCreateComputeInstanceWithPlacement(handle instance, unsigned id, const struct place *place,
                                                          handle *made)
{
    return create_compute(__func__, instance, id, place, made);
}

API int nvmlComputeInstanceDestroy(handle instance)
{
    struct change c;
    int error = change(__func__, &c, instance, COMPUTE_INSTANCE);
    if (error)
        return error;
    if (in_use(&c.s, c.of))
        return changed(&c, IN_USE);
    unsigned at = (unsigned)(find_ci(&c.s, c.of.gpu, c.of.gi, c.of.ci) - c.s.ci);
    memmove(&c.s.ci[at], &c.s.ci[at + 1], (--c.s.cis - at) * sizeof *c.s.ci);
    return changed(&c, SUCCESS);
}

API int nvmlGpuInstanceGetComputeInstances(handle instance, unsigned id, handle *found, unsigned *count)
{
    struct state s;
    struct meant of;
    const struct gi *gi;
    const struct profile *profile;
    int error = asked_instance(__func__, ROOT, &s, instance, &of, &gi, &profile);
    if (error)
        return error;
    *count = 0;
    for (const struct ci *ci = s.ci; ci < s.ci + s.cis; ci++)
        if (ci->gpu == of.gpu && ci->gi == of.gi && ci->profile == id)
            found[(*count)++] = name_ci(ci->gpu, ci->gi, ci->id);
    return SUCCESS;
}

API int nvmlGpuInstanceGetComputeInstanceById(handle instance, unsigned id, handle *found)
{
    struct state s;
    struct meant of;
    int error = ask_of(__func__, ROOT, &s, instance, GPU_INSTANCE, &of);
    if (error)
        return error;
    return find_ci(&s, of.gpu, of.gi, id) ? (*found = name_ci(of.gpu, of.gi, id), SUCCESS) : NOT_FOUND;
}

API int nvmlComputeInstanceGetInfo_v2(handle instance, struct ci_info *info)
{
    struct state s;
    struct meant of;
    int error = ask_of(__func__, ANYBODY, &s, instance, COMPUTE_INSTANCE, &of);
    if (error)
        return error;
    const struct ci *ci = find_ci(&s, of.gpu, of.gi, of.ci);
    *info = (struct ci_info){name_mig(ci->gpu, ci->gi, ci->id), name_gi(ci->gpu, ci->gi), ci->id, ci->profile,
                             ci->start, ci->size};
    return SUCCESS;
}
