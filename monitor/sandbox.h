/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -runas and -sandbox: what the process gives up when all is made and before the guest runs.
 *
 * The filter is an allow list (sandbox.def).  A call that is not in it fails with ENOSYS, so that libraries
 * take their older way; the calls of the classes below end the process, since only an attacker makes them.
 */
#ifndef MONITOR_SANDBOX_H
#define MONITOR_SANDBOX_H

#include <glib.h>
#include <stdbool.h>

typedef enum {
    SANDBOX_ON = 1,
    /* classes that -sandbox can leave allowed */
    SANDBOX_OBSOLETE = 2, SANDBOX_PRIVILEGES = 4, SANDBOX_SPAWN = 8, SANDBOX_RESOURCES = 16,
    /* direct execution is on: its worlds are processes, made while the guest runs, under this filter and
     * their own */
    SANDBOX_WORLDS = 32,
} SandboxFlags;

/* Load the filter into all threads of this process; it cannot be taken off. */
bool sandbox_enter(unsigned flags, GError **error);

/* There is such a user. */
bool sandbox_check_user(const char *who, GError **error);
/* Become USER or UID:GID, with its groups. */
bool sandbox_run_as(const char *who, GError **error);

#endif /* MONITOR_SANDBOX_H */
