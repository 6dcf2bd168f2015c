/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's memory on its way: all that lies in the memfd, video memory and firmware too.  Zeroes are sent as lengths, and what was
 * never touched stays so.  The guest stands still.
 */
#ifndef MONITOR_MIGRATE_MEMORY_H
#define MONITOR_MIGRATE_MEMORY_H

#include "monitor/migrate-stream.h"
#include "softmmu/phys-mem.h"

/* Counters for whoever watches; atomic. */
typedef struct {
    uint64_t total;            /* bytes of memory                              */
    uint64_t zero_pages, pages; /* sent so far                                 */
    uint64_t sent;             /* bytes of the stream                          */
    uint64_t left;             /* bytes of memory                              */
    uint64_t rounds;           /* 1 once it has begun                          */
} MigrateProgress;

/* Any thread, without locks. */
bool migrate_send_memory(const PhysMem *pm, MigrateChannel *c, MigrateProgress *p, GError **error);

/* A section of memory or zeroes. */
bool migrate_take_memory(PhysMem *pm, MigrateChannel *c, const SectionHead *head, MigrateProgress *p, GError **error);

#endif /* MONITOR_MIGRATE_MEMORY_H */
