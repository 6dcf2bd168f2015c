/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two commands share: options, progress, where results go. */
#ifndef BENCH_COMMAND_INTERNAL_H
#define BENCH_COMMAND_INTERNAL_H

#include "bench/column.h"
#include "bench/table.h"

int bench_nanobench(int argc, char **argv, const BenchEngine *engines, size_t n_engines, GError **error);
int bench_linux(int argc, char **argv, const BenchEngine *engines, size_t n_engines, GError **error);

/* -- Options --------------------------------------------------------------------------------------- */

typedef struct {
    char *json, *csv, *plot;   /* files, or NULL */
    gboolean save;             /* all three under bench/results/ */
    char *stat;                /* which statistic the table shows: "median", "min"; NULL: median */
    gboolean ratios;           /* and each engine relative to native and peers */
} BenchOutput;

/* clang-format off */
#define BENCH_CHOICE_OPTIONS(c) \
    {"accel", 0, 0, G_OPTION_ARG_STRING, &(c)->accel, \
     "engines of this program, with properties as in -accel; none [all]", "ENGINE[,PROP=VALUE]:..."}, \
    {"peer", 0, 0, G_OPTION_ARG_STRING_ARRAY, &(c)->peers, \
     "other programs, may be given several times; none [qemu-system-x86_64:tcg]", "PROGRAM[:ENGINE],..."}, \
    {"no-native", 0, 0, G_OPTION_ARG_NONE, &(c)->no_native, "no native process", NULL}
#define BENCH_OUTPUT_OPTIONS(o) \
    {"json", 0, 0, G_OPTION_ARG_FILENAME, &(o)->json, "write everything to FILE", "FILE"}, \
    {"csv", 0, 0, G_OPTION_ARG_FILENAME, &(o)->csv, "write the cells to FILE", "FILE"}, \
    {"plot", 0, 0, G_OPTION_ARG_FILENAME, &(o)->plot, "draw a bar chart", "FILE.svg"}, \
    {"stat", 0, 0, G_OPTION_ARG_STRING, &(o)->stat, \
     "what the table shows of each cell: median, or min (for a busy machine) [median]", "STAT"}, \
    {"save", 0, 0, G_OPTION_ARG_NONE, &(o)->save, "write all three under bench/results/", NULL}
/* clang-format on */

/* --help prints and exits.  False with `error` for what is wrong. */
bool bench_parse_options(const char *summary, const GOptionEntry *entries, int argc, char **argv,
                         GError **error);
bool bench_check_number(const char *option, int v, int min, int max, GError **error);
void bench_choice_clear(BenchColumnChoice *c);
void bench_output_clear(BenchOutput *o);
bool bench_check_output(const BenchOutput *o, GError **error);

/* -- Results --------------------------------------------------------------------------------------- */

/* Print the table, write the files.  The exit status: 1 when a column or a cell has failed, or with
 * `error` when a file could not be written.  `about` as in bench_table_json(): date and host are
 * added. */
int bench_output(const BenchOutput *o, BenchTable *t, const char *const *about, const char *name,
                 GError **error);

#endif /* BENCH_COMMAND_INTERNAL_H */
