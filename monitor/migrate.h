/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saving a machine and continuing it elsewhere.
 *
 *   source      none -> setup -> active -> device -> completed | failed | cancelled
 *   destination none -> setup -> active -> completed | failed
 *
 * A thread does what may wait: it sends memory while the guest runs or stands still.  All that concerns the machine
 * is the I/O thread's, by callbacks in its context.  A machine that has been sent stands still (postmigrate), its images are
 * unlocked; whose saving failed goes on.  One that could not be loaded ends the program with status 1.
 */
#ifndef MONITOR_MIGRATE_H
#define MONITOR_MIGRATE_H

#include "monitor/machine.h"
#include "monitor/migrate-memory.h"

typedef enum {
    MIGRATE_NONE, MIGRATE_SETUP, MIGRATE_ACTIVE, MIGRATE_DEVICE, MIGRATE_COMPLETED, MIGRATE_FAILED, MIGRATE_CANCELLING,
    MIGRATE_CANCELLED, MIGRATE_STATUS_COUNT,
} MigrateStatus;

typedef struct Migration Migration;

/* -- I/O thread --------------------------------------------------------------------------------------- */

/* Begin to send the machine; false with `error` when it cannot even begin. */
bool migrate_send(Machine *m, const char *uri, GError **error);
/* Let the I/O thread go on until sending is over; false with `error` when it failed. */
bool migrate_wait(Machine *m, GError **error);
void migrate_cancel(Machine *m);

/* -incoming: wait for a machine.  `uri` NULL: until migrate_receive() says where from. */
bool migrate_receive(Machine *m, const char *uri, GError **error);

/* May a monitor let the machine run?  False with `error`, or with none when it will by itself (inmigrate). */
bool migrate_may_run(Machine *m, GError **error);
/* `stop` while a machine is awaited: it does not run afterwards. */
void migrate_stop_later(Machine *m);

void migrate_free(Migration *g);

/* -- Looking in ----------------------------------------------------------------------------------------- */

typedef struct {
    MigrateStatus status;
    bool incoming;
    const char *error;         /* NULL: none; borrowed */
    int64_t total_ms, downtime_ms, setup_ms;
    MigrateProgress progress;
} MigrateInfo;

MigrateInfo migrate_info(const Machine *m);
const char *migrate_status_name(MigrateStatus s);

#endif /* MONITOR_MIGRATE_H */
