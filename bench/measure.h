/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interleaved runs: each column once, then each again.  A run that hangs or dies inside an operation
 * costs that operation only: the run is repeated without it, up to three times.  A column whose run
 * fails otherwise is given up.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "bench/process.h"
#include "bench/protocol.h"

typedef struct {
    BenchTable *table;
    const char *program;       /* whose protocol it is */
    int repeat, timeout_s;
    int guest_status;          /* exit status of a good run, of columns that are not native */
    void *arg;                 /* of the callbacks */

    /* The command line, an array of strings that ends with NULL, which is freed.  `skip`: operations
     * to leave out, "" or "a,b". */
    GPtrArray *(*command)(void *arg, guint column, const char *skip);
    /* These may be NULL.  A line before bench_run_line() gets it; the end of a good run. */
    void (*line)(void *arg, BenchRun *run, pid_t pid, const char *line);
    void (*finished)(void *arg, guint column, const BenchProcess *p);
} BenchMeasure;

void bench_measure(const BenchMeasure *m);

/* Append words to a command line; the list ends with NULL. */
void bench_append(GPtrArray *argv, const char *word, ...) G_GNUC_NULL_TERMINATED;
/* Text that is freed with it. */
void bench_append_take(GPtrArray *argv, char *word);
/* A command line that begins with the column's own. */
GPtrArray *bench_command_of(const BenchColumn *c);

#endif /* BENCH_MEASURE_H */
