/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A SoftMmu whose "page tables" are an array: page n maps to phys[n] with rights[n]; what is not
 * allowed raises by longjmp, like a CPU. */
#ifndef TESTS_SOFTMMU_FAKE_WALK_H
#define TESTS_SOFTMMU_FAKE_WALK_H

#include "softmmu/access.h"

#include <setjmp.h>

enum { FAKE_PAGES = 64, FAKE_RAM = 64 * GUEST_PAGE_SIZE };

typedef struct {
    Lock lock;
    PhysMem *pm;
    SoftMmu mmu;
    uint64_t phys[FAKE_PAGES];
    uint8_t rights[FAKE_PAGES];
    bool global[FAKE_PAGES];
    unsigned walks, code_writes, watches;
    GuestLin fault_lin, watch_lin;
    TlbAccess fault_access;
    jmp_buf fault;
} FakeMmu;

static inline void fake_fill(void *arg, GuestLin lin, TlbAccess a, TlbClass c)
{
    FakeMmu *f = arg;
    uint64_t n = lin.v >> GUEST_PAGE_SHIFT;
    uint8_t need = a == TLB_LOAD ? TLB_R_READ : a == TLB_STORE ? TLB_R_WRITE : TLB_R_EXEC;

    f->walks++;
    if (n >= FAKE_PAGES || (f->rights[n] & need) == 0) {
        f->fault_lin = lin;
        f->fault_access = a;
        longjmp(f->fault, 1);
    }
    tlb_insert(&f->mmu.tlb, c, lin, guest_phys(f->phys[n]), f->rights[n], f->global[n], 12);
}

static inline void fake_watched(void *arg, GuestLin lin, unsigned size, TlbAccess a)
{
    ((FakeMmu *)arg)->watches++;
    ((FakeMmu *)arg)->watch_lin = lin;
}

static inline void fake_code_written(void *arg)
{
    ((FakeMmu *)arg)->code_writes++;
}

/* Identity map with all rights over 256 KiB of RAM. */
static inline FakeMmu *fake_mmu_new(void)
{
    FakeMmu *f = g_new0(FakeMmu, 1);

    lock_init(&f->lock, LOCK_RANK_MACHINE);
    f->pm = phys_mem_new(FAKE_RAM, &f->lock, NULL);
    phys_region_ram(f->pm, 0, FAKE_RAM, phys_mem_alloc(f->pm, FAKE_RAM), 0, "ram");
    for (unsigned i = 0; i < FAKE_PAGES; i++) {
        f->phys[i] = (uint64_t)i << GUEST_PAGE_SHIFT;
        f->rights[i] = TLB_R_READ | TLB_R_WRITE | TLB_R_EXEC;
    }
    mmu_init(&f->mmu, f->pm, f, fake_fill, fake_watched, fake_code_written);
    return f;
}

static inline void fake_mmu_free(FakeMmu *f)
{
    mmu_clear(&f->mmu);
    phys_mem_free(f->pm);
    lock_clear(&f->lock);
    g_free(f);
}

#endif /* TESTS_SOFTMMU_FAKE_WALK_H */
