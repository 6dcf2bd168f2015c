/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP: the machine-readable monitor.  JSON commands come in on a character device, answers and
 * events go out, a line each.  qmp-commands.def lists the commands and events; qmp-types.def their
 * types.
 *
 *   connect -> greeting -> negotiating -- qmp_capabilities --> commands and events
 *
 * There may be several monitors; each negotiates for itself with each new client.  Commands run in
 * the I/O thread with the machine lock held, one after another; an event that a command causes is sent
 * before the command's answer.
 */
#ifndef MONITOR_QMP_H
#define MONITOR_QMP_H

#include "monitor/machine.h"

struct json_object;

typedef struct Qmp Qmp;

/* One monitor for each of the configuration's; none: no Qmp either (NULL without an error). */
bool qmp_open_all(Machine *m, GError **error);
/* NULL is fine. */
void qmp_free(Qmp *q);

/* Send an event to every monitor that has negotiated.  `data` is consumed; NULL: none.  `q` may be
 * NULL.  Machine lock held, any thread. */
void qmp_send_event(Qmp *q, const char *name, struct json_object *data);

#endif /* MONITOR_QMP_H */
