#include "placing.h"

#include <string.h>

const struct profile *profile_of(const struct state *s, const struct gi *gi)
{
    return find_profile(s->gpu[gi->gpu].board, gi->profile);
}

const struct gi *find_gi(const struct state *s, unsigned gpu, unsigned id)
{
    for (const struct gi *gi = s->gi; gi < s->gi + s->gis; gi++)
        if (gi->gpu == gpu && gi->id == id)
            return gi;
    return NULL;
}

const struct ci *find_ci(const struct state *s, unsigned gpu, unsigned gi, unsigned id)
{
    for (const struct ci *ci = s->ci; ci < s->ci + s->cis; ci++)
        if (ci->gpu == gpu && ci->gi == gi && ci->id == id)
            return ci;
    return NULL;
}

static unsigned mask(unsigned start, unsigned size)
{
    return ((1u << size) - 1) << start;
}

static unsigned used(const struct state *s, unsigned gpu)
{
    unsigned slices = 0;
    for (const struct gi *gi = s->gi; gi < s->gi + s->gis; gi++)
        if (gi->gpu == gpu)
            slices |= mask(gi->start, gi->size);
    return slices;
}

/* A GPU has one set of the media engines that "+me" names (MIG User Guide, profile tables). */
static int is_media(const struct profile *profile)
{
    return strstr(profile->name, MEDIA_ENGINES) != NULL;
}

static int takes_all(const struct profile *profile)
{
    return strstr(profile->name, ALL_ENGINES) != NULL;
}

static int takes_some(const struct profile *profile)
{
    return strstr(profile->name, NO_ENGINES) == NULL;
}

static int quarrel(const struct profile *a, const struct profile *b)
{
    return (takes_all(a) && takes_some(b)) || (takes_all(b) && takes_some(a));
}

static unsigned still_allowed(const struct state *s, unsigned gpu, const struct profile *profile)
{
    unsigned there = 0;
    for (const struct gi *gi = s->gi; gi < s->gi + s->gis; gi++)
        if (gi->gpu == gpu && quarrel(profile, profile_of(s, gi)))
            return 0;
    for (const struct gi *gi = s->gi; gi < s->gi + s->gis; gi++)
        if (gi->gpu == gpu)
            there += gi->profile == profile->id || (is_media(profile) && is_media(profile_of(s, gi)));
    return there < profile->most ? profile->most - there : 0;
}

static unsigned free_starts(const struct profile *profile, unsigned taken)
{
    unsigned starts = 0;
    for (unsigned start = 0; start < 32; start++)
        if (profile->starts & 1u << start && !(taken & mask(start, profile->size)))
            starts |= 1u << start;
    return starts;
}

unsigned room(const struct state *s, unsigned gpu, const struct profile *profile)
{
    unsigned places = __builtin_popcount(free_starts(profile, used(s, gpu)));
    unsigned allowed = still_allowed(s, gpu, profile);
    return places < allowed ? places : allowed;
}

int fits(const struct state *s, unsigned gpu, const struct profile *profile, unsigned start)
{
    return still_allowed(s, gpu, profile) && free_starts(profile, used(s, gpu)) & 1u << start;
}

static unsigned possible(const struct board *board, unsigned taken)
{
    unsigned places = 0;
    for (unsigned n = 0; n < board->profiles; n++)
        places += __builtin_popcount(free_starts(&board->profile[n], taken));
    return places;
}

/* The free place that spoils the fewest places still possible, the lowest on a tie: what published transcripts
   of creations without a place agree with (published/choices). */
int drivers_choice(const struct state *s, unsigned gpu, const struct profile *profile)
{
    const struct board *board = s->gpu[gpu].board;
    unsigned taken = used(s, gpu), starts = free_starts(profile, taken), most = 0;
    int best = -1;
    if (!still_allowed(s, gpu, profile))
        return -1;
    for (unsigned start = 0; start < 32; start++) {
        if (!(starts & 1u << start))
            continue;
        unsigned left = possible(board, taken | mask(start, profile->size));
        if (best < 0 || left > most)
            best = (int)start, most = left;
    }
    return best;
}

/* Ids as drivers give them: by the share of the GPU, in the order of creation; they say nothing of the place. */
unsigned next_gi_id(const struct state *s, unsigned gpu, unsigned size)
{
    unsigned id = size >= 8 ? 0 : size >= 4 ? 1 : size >= 2 ? 3 : 7;
    while (find_gi(s, gpu, id))
        id++;
    return id;
}

unsigned compute_slices(unsigned index)
{
    static const unsigned SLICES[COMPUTE_PROFILES] = {1, 2, 3, 4, 7};
    return index < COMPUTE_PROFILES ? SLICES[index] : 0;
}

/* Places count compute slices within the GPU instance. A part may not be more than about half
   (NVIDIA's go-nvlib, nvmdev: 2C <= G+1), and starts on a multiple of its own size, 3c of four. */
unsigned compute_places(const struct profile *gpu_instance, unsigned index, struct place *places)
{
    unsigned whole = gpu_instance->slices, slices = compute_slices(index), count = 0;
    if (!slices || slices > whole || (slices != whole && 2 * slices > whole + 1))
        return 0;
    for (unsigned start = 0; start + slices <= whole; start += slices == 3 ? 4 : slices)
        places[count++] = (struct place){start, slices};
    return count;
}

int compute_fits(const struct state *s, const struct gi *gi, struct place place)
{
    for (const struct ci *ci = s->ci; ci < s->ci + s->cis; ci++)
        if (ci->gpu == gi->gpu && ci->gi == gi->id && mask(ci->start, ci->size) & mask(place.start, place.size))
            return 0;
    return 1;
}

unsigned compute_sms(const struct board *board, const struct profile *gpu_instance, unsigned slices)
{
    return slices == gpu_instance->slices ? gpu_instance->sms : slices * board->slice_sms;
}

unsigned next_ci_id(const struct state *s, const struct gi *gi)
{
    unsigned id = 0;
    while (find_ci(s, gi->gpu, gi->id, id))
        id++;
    return id;
}
