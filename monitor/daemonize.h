/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running in the background (-daemonize).  The process forks before anything is made; the first one
 * waits until the second says that all is ready (sockets listen, files are open) and then returns
 * to the shell: whoever started it may connect at once.
 */
#ifndef MONITOR_DAEMONIZE_H
#define MONITOR_DAEMONIZE_H

#include <glib.h>
#include <stdbool.h>

/* In the background process: true, and *ready_fd is for daemonize_ready().  The foreground one ends here:
 * with status 0 when the other is ready, 1 when that has failed (and said why). */
bool daemonize_begin(int *ready_fd, GError **error);

/* All is made: let go of the terminal and of the foreground process. */
bool daemonize_ready(int ready_fd, GError **error);

#endif /* MONITOR_DAEMONIZE_H */
