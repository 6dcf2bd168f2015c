/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Huge pages of the host, 2 MiB each.
 *
 * A big program in the guest uses more pages, and its translation has more, than the host's TLBs hold.  Shared
 * memory gets huge pages only where the host's administrator says so (transparent_hugepage/shmem_enabled), but since
 * Linux 6.1 by madvise(MADV_COLLAPSE) too, whatever is set there.  It is also the cheapest way to have memory brought:
 * 200 us for 2 MiB where 512 small pages take 1,300 (a Zen 4 that is itself a guest).
 */
#ifndef SOFTMMU_BASE_HUGE_H
#define SOFTMMU_BASE_HUGE_H

#include <stdbool.h>
#include <stdint.h>

enum { HUGE_PAGE_SIZE = 1 << 21, HUGE_PAGE_MASK = HUGE_PAGE_SIZE - 1 };

/* Both atomic. */
typedef struct {
    uint8_t trust;   /* how often the host may still refuse before it is not asked any more; 0: it is not */
    unsigned made;   /* statistics */
} HugePages;

enum { HUGE_TRUST = 8 };

/* Have the host bring HUGE_PAGE_SIZE bytes at p, writable shared memory of a memfd, as one page.  What is in it stays.
 * False, and at most a small page of it has been brought, where the host cannot or p is not aligned. */
bool make_present_huge(HugePages *h, void *p);

#endif /* SOFTMMU_BASE_HUGE_H */
