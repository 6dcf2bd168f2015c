/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The form of a saved machine: a magic number with the version of this form, then sections.
 *
 *   description   what machine it is, a line of text for each property: migrate_describe()
 *   memory        place, then bytes (memory) or a length (zeroes)
 *   state         name and number of a part of the machine, then its fields (softmmu/base/fields.h)
 *   end
 *
 * Each section begins with its kind, its length and a checksum of its contents.  Numbers are little-endian.
 */
#ifndef MONITOR_MIGRATE_STREAM_H
#define MONITOR_MIGRATE_STREAM_H

#include "monitor/migrate-channel.h"

#define MIGRATE_MAGIC "Metaphrase machine\n"
enum { MIGRATE_VERSION = 1 };

typedef enum {
    SECTION_DESCRIPTION = 1, SECTION_MEMORY, SECTION_ZEROES, SECTION_STATE, SECTION_END, SECTION_KINDS,
} SectionKind;

/* The longest of each kind: what a reader sets aside for what it does not know yet. */
enum { SECTION_LEN_MAX = 4 << 20, SECTION_MEMORY_MAX = 1 << 20 };

typedef struct {
    uint32_t kind;             /* SectionKind   */
    uint32_t len;              /* of what follows the head */
    uint64_t sum;              /* of the same   */
} SectionHead;

/* The checksum goes on with `len` bytes; it begins as 0.  All pieces but the last have a multiple of 8. */
uint64_t section_sum(uint64_t sum, const void *bytes, size_t len);

bool stream_write_start(MigrateChannel *c, GError **error);
bool stream_write(MigrateChannel *c, SectionKind kind, const void *bytes, size_t len, GError **error);
/* Memory: its place goes first. */
bool stream_write_memory(MigrateChannel *c, uint64_t place, const void *bytes, size_t len, GError **error);
bool stream_write_zeroes(MigrateChannel *c, uint64_t place, uint64_t len, GError **error);

bool stream_read_start(MigrateChannel *c, GError **error);
bool stream_read_head(MigrateChannel *c, SectionHead *head, GError **error);
/* The contents of a section that is not memory, at most SECTION_LEN_MAX: appended to `out`, emptied before. */
bool stream_read(MigrateChannel *c, const SectionHead *head, GByteArray *out, GError **error);

#endif /* MONITOR_MIGRATE_STREAM_H */
