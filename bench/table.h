/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Results: rows are things measured, columns are what measured them, a cell holds one sample a run.
 * A cell's value is the median of its runs' medians (its minimum is the least minimum, its 95th
 * percentile the median of those).
 */
#ifndef BENCH_TABLE_H
#define BENCH_TABLE_H

#include "bench/column.h"

#include <glib.h>

typedef struct {
    double min, median, p95;
} BenchSample;

typedef struct {
    GArray *runs;              /* BenchSample */
    char *why;                 /* why there is none ("n/a: no PCID"), or NULL */
} BenchCell;

/* Figures that were not measured here: the three columns of the paper. */
typedef struct {
    const char *name;
    double value;              /* negative: none */
} BenchPublished;
enum { BENCH_PUBLISHED_MAX = 3 };

typedef struct {
    const char *name, *unit, *text; /* borrowed */
    double published[BENCH_PUBLISHED_MAX];
} BenchRow;

typedef struct {
    GPtrArray *columns;        /* BenchColumn*, borrowed */
    const char *const *published; /* names of the published columns; NULL: none */
    GArray *rows;              /* BenchRow */
    GPtrArray *cells;          /* BenchCell*, row by row */
    bool show_min;             /* the text shows minima instead of medians */
} BenchTable;

BenchTable *bench_table_new(GPtrArray *columns, const char *const *published);
void bench_table_free(BenchTable *t);
void bench_table_add_row(BenchTable *t, const BenchRow *row);
BenchCell *bench_table_cell(const BenchTable *t, guint row, guint column);
/* The row's number; -1: there is none. */
int bench_table_find(const BenchTable *t, const char *name);

void bench_cell_add(BenchCell *c, const BenchSample *s);
/* Say why the cell has no value, unless it has one or a reason already. */
void bench_cell_explain(BenchCell *c, const char *why);
/* False: no runs. */
bool bench_cell_value(const BenchCell *c, BenchSample *out);

double bench_median(double *v, guint n); /* sorts v; n > 0 */

/* -- Output ---------------------------------------------------------------------------------------- */

/* Text: values, with `ratios` also each column relative to the columns before the first engine
 * (native) and to the peers; then the reasons of empty cells, once each. */
void bench_table_print(const BenchTable *t, bool ratios, GString *out);
/* One line a cell: row,unit,column,min,median,p95,runs,reason. */
char *bench_table_csv(const BenchTable *t);
/* Everything, with `about` (members of the top-level object, an array of name, value pairs of
 * strings ended by NULL) in front. */
char *bench_table_json(const BenchTable *t, const char *const *about);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BenchTable, bench_table_free)

#endif /* BENCH_TABLE_H */
