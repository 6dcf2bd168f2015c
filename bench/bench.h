/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `metaphrase nanobench` and `metaphrase bench`: programs that start guests under engines and peers,
 * as processes of their own, and compare what those print.  They know no machine and no engine; the
 * caller names the engines.  doc/BENCHMARKS.md is the manual.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <glib.h>
#include <stdbool.h>

/* An engine of this build. */
typedef struct {
    const char *name;
    const char *missing;       /* why this host cannot run it, or NULL */
    const char *drawback;      /* why it is a column only where it is named, or NULL */
    bool alias;                /* another name of one before: only when asked for */
} BenchEngine;

typedef struct BenchCommand {
    const char *name;          /* "nanobench": the first argument of the program */
    const char *help;
    /* argv[0] is the command's name.  The exit status: 0, or 1 with or without `error`, when a
     * column failed, which the table says. */
    int (*run)(int argc, char **argv, const BenchEngine *engines, size_t n_engines, GError **error);
} BenchCommand;

/* NULL: no command is called so. */
const BenchCommand *bench_command(const char *name);
/* In order; NULL after the last. */
const BenchCommand *bench_command_at(size_t i);

#endif /* BENCH_BENCH_H */
