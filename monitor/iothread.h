/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -object iothread: a thread with an event loop of its own, where disks that name it get their requests
 * completed instead of in the machine's I/O thread (each time with the machine lock held).
 */
#ifndef MONITOR_IOTHREAD_H
#define MONITOR_IOTHREAD_H

#include <glib.h>
#include <stdbool.h>

typedef struct IoThread IoThread;

/* Starts it. */
IoThread *iothread_new(const char *id, GError **error);
/* Ends and joins it: what it was doing is done.  Not with the machine lock held. */
void iothread_free(IoThread *t);

const char *iothread_id(const IoThread *t);
int iothread_thread_id(const IoThread *t);     /* the host's */
GMainContext *iothread_context(IoThread *t);

#endif /* MONITOR_IOTHREAD_H */
