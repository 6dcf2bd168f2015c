/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a device reads and writes guest memory: by copy, or through a host pointer followed by
 * dma_written().  Both mark pages dirty and invalidate code.  Guest-given addresses and lengths may
 * be anything: nothing here trusts them.
 */
#ifndef HW_DMA_H
#define HW_DMA_H

#include "softmmu/base/bits.h"
#include "softmmu/phys-mem.h"

/* Copy; false when part of it lay where nobody answers. */
static inline bool dma_read(PhysMem *pm, uint64_t addr, void *dst, uint64_t len)
{
    return phys_copy_from(pm, dst, guest_phys(addr), len);
}

static inline bool dma_write(PhysMem *pm, uint64_t addr, const void *src, uint64_t len)
{
    return phys_copy_to(pm, guest_phys(addr), src, len);
}

/* Little-endian scalars; unanswered bytes read as ones. */
static inline uint64_t dma_load(PhysMem *pm, uint64_t addr, unsigned size)
{
    uint8_t b[8] = {0};
    phys_copy_from(pm, b, guest_phys(addr), size);
    return load_le(b, size);
}

static inline void dma_store(PhysMem *pm, uint64_t addr, unsigned size, uint64_t val)
{
    uint8_t b[8];
    store_le(b, 8, val);
    phys_copy_to(pm, guest_phys(addr), b, size);
}

/* Host pointer to RAM for zero-copy I/O, or NULL when [addr, addr+len) is not plain RAM in one
 * piece; after the host (or its kernel) wrote through it: dma_written(). */
static inline void *dma_map(PhysMem *pm, uint64_t addr, uint64_t len, bool write)
{
    return phys_mem_host(pm, guest_phys(addr), len, write);
}

static inline void dma_written(PhysMem *pm, const void *host, uint64_t len)
{
    phys_mem_written(pm, (uint64_t)((const uint8_t *)host - pm->base), len);
}

#endif /* HW_DMA_H */
