#define _GNU_SOURCE
#include "cards.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define PATH 4096

static int lock_file(const char *ending)
{
    char path[PATH];
    const char *state = getenv("FAKE_NVML_STATE");
    if (!state)
        return -1;
    snprintf(path, sizeof path, "%s.%s", state, ending);
    int lock = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    if (lock >= 0 && flock(lock, LOCK_EX) < 0) {
        close(lock);
        return -1;
    }
    return lock;
}

static int add_gpu(struct state *state, const char *key, const char *address, unsigned mig, unsigned pending,
                   unsigned persistence)
{
    struct gpu *gpu = &state->gpu[state->gpus];
    if (state->gpus == GPUS || !(gpu->board = find_board(key)))
        return -1;
    snprintf(gpu->address, sizeof gpu->address, "%s", address);
    gpu->mig = mig, gpu->pending = pending, gpu->persistence = persistence, gpu->policy = 1;
    state->gpus++;
    return 0;
}

static int read_line(struct state *state, const char *line)
{
    char key[32], address[16];
    unsigned a, b, c, d;
    struct gi gi;
    struct ci ci;
    struct process p;
    struct guest g;
    if (*line == '\n' || *line == '#')
        return 0;
    if (sscanf(line, "gpu %u %31s %15s %u %u %u", &a, key, address, &b, &c, &d) == 6)
        return a == state->gpus ? add_gpu(state, key, address, b, c, d) : -1;
    if (sscanf(line, "gi %u %u %u %u %u", &gi.gpu, &gi.id, &gi.profile, &gi.start, &gi.size) == 5)
        return state->gis < MANY ? (state->gi[state->gis++] = gi, 0) : -1;
    if (sscanf(line, "ci %u %u %u %u %u %u %u", &ci.gpu, &ci.gi, &ci.id, &ci.profile, &ci.start, &ci.size,
               &ci.serial) == 7)
        return state->cis < MANY ? (state->ci[state->cis++] = ci, 0) : -1;
    if (sscanf(line, "process %u %d %d %u %u", &p.gpu, &p.gi, &p.ci, &p.pid, &p.memory) == 5)
        return state->processes < MANY ? (state->process[state->processes++] = p, 0) : -1;
    if (sscanf(line, "guest %u %d %u %39s %39s", &g.gpu, &g.gi, &g.vgpu, g.vm, g.uuid) == 5)
        return state->guests < MANY ? (state->guest[state->guests++] = g, 0) : -1;
    if (sscanf(line, "vgpu %u %u %u", &a, &b, &c) == 3)
        return a < state->gpus ? (state->gpu[a].mixed = b, state->gpu[a].policy = c, 0) : -1;
    return sscanf(line, "serial %u", &state->serial) == 1 ? 0 : -1;
}

/* FAKE_NVML_BOARDS: "A100-40,H100-80@0000:3b:00.0": the machine as it is when there is no state yet */
static int first_state(struct state *state)
{
    char boards[PATH], address[16], *rest = boards;
    snprintf(boards, sizeof boards, "%s", getenv("FAKE_NVML_BOARDS") ? getenv("FAKE_NVML_BOARDS") : "");
    for (char *key; (key = strsep(&rest, ","));) {
        char *at = strchr(key, '@');
        snprintf(address, sizeof address, "0000:%02x:00.0", state->gpus * 8 + 7);
        if (at)
            *at = 0, snprintf(address, sizeof address, "%s", at + 1);
        if (*key && add_gpu(state, key, address, 0, 0, 0))
            return -1;
    }
    save_state(state);
    return 0;
}

int open_state(struct state *state)
{
    char line[256];
    int bad = 0, lock = lock_file("lock");
    if (lock < 0)
        return -1;
    memset(state, 0, sizeof *state);
    FILE *file = fopen(getenv("FAKE_NVML_STATE"), "re");
    if (!file)
        bad = first_state(state);
    else {
        while (!bad && fgets(line, sizeof line, file))
            bad = read_line(state, line);
        fclose(file);
    }
    if (!bad)
        return heed_cards(state), lock;
    close(lock);
    return -1;
}

