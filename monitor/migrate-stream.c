/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/migrate-stream.h"

#include "monitor/report.h"

#include <string.h>

typedef struct __attribute__((packed)) {
    char magic[sizeof MIGRATE_MAGIC - 1];
    uint8_t version;
} Start;

uint64_t section_sum(uint64_t sum, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    uint64_t word;

    for (; len > 0; p += MIN(len, 8), len -= MIN(len, 8)) {
        word = 0;
        memcpy(&word, p, MIN(len, 8));
        sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        sum ^= sum >> 29;
    }
    return sum;
}

/* -- Writing ---------------------------------------------------------------------------------------- */

bool stream_write_start(MigrateChannel *c, GError **error)
{
    Start s = {.version = MIGRATE_VERSION};

    memcpy(s.magic, MIGRATE_MAGIC, sizeof s.magic);
    return migrate_channel_write(c, &s, sizeof s, error);
}

bool stream_write(MigrateChannel *c, SectionKind kind, const void *bytes, size_t len, GError **error)
{
    SectionHead head = {.kind = kind, .len = (uint32_t)len, .sum = section_sum(0, bytes, len)};

    g_assert(len <= SECTION_LEN_MAX);
    return migrate_channel_write(c, &head, sizeof head, error) && migrate_channel_write(c, bytes, len, error);
}

bool stream_write_memory(MigrateChannel *c, uint64_t place, const void *bytes, size_t len, GError **error)
{
    struct {
        SectionHead head;
        uint64_t place;
    } h = {{.kind = SECTION_MEMORY, .len = (uint32_t)(sizeof place + len)}, place};

    g_assert(len <= SECTION_MEMORY_MAX);
    h.head.sum = section_sum(section_sum(0, &place, sizeof place), bytes, len);
    return migrate_channel_write(c, &h, sizeof h, error) && migrate_channel_write(c, bytes, len, error);
}

bool stream_write_zeroes(MigrateChannel *c, uint64_t place, uint64_t len, GError **error)
{
    uint64_t range[] = {place, len};

    return stream_write(c, SECTION_ZEROES, range, sizeof range, error);
}

/* -- Reading ---------------------------------------------------------------------------------------- */

bool stream_read_start(MigrateChannel *c, GError **error)
{
    Start s;

    if (!migrate_channel_read(c, &s, sizeof s, error)) {
        return false;
    }
    if (memcmp(s.magic, MIGRATE_MAGIC, sizeof s.magic) != 0) {
        return fail(error, "it is not a saved machine");
    }
    return s.version == MIGRATE_VERSION ||
           fail(error, "its form is version %u, this program reads version %u", s.version, MIGRATE_VERSION);
}

bool stream_read_head(MigrateChannel *c, SectionHead *head, GError **error)
{
    uint32_t max;

    if (!migrate_channel_read(c, head, sizeof *head, error)) {
        return false;
    }
    max = head->kind == SECTION_MEMORY ? (uint32_t)sizeof(uint64_t) + SECTION_MEMORY_MAX : SECTION_LEN_MAX;
    return (head->kind > 0 && head->kind < SECTION_KINDS && head->len <= max) ||
           fail(error, "it is damaged: there is no such section (kind %u, %u bytes)", head->kind, head->len);
}

bool stream_read(MigrateChannel *c, const SectionHead *head, GByteArray *out, GError **error)
{
    g_byte_array_set_size(out, head->len);
    return migrate_channel_read(c, out->data, head->len, error) &&
           (section_sum(0, out->data, head->len) == head->sum || fail(error, "it is damaged: a checksum is wrong"));
}
