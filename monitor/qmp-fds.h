/* SPDX-License-Identifier: GPL-2.0-or-later */
/* File descriptors that a client passed over its socket: by name (getfd) and in sets (add-fd). */
#ifndef MONITOR_QMP_FDS_H
#define MONITOR_QMP_FDS_H

#include "monitor/machine.h"

typedef struct {
    char *name;                /* getfd; NULL: of a set */
    int64_t set;
    char *opaque;
    int fd;
} QmpFd;

void qmp_fd_free(QmpFd *f);

/* The descriptor of that name, which is the caller's from now on; -1 with `error`. */
int qmp_fds_take(Qmp *q, const char *name, GError **error);
/* "/dev/fdset/3" as a path that open(2) understands; others unchanged.  NULL with `error` when there
 * is no such set.  Caller frees. */
char *qmp_fds_path(Qmp *q, const char *path, GError **error);

#endif /* MONITOR_QMP_FDS_H */