void save_state(const struct state *s)
{
    char temporary[PATH];
    const char *path = getenv("FAKE_NVML_STATE");
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *file = fopen(temporary, "we");
    if (!file)
        abort();
    for (unsigned n = 0; n < s->gpus; n++)
        fprintf(file, "gpu %u %s %s %u %u %u\n", n, s->gpu[n].board->key, s->gpu[n].address, s->gpu[n].mig,
                s->gpu[n].pending, s->gpu[n].persistence);
    for (unsigned n = 0; n < s->gpus; n++)
        if (s->gpu[n].mixed || s->gpu[n].policy != 1)
            fprintf(file, "vgpu %u %u %u\n", n, s->gpu[n].mixed, s->gpu[n].policy);
    for (const struct gi *gi = s->gi; gi < s->gi + s->gis; gi++)
        fprintf(file, "gi %u %u %u %u %u\n", gi->gpu, gi->id, gi->profile, gi->start, gi->size);
    for (const struct ci *ci = s->ci; ci < s->ci + s->cis; ci++)
        fprintf(file, "ci %u %u %u %u %u %u %u\n", ci->gpu, ci->gi, ci->id, ci->profile, ci->start, ci->size,
                ci->serial);
    for (const struct process *p = s->process; p < s->process + s->processes; p++)
        fprintf(file, "process %u %d %d %u %u\n", p->gpu, p->gi, p->ci, p->pid, p->memory);
    for (const struct guest *g = s->guest; g < s->guest + s->guests; g++)
        fprintf(file, "guest %u %d %u %s %s\n", g->gpu, g->gi, g->vgpu, g->vm, g->uuid);
    fprintf(file, "serial %u\n", s->serial);
    if (fclose(file) || rename(temporary, path))
        abort();
}

void close_state(int lock)
{
    close(lock);
}

int hold_gpu(unsigned gpu)
{
    char ending[32];
    snprintf(ending, sizeof ending, "gpu%u.lock", gpu);
    return lock_file(ending);
}

void release_gpu(int lock)
{
    close(lock);
}

/* FAKE_NVML_COUNTS: a file in which the calls of several processes are one count */
static unsigned counted_in(const char *path, const char *call)
{
    char name[128];
    unsigned calls = 1;
    FILE *file = fopen(path, "a+e");
    if (!file || flock(fileno(file), LOCK_EX))
        abort();
    rewind(file);
    while (fscanf(file, "%127s", name) == 1)
        calls += !strcmp(name, call);
    fprintf(file, "%s\n", call);
    fclose(file);
    return calls;
}

static unsigned calls_of(const char *call)
{
    if (getenv("FAKE_NVML_COUNTS"))
        return counted_in(getenv("FAKE_NVML_COUNTS"), call);
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static struct { char name[80]; unsigned calls; } known[128];
    unsigned calls = 0;
    pthread_mutex_lock(&mutex);
    for (unsigned n = 0; n < 128 && !calls; n++) {
        if (!*known[n].name)
            snprintf(known[n].name, sizeof known[n].name, "%s", call);
        if (!strcmp(known[n].name, call))
            calls = ++known[n].calls;
    }
    pthread_mutex_unlock(&mutex);
    return calls;
}

/* FAKE_NVML_TRACE: every call is one more line of this file */
static void trace(const char *call)
{
    char line[128];
    const char *path = getenv("FAKE_NVML_TRACE");
    int file = path ? open(path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0666) : -1;
    if (file < 0)
        return;
    int length = snprintf(line, sizeof line, "%s\n", call);
    if (write(file, line, (size_t)length) < 0)
        abort();
    close(file);
}

/* FAKE_NVML_FAULTS: "CALL:NTH:ERROR,…", counted in each process; NTH * is every call, ERROR kill is SIGKILL, for the
   process FAKE_NVML_KILLS, too; ERROR hang never returns */
int fault(const char *call)
{
    char faults[PATH], *rest = faults;
    unsigned calls = calls_of(call);
    trace(call);
    if (!getenv("FAKE_NVML_FAULTS"))
        return 0;
    snprintf(faults, sizeof faults, "%s", getenv("FAKE_NVML_FAULTS"));
    for (char *one; (one = strsep(&rest, ","));) {
        char *name = strsep(&one, ":"), *nth = strsep(&one, ":");
        if (!nth || !one || strcmp(name, call) || (strcmp(nth, "*") && strtoul(nth, NULL, 10) != calls))
            continue;
        if (!strcmp(one, "kill") && getenv("FAKE_NVML_KILLS"))
            kill(atoi(getenv("FAKE_NVML_KILLS")), SIGKILL);
        if (!strcmp(one, "kill"))
            raise(SIGKILL);
        while (!strcmp(one, "hang"))
            pause();
        return atoi(one);
    }
    return 0;
}

/* FAKE_NVML_DELAY_MS */
void dawdle(void)
{
    const char *delay = getenv("FAKE_NVML_DELAY_MS");
    long milliseconds = delay ? atol(delay) : 0;
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    if (milliseconds > 0)
        nanosleep(&time, NULL);
}
