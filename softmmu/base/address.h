/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest addresses as types.
 *
 * GuestPhys is a guest-physical address (what the page walk produces), GuestLin a linear address
 * (after segmentation, before paging).  Both are one-member structs so that the compiler refuses
 * to mix them; only the page walk turns one into the other.
 */
#ifndef SOFTMMU_BASE_ADDRESS_H
#define SOFTMMU_BASE_ADDRESS_H

#include <stdint.h>

typedef struct {
    uint64_t v;
} GuestPhys;

typedef struct {
    uint64_t v;
} GuestLin;

enum { GUEST_PAGE_SHIFT = 12, GUEST_PAGE_SIZE = 1 << GUEST_PAGE_SHIFT };
#define GUEST_PAGE_OFFSET_MASK ((uint64_t)GUEST_PAGE_SIZE - 1)
#define GUEST_PAGE_MASK (~GUEST_PAGE_OFFSET_MASK)

static inline GuestPhys guest_phys(uint64_t v)
{
    return (GuestPhys){v};
}

static inline GuestLin guest_lin(uint64_t v)
{
    return (GuestLin){v};
}

#endif /* SOFTMMU_BASE_ADDRESS_H */
