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

static FlatView *flatten(const PhysMem *pm)
{
    GArray *edges = edges_of(pm);
    FlatView *v = g_malloc0(sizeof *v + edges->len * sizeof v->range[0]);

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

static bool views_equal(const FlatView *a, const FlatView *b)
{
    return a->n == b->n && memcmp(a->range, b->range, a->n * sizeof a->range[0]) == 0;
}

/* An old view equal to v (v is freed then), or v. */
static FlatView *reuse_old(PhysMem *pm, FlatView *v)
{
    for (unsigned i = 0; i < pm->old_views->len; i++) {
        FlatView *old = g_ptr_array_index(pm->old_views, i);
        if (views_equal(old, v)) {
            g_ptr_array_steal_index_fast(pm->old_views, i);
            g_free(v);
            return old;
        }
    }
    return v;
}

void phys_view_rebuild(PhysMem *pm)
{
    FlatView *old = pm->flat;
    FlatView *v = reuse_old(pm, flatten(pm));

    trace(phys_map_rebuild, "ranges=%u", v->n);
    __atomic_store_n(&pm->flat, (void *)v, __ATOMIC_RELEASE);
    __atomic_add_fetch(&pm->generation, 1, __ATOMIC_RELEASE);
    if (old != NULL) {
        g_ptr_array_add(pm->old_views, old);
    }
}

/* -- Lookup ----------------------------------------------------------------------------------- */

PhysRange phys_mem_find(PhysMem *pm, GuestPhys addr)
{
    const FlatView *v = __atomic_load_n(&pm->flat, __ATOMIC_ACQUIRE);
    uint64_t a = addr.v & __atomic_load_n(&pm->address_mask, __ATOMIC_RELAXED);
    unsigned lo = 0, hi = v->n;

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

void phys_mem_foreach(PhysMem *pm, void (*f)(const PhysRange *r, const char *name, void *arg),
                      void *arg)
{
    const FlatView *v = __atomic_load_n(&pm->flat, __ATOMIC_ACQUIRE);

    for (unsigned i = 0; i < v->n; i++) {
        const PhysRange *r = &v->range[i];
        f(r, r->region != NULL ? r->region->name : "", arg);
    }
}
