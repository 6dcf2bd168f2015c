/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "softmmu/window.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/huge.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define TIB (UINT64_C(1) << 40)
enum { PIECES = 8 };             /* mappings on each side of a fault, at most */
enum { SHORT_RUN = 64 << 10 };   /* bytes */
#define HOST_TOP (UINT64_C(1) << 47)
#define DISTANCE_MIN (4 * TIB)
#define DISTANCE_MAX (7 * TIB + TIB / 2)

/* -- Where ------------------------------------------------------------------------------------- */

/* Is all of this process's memory below `low` or at or above `high`?  False when nobody can tell. */
static bool own_memory_is_outside(uint64_t low, uint64_t high)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char line[512];
    bool ok = f != NULL;

    while (ok && fgets(line, sizeof line, f) != NULL) {
        unsigned long long from, to;
        if (sscanf(line, "%llx-%llx", &from, &to) == 2 && from < HOST_TOP) {
            ok = to <= low || from >= high;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return ok;
}

unsigned window_host_mappings(void)
{
    FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
    unsigned n = 0;

    if (f == NULL || fscanf(f, "%u", &n) != 1) {
        n = 65530; /* Linux's default */
    }
    if (f != NULL) {
        fclose(f);
    }
    return n;
}

/* A page that only one window of a process can have: they would meet in the same host addresses. */
static void *claim_page(void)
{
    return (void *)(uintptr_t)(WINDOW_PROGRAM - GUEST_PAGE_SIZE);
}

Window *window_new(PhysMem *mem, const char **why)
{
    uint64_t random;
    Window *w;

    if (!own_memory_is_outside(WINDOW_PROGRAM, HOST_TOP - 3 * TIB)) {
        *why = "this process's own memory lies in the way";
        return NULL;
    }
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random) {
        *why = "no random numbers yet";
        return NULL;
    }
    if (mmap(claim_page(), GUEST_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
             -1, 0) != claim_page()) {
        *why = "another machine of this process has it";
        return NULL;
    }
    w = g_new0(Window, 1);
    w->mem = mem;
    w->base = HOST_TOP - ((DISTANCE_MIN + random % (DISTANCE_MAX - DISTANCE_MIN)) & ~(uint64_t)HUGE_PAGE_MASK);
    w->pieces_max = window_host_mappings() * 2 / 5;
    w->revoke_pages = 1;
    w->denied = g_new0(uint64_t, (mem->size >> GUEST_PAGE_SHIFT) / 64 + 1);
    w->program_lin = 0 - w->base;
    lock_init(&w->lock, LOCK_RANK_WORLD);
    return w;
}

void window_free(Window *w)
{
    if (w != NULL) {
        window_unmap_all(w);
        munmap(claim_page(), GUEST_PAGE_SIZE);
        lock_clear(&w->lock);
        g_free(w->denied);
        g_free(w);
    }
}

static void *host_of(const Window *w, uint64_t lin)
{
    return (void *)(uintptr_t)(lin + w->base);
}

/* -- Runs: ascending, disjoint (lock held) -------------------------------------------------------- */

