/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MONITOR_QMP_MIGRATE_H
#define MONITOR_QMP_MIGRATE_H

#include "monitor/machine.h"

/* The URI with fd:NAME, of a descriptor that getfd has taken, as fd:NUMBER; NULL with `error`.  Free it. */
char *qmp_migrate_uri(Machine *m, const char *uri, GError **error);

#endif /* MONITOR_QMP_MIGRATE_H */
