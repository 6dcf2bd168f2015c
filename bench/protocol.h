/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the measuring programs print, one item a line; other lines are not ours.
 *
 *   PROGRAM 1 KEY=VALUE...                begins; PROGRAM is "nanobench" or "workloads", 1 the version
 *   run NAME                              NAME begins
 *   op NAME KEY=VALUE...                  its result: min=, median=, p95= (others are for people)
 *   na NAME REASON                        it cannot be measured there
 *   bad NAME WHAT                         it ran and did the wrong thing
 *   end
 */
#ifndef BENCH_PROTOCOL_H
#define BENCH_PROTOCOL_H

#include "bench/table.h"

#include <stdbool.h>

typedef enum { ITEM_OTHER, ITEM_BEGIN, ITEM_RUN, ITEM_RESULT, ITEM_MISSING, ITEM_BAD, ITEM_END } BenchItemKind;

enum { BENCH_NAME_LEN = 48 };

typedef struct {
    BenchItemKind kind;
    char name[BENCH_NAME_LEN]; /* of the operation; of BEGIN the program */
    const char *text;          /* what follows it, inside the line */
    BenchSample sample;        /* of RESULT */
} BenchItem;

/* A line that begins like an item and is none (a number missing, a name too long) is OTHER. */
BenchItem bench_parse_line(const char *line);

/* The number after "KEY=" among blank-separated words; false when absent or not a number. */
bool bench_parse_key(const char *words, const char *key, double *out);

/* -- A run ----------------------------------------------------------------------------------------- */

/* Results of runs into the cells of a column; the rows are those of the table. */
typedef struct {
    BenchTable *table;
    guint column;
    const char *program;       /* whose protocol it is */
    void (*progress)(void *arg, const char *name); /* an operation begins; may be NULL */
    void *arg;
    /* state of the run */
    bool begun, ended;
    char running[BENCH_NAME_LEN]; /* operation under way, "" between */
    double tsc_khz;            /* of the guest; 0: unknown */
    double scale;              /* results are multiplied by it (1) */
    char last[128];            /* line that was no item: a panic, a fault */
} BenchRun;

/* A BenchLine callback whose argument is a BenchRun. */
bool bench_run_line(void *run, const char *line);

#endif /* BENCH_PROTOCOL_H */
