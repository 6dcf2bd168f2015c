/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table as a chart: groups of bars on a logarithmic scale, one group a row, one colour a column. */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "bench/table.h"

/* An SVG document.  Rows without any value are left out; values below 1/100 are drawn as that. */
char *bench_plot_svg(const BenchTable *t, const char *title, const char *unit);

#endif /* BENCH_PLOT_H */