/* The first run that ends behind `lin`. */
static unsigned run_at(const Window *w, uint64_t lin)
{
    unsigned lo = 0, hi = w->n_runs;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (w->run[mid].lin + (w->run[mid].len - 1) < lin) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static bool holds(const Window *w, unsigned i, uint64_t lin)
{
    return i < w->n_runs && lin - w->run[i].lin < w->run[i].len;
}

static void remove_run(Window *w, unsigned i)
{
    w->n_local -= !w->run[i].global;
    w->n_runs--;
    for (; i < w->n_runs; i++) {
        w->run[i] = w->run[i + 1];
    }
}

static void insert_run(Window *w, unsigned at, const WindowRun *r)
{
    for (unsigned i = w->n_runs; i > at; i--) {
        w->run[i] = w->run[i - 1];
    }
    w->run[at] = *r;
    w->n_runs++;
    w->n_local += !r->global;
}

static bool continues(const WindowRun *a, const WindowRun *b)
{
    return a->lin + a->len == b->lin && a->offset + a->len == b->offset &&
           a->leaf_shift == b->leaf_shift && a->write == b->write && a->global == b->global;
}

/* Insert, merged with its neighbours where it continues them. */
static void add_run(Window *w, unsigned at, const WindowRun *r)
{
    if (at > 0 && continues(&w->run[at - 1], r)) {
        w->run[--at].len += r->len;
    } else {
        insert_run(w, at, r);
    }
    if (at + 1 < w->n_runs && continues(&w->run[at], &w->run[at + 1])) {
        w->run[at].len += w->run[at + 1].len;
        remove_run(w, at + 1);
    }
}

static void drop(Window *w, uint64_t lin, uint64_t len)
{
    munmap(host_of(w, lin), len);
    w->n_unmaps++;
}

/* May what lies between two mappings that go, at `end` and at `next` above it, go with them?  Nothing of ours is among an upper
 * half's pages, and stacks of kernels have a page between them. */
static bool gap_is_free(const Window *w, uint64_t end, uint64_t next)
{
    unsigned i = run_at(w, end);

    return end == next || (next - end <= WINDOW_GAP && window_reaches(w, end) && window_reaches(w, next) &&
                           (i == w->n_runs || w->run[i].lin >= next));
}

/* [lin, lin+len) goes, too, which lies above those before: now() those that it does not go on. */
static void go_too(Window *w, WindowGoing *g, uint64_t lin, uint64_t len, void (*now)(Window *w, WindowGoing *g))
{
    if (g->len != 0 && !gap_is_free(w, g->lin + g->len, lin)) {
        now(w, g);
    }
    g->lin = g->len != 0 ? g->lin : lin;
    g->len = lin + len - g->lin;
}

/* Their runs are removed already. */
static void drop_going(Window *w, WindowGoing *g)
{
    if (g->len != 0) {
        drop(w, g->lin, g->len);
    }
    g->len = 0;
}

static void unmap_locked(Window *w, uint64_t lin, uint64_t last)
{
    WindowGoing going = {0};

    for (unsigned i = run_at(w, lin); i < w->n_runs && w->run[i].lin <= last;) {
        WindowRun r = w->run[i];
        uint64_t r_last = r.lin + (r.len - 1), from = MAX(lin, r.lin), to = MIN(last, r_last);

        remove_run(w, i);
        if (from > r.lin) {
            insert_run(w, i, &(WindowRun){r.lin, from - r.lin, r.offset, r.leaf_shift, r.write, r.global});
            i++;
        }
        go_too(w, &going, from, to - from + 1, drop_going);
        if (to < r_last) {
            insert_run(w, i, &(WindowRun){to + 1, r_last - to, r.offset + (to + 1 - r.lin), r.leaf_shift, r.write,
                                          r.global});
            i++;
        }
    }
    drop_going(w, &going);
}

/* Short runs of small pages, which come and go (Linux's vmalloc), are unmapped. */
static void unmap_short(Window *w)
{
    WindowGoing going = {0};
    unsigned kept = 0, n = w->n_runs;

    w->n_runs = w->n_local = 0;
    for (unsigned i = 0; i < n; i++) {
        const WindowRun r = w->run[i];
        if (r.leaf_shift == GUEST_PAGE_SHIFT && r.len <= SHORT_RUN) {
            go_too(w, &going, r.lin, r.len, drop_going);
        } else {
            drop_going(w, &going);
            w->run[kept++] = r;
            w->n_local += !r.global;
        }
    }
    drop_going(w, &going);
    w->n_runs = kept;
    w->n_pieces -= MIN(w->n_pieces, n - kept); /* or more: it is the most that there may be */
}

/* The host is short of mappings, or we of runs: what is short goes, or, where that is not half of all, all. */
static void overflow(Window *w)
{
    unsigned runs = w->n_runs, pieces = w->n_pieces;

    unmap_short(w);
    if (w->n_runs > runs / 2 || w->n_pieces > pieces / 2) {
        unmap_locked(w, 0, UINT64_MAX);
        w->n_pieces = 0;
    }
    w->n_overflows++;
}

/* -- Rights of pages ------------------------------------------------------------------------------ */

/* May the page be mapped writable?  Announced and dirty then: see phys_mem_revoke_write(), which waits for
 * our lock when it sees PAGE_TLB_WRITABLE. */
static bool take_store_right(Window *w, uint64_t offset)
{
    const uint8_t want = PAGE_TLB_WRITABLE | PAGE_DIRTY_MIGRATION;
    uint64_t page = offset >> GUEST_PAGE_SHIFT;
    bool may;

    if ((page_flags_get(w->mem, offset) & want) != want) {
        page_flags_set(w->mem, offset, want);
    }
    may = !page_store_needs_marking(page_flags_get(w->mem, offset));
    if (may) {
        w->denied[page / 64] &= ~BIT64(page % 64);
    }
    return may;
}

static bool is_denied(const Window *w, uint64_t offset)
{
    return (w->denied[(offset >> GUEST_PAGE_SHIFT) / 64] >> (offset >> GUEST_PAGE_SHIFT) % 64 & 1) != 0;
}

/* Pages from that at `offset` on, in steps of `step` bytes, at most max, until rights have changed PIECES times. */
static uint64_t few_pieces(const Window *w, uint64_t offset, int64_t step, uint64_t max)
{
    bool was = (page_flags_get(w->mem, offset) & PAGE_CODE) != 0;
    unsigned changes = 0;
    uint64_t n = 1;

    for (; n < max; n++) {
        bool is = (page_flags_get(w->mem, offset + n * (uint64_t)step) & PAGE_CODE) != 0;
        if (is != was && ++changes == PIECES) {
            break;
        }
        was = is;
    }
    return n;
}

/* The part of r around `lin` that takes few mappings: code lies scattered in memory, and budgets are small. */
static void limit_run(const Window *w, WindowRun *r, uint64_t lin)
{
    uint64_t page = lin & GUEST_PAGE_MASK, at = r->offset + (page - r->lin), page_size = GUEST_PAGE_SIZE;
    uint64_t before = few_pieces(w, at, -(int64_t)page_size, (page - r->lin) / page_size + 1) - 1;
    uint64_t behind = few_pieces(w, at, (int64_t)page_size, (r->len - (page - r->lin)) / page_size);

    r->offset = at - before * page_size;
    r->lin = page - before * page_size;
    r->len = (before + behind) * page_size;
}

/* Map [lin, lin+len) from `offset`, page by page with the rights it may have.  False: none of it, see errno. */
static bool map_pieces(Window *w, uint64_t lin, uint64_t len, uint64_t offset, bool write)
{
    for (uint64_t at = 0, n; at < len; at += n) {
        bool rw = write && take_store_right(w, offset + at);

        for (n = GUEST_PAGE_SIZE; at + n < len && (write && take_store_right(w, offset + at + n)) == rw;) {
            n += GUEST_PAGE_SIZE;
        }
        if (mmap(host_of(w, lin + at), n, rw ? PROT_READ | PROT_WRITE : PROT_READ,
                 MAP_SHARED | MAP_FIXED_NOREPLACE, w->mem->fd, (off_t)(offset + at)) != host_of(w, lin + at)) {
            int error = errno;
            munmap(host_of(w, lin), at);
            errno = error;
            return false;
        }
        w->n_maps++;
        w->n_pieces++;
    }
    return true;
}

/* -- Interface --------------------------------------------------------------------------------- */

bool window_next(Window *w, uint64_t lin, WindowRun *run)
{
    unsigned i;
    bool found;

    lock_take(&w->lock);
    i = run_at(w, lin);
    found = i < w->n_runs;
    if (found) {
        *run = w->run[i];
    }
    lock_release(&w->lock);
    return found;
}

bool window_next_local(Window *w, uint64_t lin, WindowRun *run)
{
    bool found = false;

    if (__atomic_load_n(&w->n_local, __ATOMIC_RELAXED) == 0) {
        return false;          /* who maps one now has looked at the tables as they were, with the lock or without */
    }
    lock_take(&w->lock);
    for (unsigned i = w->n_local != 0 ? run_at(w, lin) : w->n_runs; i < w->n_runs && !found; i++) {
        found = !w->run[i].global;
        if (found) {
            *run = w->run[i];
        }
    }
    lock_release(&w->lock);
    return found;
}

bool window_find(Window *w, uint64_t lin, WindowRun *run)
{
    return window_next(w, lin, run) && lin - run->lin < run->len;
}

WindowResult window_map(Window *w, const WindowRun *run, uint64_t lin)
{
    uint64_t from = run->lin, last = run->lin + (run->len - 1);
    WindowRun r = *run;
    bool ok = true;
    unsigned i;

    lock_take(&w->lock);
    if (w->n_runs + 2 >= WINDOW_RUNS || w->n_pieces > w->pieces_max) {
        overflow(w);
    }
    i = run_at(w, lin);
    if (!holds(w, i, lin)) {
        if (i > 0) {
            from = MAX(from, w->run[i - 1].lin + w->run[i - 1].len);
        }
        if (i < w->n_runs) {
            last = MIN(last, w->run[i].lin - 1);
        }
        r.offset += from - r.lin;
        r.lin = from;
        r.len = last - from + 1;
        limit_run(w, &r, lin);
        ok = map_pieces(w, r.lin, r.len, r.offset, r.write);
        if (ok) {
            add_run(w, i, &r);
        } else if (errno == ENOMEM) {
            overflow(w);
        }
    }
    lock_release(&w->lock);
    return ok ? WINDOW_OK : WINDOW_REFUSED;
}

bool window_refresh_store(Window *w, uint64_t lin)
{
    uint64_t page = lin & GUEST_PAGE_MASK;
    bool ok = false;
    unsigned i;

    lock_take(&w->lock);
    i = run_at(w, page);
    if (holds(w, i, page) && w->run[i].write &&
        take_store_right(w, w->run[i].offset + (page - w->run[i].lin))) {
        ok = mprotect(host_of(w, page), GUEST_PAGE_SIZE, PROT_READ | PROT_WRITE) == 0;
        w->n_refreshes++;
        w->n_pieces -= MIN(w->n_pieces, 2u);
    }
    lock_release(&w->lock);
    return ok;
}

static void unmap_going(Window *w, WindowGoing *g)
{
    if (w->n_runs + 2 >= WINDOW_RUNS) { /* splitting may need one more */
        overflow(w);
    }
    if (g->len != 0) {
        unmap_locked(w, g->lin, g->lin + (g->len - 1));
    }
    g->len = 0;
}

void window_unmap(Window *w, uint64_t lin, uint64_t len)
{
    window_unmap_rest(w, &(WindowGoing){lin, len});
}

void window_unmap_with(Window *w, WindowGoing *g, uint64_t lin, uint64_t len)
{
    lock_take(&w->lock);
    go_too(w, g, lin, len, unmap_going);
    lock_release(&w->lock);
}

void window_unmap_rest(Window *w, WindowGoing *g)
{
    lock_take(&w->lock);
    unmap_going(w, g);
    lock_release(&w->lock);
}

void window_unmap_all(Window *w)
{
    lock_take(&w->lock);
    unmap_locked(w, 0, UINT64_MAX);
    lock_release(&w->lock);
}

/* Nobody stores to the pages around `offset` any more (lock held). */
static void revoke_group(Window *w, uint64_t offset)
{
    uint64_t size = (uint64_t)w->revoke_pages << GUEST_PAGE_SHIFT, from = offset & ~(size - 1);
    uint64_t to = MIN(from + size, w->mem->size);

    for (unsigned i = 0; i < w->n_runs; i++) {
        const WindowRun *r = &w->run[i];
        uint64_t first = MAX(from, r->offset), end = MIN(to, r->offset + r->len);

        if (!r->write || first >= end) {
            continue;
        }
        w->n_revokes++;
        w->n_pieces += 2; /* around it, at most */
        if (mprotect(host_of(w, r->lin + (first - r->offset)), end - first, PROT_READ) != 0 ||
            w->n_pieces > w->pieces_max) {
            overflow(w);
            break;
        }
    }
    for (uint64_t page = from >> GUEST_PAGE_SHIFT; page < to >> GUEST_PAGE_SHIFT; page++) {
        w->denied[page / 64] |= BIT64(page % 64);
    }
}

void window_revoke_write(Window *w, uint64_t offset)
{
    lock_take(&w->lock);
    if (!is_denied(w, offset)) {
        revoke_group(w, offset);
    }
    lock_release(&w->lock);
}
