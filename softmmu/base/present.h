/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that is going to be used. */
#ifndef SOFTMMU_BASE_PRESENT_H
#define SOFTMMU_BASE_PRESENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

/* Have the host bring the whole pages of [p, p+len), writable private or shared memory, in one call. A page fault for
 * each page costs 10 us on a host that is a guest without hardware help. Hosts before Linux 5.14 refuse, and nothing
 * happens. */
static inline void make_present(void *p, size_t len)
{
    const uintptr_t page = 4096, start = ((uintptr_t)p + page - 1) & ~(page - 1), end = ((uintptr_t)p + len) & ~(page - 1);

    if (end > start) {
        madvise((void *)start, end - start, MADV_POPULATE_WRITE);
    }
}

#endif /* SOFTMMU_BASE_PRESENT_H */
