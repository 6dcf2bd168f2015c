/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flat view: what answers each physical address, computed from the regions.
 *
 * Ranges are sorted, disjoint and cover the whole 64-bit space (PHYS_NONE fills the gaps), so a
 * look-up always finds one.  A published view is never changed or freed before the PhysMem is:
 * readers hold no lock.  (A machine publishes some hundred views of a few hundred bytes; a guest that
 * remaps BARs for ever is bounded by phys_view_rebuild() reusing a view equal to an old one.)
 */
#ifndef SOFTMMU_PHYS_VIEW_INTERNAL_H
#define SOFTMMU_PHYS_VIEW_INTERNAL_H

#include "softmmu/phys-mem.h"

struct PhysRegion {
    PhysKind kind;
    uint64_t base, len;
    uint64_t offset;
    const BusOps *ops;
    void *arg;
    int priority;
    bool enabled;
    const char *name;
};

typedef struct {
    unsigned n, capacity;
    PhysRange range[];
} FlatView;

/* Compute the view of pm->regions and publish it (atomically; old views are used again). */
void phys_view_rebuild(PhysMem *pm);

/* Take the write tag from every TLB entry of memfd page `offset` (phys-mem.c). */
void phys_mem_revoke_write(PhysMem *pm, uint64_t offset);

#endif /* SOFTMMU_PHYS_VIEW_INTERNAL_H */
