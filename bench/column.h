/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is compared: a native process, engines of this program, peers.  One column each.
 */
#ifndef BENCH_COLUMN_H
#define BENCH_COLUMN_H

#include "bench/bench.h"

#include <glib.h>

typedef enum { COLUMN_NATIVE, COLUMN_ENGINE, COLUMN_PEER } BenchColumnKind;

typedef struct {
    char *name;                /* unique in its list */
    BenchColumnKind kind;
    char **command;            /* program and the options that choose engine and CPU; ends with NULL */
    char *failed;              /* why there is nothing (more) of it, or NULL */
    char *note;                /* what readers must know of its numbers, or NULL */
} BenchColumn;

/* What the options of both commands say. */
typedef struct {
    char *accel;               /* "interpret,translate:translate,chain=off"; NULL: all */
    char **peers;              /* "PROGRAM[:ENGINE]", NULL: what is installed; "none" */
    bool no_native;
} BenchColumnChoice;

/* The columns chosen, in order native, engines, peers: an array of BenchColumn* that owns them.
 * NULL with `error`: a name is wrong, or an engine that was asked for cannot run here. */
GPtrArray *bench_columns(const BenchColumnChoice *choice, const BenchEngine *engines,
                         size_t n_engines, GError **error);

/* The path of a file that belongs to this program: in the build tree (at `built`) or installed (in
 * share/metaphrase).  NULL with `error`. */
char *bench_find_file(const char *built, GError **error);
/* The running program. */
char *bench_self(void);

/* Set `error` and return false. */
bool bench_fail(GError **error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif /* BENCH_COLUMN_H */
