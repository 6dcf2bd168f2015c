/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/migrate-memory.h"

#include "monitor/report.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { PAGE = GUEST_PAGE_SIZE, PIECE = SECTION_MEMORY_MAX };

static void add(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* The end of what is like `at` from there on: a hole, of which the host has no pages, or data. */
static uint64_t extent_end(const PhysMem *pm, uint64_t at, uint64_t end, bool *hole)
{
    off_t data = lseek(pm->fd, (off_t)at, SEEK_DATA), next;

    *hole = data < 0 ? errno == ENXIO : (uint64_t)data > at;
    if (*hole) {
        return data < 0 ? end : MIN((uint64_t)data, end);
    }
    next = lseek(pm->fd, (off_t)at, SEEK_HOLE);
    return next < 0 ? end : MIN((uint64_t)next, end);
}

/* -- Sending ------------------------------------------------------------------------------------------ */

/* A run of pages that are alike, while it grows. */
typedef struct {
    const PhysMem *pm;
    MigrateChannel *c;
    MigrateProgress *p;
    uint64_t place, len;       /* len 0: none */
    bool zero;
    uint8_t *copy;             /* PIECE bytes: a monitor may be writing the pages themselves */
} Run;

static bool send_run(Run *r, GError **error)
{
    uint64_t len = r->len;
    bool ok;

    if (len == 0) {
        return true;
    }
    r->len = 0;
    if (r->zero) {
        add(&r->p->zero_pages, len / PAGE);
        add(&r->p->sent, sizeof(SectionHead) + 16);
        return stream_write_zeroes(r->c, r->place, len, error);
    }
    ok = stream_write_memory(r->c, r->place, r->copy, len, error);
    add(&r->p->pages, len / PAGE);
    add(&r->p->sent, sizeof(SectionHead) + 8 + len);
    return ok;
}

/* `bytes` NULL: len bytes of zeroes. */
static bool extend_run(Run *r, uint64_t place, uint64_t len, const uint8_t *bytes, GError **error)
{
    bool zero = bytes == NULL;

    if ((r->len > 0 && (r->zero != zero || r->place + r->len != place || (!zero && r->len + len > PIECE))) &&
        !send_run(r, error)) {
        return false;
    }
    if (r->len == 0) {
        r->place = place;
        r->zero = zero;
    }
    if (!zero) {
        memcpy(r->copy + r->len, bytes, len);
    }
    r->len += len;
    return true;
}

static bool is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

static bool send_page(Run *r, uint64_t place, GError **error)
{
    uint8_t copy[PAGE];

    memcpy(copy, r->pm->base + place, PAGE);
    return extend_run(r, place, PAGE, is_zero(copy) ? NULL : copy, error);
}

bool migrate_send_memory(const PhysMem *pm, MigrateChannel *c, MigrateProgress *p, GError **error)
{
    Run r = {.pm = pm, .c = c, .p = p, .copy = g_malloc(PIECE)};
    bool ok = true;

    __atomic_store_n(&p->total, pm->used, __ATOMIC_RELAXED);
    add(&p->rounds, 1);
    for (uint64_t at = 0; ok && at < pm->used;) {
        bool hole;
        uint64_t stop = extent_end(pm, at, pm->used, &hole);

        for (; ok && at < stop; at += PAGE) {
            ok = hole ? extend_run(&r, at, PAGE, NULL, error) : send_page(&r, at, error);
            __atomic_store_n(&p->left, pm->used - at, __ATOMIC_RELAXED);
        }
    }
    ok = ok && send_run(&r, error);
    if (ok) {
        __atomic_store_n(&p->left, 0, __ATOMIC_RELAXED);
    }
    g_free(r.copy);
    return ok;
}

/* -- Taking ------------------------------------------------------------------------------------------- */

static bool check_range(const PhysMem *pm, uint64_t place, uint64_t len, GError **error)
{
    return ((place | len) % PAGE == 0 && place <= pm->used && len <= pm->used - place) ||
           fail(error, "it is damaged: memory outside the machine's");
}

static void clear(PhysMem *pm, uint64_t place, uint64_t len)
{
    for (uint64_t at = place; at < place + len;) {
        bool hole;
        uint64_t end = extent_end(pm, at, place + len, &hole);

        if (!hole) {
            memset(pm->base + at, 0, end - at);
            phys_mem_written(pm, at, end - at);
        }
        at = end;
    }
}

static bool take_zeroes(PhysMem *pm, MigrateChannel *c, const SectionHead *head, GError **error)
{
    uint64_t range[2];

    if (head->len != sizeof range) {
        return fail(error, "it is damaged: a section has the wrong length");
    }
    if (!migrate_channel_read(c, range, sizeof range, error)) {
        return false;
    }
    if (section_sum(0, range, sizeof range) != head->sum) {
        return fail(error, "it is damaged: a checksum is wrong");
    }
    if (!check_range(pm, range[0], range[1], error)) {
        return false;
    }
    clear(pm, range[0], range[1]);
    return true;
}

bool migrate_take_memory(PhysMem *pm, MigrateChannel *c, const SectionHead *head, MigrateProgress *p, GError **error)
{
    uint64_t place, len = head->len - sizeof place, sum;

    __atomic_store_n(&p->total, pm->used, __ATOMIC_RELAXED);
    add(&p->sent, sizeof *head + head->len);
    if (head->kind == SECTION_ZEROES) {
        return take_zeroes(pm, c, head, error);
    }
    if (head->len <= sizeof place) {
        return fail(error, "it is damaged: a section has the wrong length");
    }
    if (!migrate_channel_read(c, &place, sizeof place, error) || !check_range(pm, place, len, error) ||
        !migrate_channel_read(c, pm->base + place, len, error)) {
        return false;
    }
    sum = section_sum(section_sum(0, &place, sizeof place), pm->base + place, len);
    phys_mem_written(pm, place, len);
    add(&p->pages, len / PAGE);
    return sum == head->sum || fail(error, "it is damaged: a checksum is wrong");
}
