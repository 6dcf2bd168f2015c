/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The human monitor: a prompt on a character device.  commands.def lists what it understands.
 * Everything runs in the I/O thread with the machine lock held; commands that look at CPUs pause them.
 */
#ifndef MONITOR_HMP_H
#define MONITOR_HMP_H

#include "monitor/machine.h"

typedef struct HmpMonitor HmpMonitor;

/* One for each -monitor line of the configuration. */
bool hmp_open_all(Machine *m, GError **error);
void hmp_free(HmpMonitor *h);

/* Carry out one line; returns its output (caller frees), complete lines that end in \n. */
char *hmp_execute(Machine *m, unsigned *current_cpu, const char *line);

#endif /* MONITOR_HMP_H */
