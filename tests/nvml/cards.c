#include "cards.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int path_of(const struct state *state, unsigned gpu, const char *name, char path[512])
{
    const char *cards = getenv("FAKE_NVML_CARDS");
    if (!cards)
        return -1;
    snprintf(path, 512, "%s/%s/%s", cards, state->gpu[gpu].address, name);
    return 0;
}

FILE *card_file(const struct state *state, unsigned gpu, const char *name)
{
    char path[512];
    return path_of(state, gpu, name, path) ? NULL : fopen(path, "re");
}

int tell_card(const struct state *state, unsigned gpu, const char *name, const char *what)
{
    char path[512];
    int file = path_of(state, gpu, name, path) ? -1 : open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    int error = write(file, what, strlen(what)) < 0 ? errno : 0;
    close(file);
    return error;
}

static void forget_instances(struct state *state, unsigned gpu, const unsigned *left, unsigned count)
{
    unsigned gis = 0, cis = 0;
    for (const struct gi *gi = state->gi; gi < state->gi + state->gis; gi++) {
        int there = gi->gpu != gpu;
        for (unsigned n = 0; n < count; n++)
            there |= left[n] == gi->id;
        if (there)
            state->gi[gis++] = *gi;
    }
    state->gis = gis;
    for (const struct ci *ci = state->ci; ci < state->ci + state->cis; ci++)
        for (unsigned n = 0; n < gis; n++)
            if (state->gi[n].gpu == ci->gpu && state->gi[n].id == ci->gi) {
                state->ci[cis++] = *ci;
                break;
            }
    state->cis = cis;
}

void heed_cards(struct state *state)
{
    for (unsigned gpu = 0; gpu < state->gpus; gpu++) {
        unsigned mode, left[MANY], count = 0;
        FILE *file = card_file(state, gpu, "mig_mode");
        if (!file)
            continue;
        if (fscanf(file, "%u", &mode) == 1 && mode != state->gpu[gpu].mig)
            state->gpu[gpu].mig = state->gpu[gpu].pending = mode;
        fclose(file);
        if (!(file = card_file(state, gpu, "gpu_instances")))
            continue;
        while (count < MANY && fscanf(file, "%u %*u", &left[count]) == 1)
            count++;
        fclose(file);
        forget_instances(state, gpu, left, count);
    }
}
