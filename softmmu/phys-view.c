/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "softmmu/phys-view-internal.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <inttypes.h>

/* -- Flattening ------------------------------------------------------------------------------- */

static int by_value(gconstpointer a, gconstpointer b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Every address where the answer may change: region starts and ends (an end at 2^64 is none). */
static GArray *edges_of(const PhysMem *pm)
{
    GArray *edges = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    uint64_t zero = 0;

    g_array_append_val(edges, zero);
    for (unsigned i = 0; i < pm->regions->len; i++) {
        PhysRegion *r = g_ptr_array_index(pm->regions, i);
        uint64_t end = r->base + r->len;
        if (r->enabled) {
            g_array_append_val(edges, r->base);
            if (end > r->base) {
                g_array_append_val(edges, end);
            }
        }
    }
    g_array_sort(edges, by_value);
    return edges;
}

/* The enabled region that answers `addr`: highest priority, the latest of equals. */
static PhysRegion *winner(const PhysMem *pm, uint64_t addr)
{
    PhysRegion *best = NULL;

    for (unsigned i = 0; i < pm->regions->len; i++) {
        PhysRegion *r = g_ptr_array_index(pm->regions, i);
        if (r->enabled && addr - r->base < r->len &&
            (best == NULL || r->priority >= best->priority)) {
            best = r;
        }
    }
    return best;
}

static PhysRange range_at(PhysRegion *r, uint64_t base, uint64_t len)
{
    if (r == NULL) {
        return (PhysRange){.base = base, .len = len, .kind = PHYS_NONE};
    }
    return (PhysRange){.base = base, .len = len, .kind = r->kind,
                       .offset = r->offset + (base - r->base), .ops = r->ops, .arg = r->arg,
                       .window_off = base - r->base, .region = r};
}

/* Append, merging with the range before when both belong to the same region. */
static void append_range(FlatView *v, PhysRange r)
{
    PhysRange *last = v->n > 0 ? &v->range[v->n - 1] : NULL;

    if (last != NULL && last->region == r.region) {
        last->len += r.len;
    } else {
        v->range[v->n++] = r;
    }
}

/*
 * Views are made in the memory of retired ones, so that a guest that moves a window for ever costs
 * no memory, and are never freed before the PhysMem.  A reader that slept on a retired view may thus
 * see it change; phys_mem_find() finds that out by the generation, which has moved on by then.
 */
static FlatView *take_view(PhysMem *pm, unsigned n)
{
    for (unsigned i = 0; i < pm->old_views->len; i++) {
        FlatView *old = g_ptr_array_index(pm->old_views, i);
        if (old->capacity >= n) {
            g_ptr_array_steal_index(pm->old_views, i); /* the longest retired */
            return old;
        }
    }
    unsigned capacity = MAX(n * 2, 64);
    FlatView *v = g_malloc0(sizeof *v + capacity * sizeof v->range[0]);
    v->capacity = capacity;
    return v;
}

static FlatView *flatten(PhysMem *pm)
{
    GArray *edges = edges_of(pm);
    FlatView *v = take_view(pm, edges->len);

    v->n = 0;
    for (unsigned i = 0; i < edges->len; i++) {
        uint64_t base = g_array_index(edges, uint64_t, i);
        bool last = i + 1 == edges->len;
        uint64_t len = last ? UINT64_MAX - base : g_array_index(edges, uint64_t, i + 1) - base;
        if (len > 0) {
            append_range(v, range_at(winner(pm, base), base, len));
        }
    }
    g_array_free(edges, TRUE);
    return v;
}

static void set_main(PhysMem *pm, const FlatView *v)
{
    PhysRange best = {.kind = PHYS_NONE};

    for (unsigned i = 0; i < v->n; i++) {
        if (v->range[i].kind == PHYS_RAM && v->range[i].len > best.len) {
            best = v->range[i];
        }
    }
    if (best.base != pm->main_base || best.len != pm->main_len || best.offset != pm->main_offset) {
        __atomic_add_fetch(&pm->main_seq, 1, __ATOMIC_SEQ_CST);
        __atomic_store_n(&pm->main_base, best.base, __ATOMIC_RELAXED);
        __atomic_store_n(&pm->main_len, best.len, __ATOMIC_RELAXED);
        __atomic_store_n(&pm->main_offset, best.offset, __ATOMIC_RELAXED);
        __atomic_add_fetch(&pm->main_seq, 1, __ATOMIC_SEQ_CST);
    }
}

void phys_view_rebuild(PhysMem *pm)
{
    FlatView *old = pm->flat;
    FlatView *v = flatten(pm);

    trace(phys_map_rebuild, "ranges=%u", v->n);
    __atomic_store_n(&pm->flat, (void *)v, __ATOMIC_RELEASE);
    set_main(pm, v);
    __atomic_add_fetch(&pm->generation, 1, __ATOMIC_SEQ_CST);
    if (old != NULL) {
        g_ptr_array_add(pm->old_views, old);
    }
}

/* -- Lookup ----------------------------------------------------------------------------------- */

static PhysRange find(const FlatView *v, uint64_t a)
{
    unsigned lo = 0, hi = MIN(__atomic_load_n(&v->n, __ATOMIC_RELAXED), v->capacity);

    while (hi - lo > 1) { /* invariant: range[lo].base <= a, and a < range[hi].base if hi < n */
        unsigned mid = (lo + hi) / 2;
        if (v->range[mid].base <= a) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return v->range[lo];
}

PhysRange phys_mem_find(PhysMem *pm, GuestPhys addr)
{
    uint64_t a = addr.v & __atomic_load_n(&pm->address_mask, __ATOMIC_RELAXED), before, after;
    PhysRange r;

    do {
        before = __atomic_load_n(&pm->generation, __ATOMIC_ACQUIRE);
        r = find(__atomic_load_n(&pm->flat, __ATOMIC_ACQUIRE), a);
        __atomic_signal_fence(__ATOMIC_ACQUIRE); /* the host keeps the order of loads */
        after = __atomic_load_n(&pm->generation, __ATOMIC_RELAXED);
    } while (after != before);             /* the view may have been made into another meanwhile */
    return r;
}

void phys_mem_foreach(PhysMem *pm, void (*f)(const PhysRange *r, const char *name, void *arg),
                      void *arg)
{
    const FlatView *v = __atomic_load_n(&pm->flat, __ATOMIC_ACQUIRE);

    for (unsigned i = 0; i < v->n; i++) {
        const PhysRange *r = &v->range[i];
        f(r, r->region != NULL ? r->region->name : "", arg);
    }
}
