/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Choosing, timing and printing. */
#include "bench/workloads/workloads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SAMPLES_MAX = 101 };
static const uint64_t enough_ns = 3000000000; /* no further sample after so long */

Places places;

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* -- One workload ---------------------------------------------------------------------------------- */

static const uint64_t long_ns = 5000000000; /* the runner takes long silence for a hang */

static void say_begun(const Workload *w)
{
    printf("run %s\n", w->name);
    fflush(stdout);
}

/* Nanoseconds an operation and of the sample; negative: it went wrong. */
static double sample(const Workload *w, uint64_t turns, uint64_t *took)
{
    uint64_t begin = now_ns();
    Work work = w->run(turns);

    *took = work.ns != 0 ? work.ns : now_ns() - begin;
    if (*took >= long_ns) {
        say_begun(w);
    }
    return work.ops == 0 ? -1 : (double)*took / (double)work.ops;
}

/* Turns that take about `ns`; 0: it went wrong. */
static uint64_t choose_turns(const Workload *w, uint64_t ns)
{
    uint64_t turns = 1, took, max = w->max_turns != 0 ? w->max_turns : UINT64_MAX / 16;

    for (;;) {
        if (sample(w, turns, &took) < 0) {
            return 0;
        }
        if (took >= ns || turns >= max) {
            return turns;
        }
        uint64_t want = took == 0 ? 10 : ns / took + 1;
        turns *= want > 10 ? 10 : want;
        turns = turns > max ? max : turns;
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void measure(const Workload *w, int samples, uint64_t ns)
{
    const char *why = w->missing != NULL ? w->missing() : NULL;
    double v[SAMPLES_MAX], unit = w->unit_ns != 0 ? w->unit_ns : 1;
    uint64_t turns, took, begin = now_ns();
    int n = 0;

    if (why != NULL) {
        printf("na %s %s\n", w->name, why);
        return;
    }
    say_begun(w);
    turns = choose_turns(w, ns);
    while (n < samples && turns != 0 && (n == 0 || now_ns() - begin < enough_ns)) {
        v[n] = sample(w, turns, &took);
        turns = v[n++] < 0 ? 0 : turns;
    }
    if (turns == 0) {
        printf("bad %s wrong result\n", w->name);
        return;
    }
    qsort(v, (size_t)n, sizeof *v, compare);
    printf("op %s unit=%s turns=%llu samples=%d min=%.5g median=%.5g p95=%.5g\n", w->name,
           w->unit != NULL ? w->unit : "ns", (unsigned long long)turns, n, v[0] / unit,
           v[n / 2] / unit, v[(n * 95 - 1) / 100] / unit);
    fflush(stdout);
}

/* -- Main ------------------------------------------------------------------------------------------ */

/* Is `name` an item of "a,b,c"? */
static bool listed(const char *list, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = list; (at = strstr(at, name)) != NULL; at += len) {
        if ((at == list || at[-1] == ',') && (at[len] == ',' || at[len] == 0)) {
            return true;
        }
    }
    return false;
}

static const char *option(int argc, char **argv, const char *key, const char *otherwise)
{
    size_t len = strlen(key);

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], key, len) == 0 && argv[i][len] == '=') {
            return argv[i] + len + 1;
        }
    }
    return otherwise;
}

/* The caller measures the process meanwhile. */
static void idle(int seconds)
{
    printf("run idle_cpu\n");
    fflush(stdout);
    sleep((unsigned)seconds);
    printf("idle end\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    /* Those of memory.c last: a fork copies the page tables of their buffers. */
    static const Workload *const lists[] = {integer_workloads, float_workloads, code_workloads,
                                            kernel_workloads, job_workloads, memory_workloads, NULL};
    if (argc == 2 && strcmp(argv[1], "nothing") == 0) {
        return 0;              /* what fork_exec executes */
    }
    const char *only = option(argc, argv, "only", NULL), *skip = option(argc, argv, "skip", "");
    int samples = atoi(option(argc, argv, "samples", "11")), seconds = atoi(option(argc, argv, "idle", "0"));
    uint64_t ns = strtoull(option(argc, argv, "ms", "8"), NULL, 10) * 1000000, begin = now_ns();

    samples = samples < 1 ? 1 : samples > SAMPLES_MAX ? SAMPLES_MAX : samples;
    places = (Places){option(argc, argv, "tools", NULL), option(argc, argv, "disk", NULL),
                      option(argc, argv, "tmp", "/tmp"), option(argc, argv, "busybox", "/bin/busybox"), argv[0]};
    printf("workloads 1 cpus=%ld\n", sysconf(_SC_NPROCESSORS_ONLN));
    fflush(stdout);
    for (const Workload *const *l = lists; *l != NULL; l++) {
        for (const Workload *w = *l; w->name != NULL; w++) {
            if ((only == NULL || listed(only, w->name)) && !listed(skip, w->name)) {
                measure(w, samples, ns);
            }
        }
    }
    printf("clock elapsed_s=%.3f\n", (double)(now_ns() - begin) / 1e9);
    fflush(stdout);
    if (seconds > 0) {
        idle(seconds);
    }
    printf("end\n");
    return 0;
}
