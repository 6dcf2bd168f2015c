/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's memory on its way: all that lies in the memfd, video memory and firmware too.  Zeroes are sent as lengths, and what was
 * never touched stays so.
 *
 * While the guest runs, a round sends the pages that were written since the last one; what is written during a round
 * belongs to the next.
 */
#ifndef MONITOR_MIGRATE_MEMORY_H
#define MONITOR_MIGRATE_MEMORY_H

#include "monitor/migrate-stream.h"
#include "softmmu/phys-mem.h"

/* Counters for whoever watches; atomic. */
typedef struct {
    uint64_t total;            /* bytes of memory                              */
    uint64_t zero_pages, pages; /* sent so far, again and again                */
    uint64_t sent;             /* bytes of the stream                          */
    uint64_t left;             /* bytes of this round                          */
    uint64_t rounds;
} MigrateProgress;

/* One round: all pages, or those written since.  Any thread; without locks, or with the machine lock. */
bool migrate_send_memory(PhysMem *pm, MigrateChannel *c, bool all, MigrateProgress *p, GError **error);
/* Bytes that the next round has to send, as far as is known (phys_mem_collect_dirty()). */
uint64_t migrate_dirty_bytes(const PhysMem *pm);

/* A section of memory or zeroes. */
bool migrate_take_memory(PhysMem *pm, MigrateChannel *c, const SectionHead *head, MigrateProgress *p, GError **error);

#endif /* MONITOR_MIGRATE_MEMORY_H */
