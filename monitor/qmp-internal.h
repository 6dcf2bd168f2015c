/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between qmp.c and the files with command handlers (qmp-*.c). */
#ifndef MONITOR_QMP_INTERNAL_H
#define MONITOR_QMP_INTERNAL_H

#include "monitor/machine.h"
#include "monitor/qmp-json.h"
#include "monitor/qmp-schema.h"

typedef struct QmpMonitor QmpMonitor;

/* One command being carried out. */
typedef struct QmpCall {
    Machine *machine;
    QmpMonitor *monitor;
    const QmpSchema *schema;
    struct json_object *args;  /* checked; NULL: none were given */
} QmpCall;

/* Codes of qmp_error(): the classes QMP has.  Errors of other domains are GenericError. */
typedef enum {
    QMP_GENERIC_ERROR, QMP_COMMAND_NOT_FOUND, QMP_DEVICE_NOT_ACTIVE, QMP_DEVICE_NOT_FOUND,
} QmpErrorClass;

GQuark qmp_error(void);

/* QmpObject*, what object-add has made. */
GPtrArray *qmp_added_objects(Qmp *q);
/* QmpFd*, what getfd and add-fd have taken. */
GPtrArray *qmp_fds(Qmp *q);
/* NULL for a machine without a keyboard. */
struct QmpKeys *qmp_keys(Qmp *q);
/* A descriptor that came with what was read last; -1: none.  The caller's. */
int qmp_monitor_take_fd(QmpMonitor *mon);

/* Set `error` and return NULL, for `return qmp_fail(error, ...)`. */
struct json_object *qmp_fail(GError **error, QmpErrorClass cls, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define QMP_COMMAND(n, args, ret, handler, help) QmpHandler qmp_##handler;
#define QMP_EVENT(n, data, help)
#include "monitor/qmp-commands.def"
#undef QMP_COMMAND
#undef QMP_EVENT

#endif /* MONITOR_QMP_INTERNAL_H */
