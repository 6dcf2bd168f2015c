/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a saved machine goes to and comes from, by a URI:
 *
 *   file:PATH   exec:COMMAND   unix:PATH   tcp:HOST:PORT   fd:NUMBER
 *
 * One thread reads or writes; migrate_channel_cancel() by any other makes it fail soon.
 */
#ifndef MONITOR_MIGRATE_CHANNEL_H
#define MONITOR_MIGRATE_CHANNEL_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct MigrateChannel MigrateChannel;

/* Is it one of the forms above?  fd:NAME is none here: callers turn names into numbers. */
bool migrate_uri_check(const char *uri, GError **error);

/* Open for writing (the source's end) or reading.  Sockets are connected, or listened on, at once; who reads waits for the other
 * end with migrate_channel_await().  A descriptor of fd: is the channel's from here on.  NULL: `error`. */
MigrateChannel *migrate_channel_open(const char *uri, bool write, GError **error);
/* Reads these bytes (tests). */
MigrateChannel *migrate_channel_of_bytes(GBytes *bytes);
void migrate_channel_free(MigrateChannel *c);

bool migrate_channel_await(MigrateChannel *c, GError **error);
/* All `len` bytes, or false with `error`. */
bool migrate_channel_read(MigrateChannel *c, void *buf, size_t len, GError **error);
bool migrate_channel_write(MigrateChannel *c, const void *buf, size_t len, GError **error);
/* All has been written: wait until a file is on stable storage, a command has ended well. */
bool migrate_channel_finish(MigrateChannel *c, GError **error);

void migrate_channel_cancel(MigrateChannel *c);

#endif /* MONITOR_MIGRATE_CHANNEL_H */
