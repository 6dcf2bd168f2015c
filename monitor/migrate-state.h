/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of a machine is saved beside its memory, and how a machine is described so that another can be found to be the
 * same.  I/O thread, or with the machine lock; all CPUs parked.
 */
#ifndef MONITOR_MIGRATE_STATE_H
#define MONITOR_MIGRATE_STATE_H

#include "monitor/machine.h"

/* Lines KEY=VALUE: all that the two ends must have in common.  Free it. */
char *migrate_describe(const Machine *m);
/* Is the machine described in `text` the same?  False: `error` names the first thing that differs. */
bool migrate_check_description(const Machine *m, const char *text, GError **error);

/* Can all of it be saved?  False: `error` names what cannot. */
bool migrate_check_blockers(const Machine *m, GError **error);

/* The contents of its state sections (GByteArray*), in order; NULL with `error`.  Time stands still, the disks are at
 * rest. */
GPtrArray *migrate_save_state(Machine *m, bool was_running, GError **error);

/* Load the `index`-th of them.  False with `error`; the machine is of no use then. */
bool migrate_load_state(Machine *m, unsigned index, const uint8_t *bytes, size_t len, GError **error);
unsigned migrate_state_count(const Machine *m);
/* All is there. */
void migrate_loaded(Machine *m);

/* While the machine stands still: its TSCs show what they showed when it stopped, until the next call with false. */
void migrate_hold_tsc(Machine *m, bool hold);

#endif /* MONITOR_MIGRATE_STATE_H */
