/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Figures about a run: `-d stats` at the end, `info stats` at any time (CPUs paused). */
#ifndef MONITOR_STATS_H
#define MONITOR_STATS_H

#include "monitor/machine.h"

void stats_print(Machine *m, GString *out);

/* What direct execution did on each CPU; false: it is off everywhere. */
bool stats_print_direct(Machine *m, GString *out);

#endif /* MONITOR_STATS_H */
