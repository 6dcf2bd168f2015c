/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "softmmu/base/huge.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

bool make_present_huge(HugePages *h, void *p)
{
    uint8_t left = __atomic_load_n(&h->trust, __ATOMIC_RELAXED);

    if (left == 0 || ((uintptr_t)p & HUGE_PAGE_MASK) != 0) {
        return false;
    }
    /* Where nothing at all is there yet, Linux refuses. */
    if (madvise(p, 1, MADV_POPULATE_WRITE) == 0 && madvise(p, HUGE_PAGE_SIZE, MADV_COLLAPSE) == 0) {
        __atomic_fetch_add(&h->made, 1, __ATOMIC_RELAXED);
        return true;
    }
    /* EINVAL: no such kernel; else no memory in one piece, perhaps only now. */
    __atomic_store_n(&h->trust, errno == EINVAL ? 0 : left - 1, __ATOMIC_RELAXED);
    return false;
}
