/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Links between pages.
 *
 * Code of a kernel that is mapped globally is where it is in every address space, until a CPU flushes it from
 * its TLB.  So a link between two such pages is made when the page tables say that both are mapped so; and each
 * CPU, before it enters translated code after a flush, undoes the links that the flush is about, for all CPUs.
 * A link that another CPU makes meanwhile is right too: the tables were changed before they were flushed.
 */
#include "cpu-x86/walk.h"
#include "translator/engine-internal.h"
#include "translator/glue.h"

static bool mapped_for_good(void *arg, uint64_t lin, uint64_t offset)
{
    TransCpu *tc = arg;
    CpuState *cpu = tc->cpu;
    WalkExtent x;

    return (cpu->cr4 & CR4_PGE) != 0 && (cpu->mode & MODE_CS64) != 0 &&
           cpu_walk_extent(cpu, guest_lin(lin), 0, &x) && x.global && (x.rights & TLB_R_EXEC) != 0 &&
           phys_mem_host(cpu->mem, x.phys, 1, false) == cpu->mem->base + (offset & GUEST_PAGE_MASK);
}

bool across_may(TransCpu *tc, const Block *from, const Block *to)
{
    return mapped_for_good(tc, from->lin, from->offset) && mapped_for_good(tc, to->lin, to->offset);
}

/* Pages were flushed one by one.  Links are between upper-half pages. */
static void unlink_flushed(TransCpu *tc)
{
    const Tlb *tlb = &tc->cpu->mmu.tlb;

    for (uint64_t i = tc->across_flushes; i != tlb->n_page_flushes; i++) {
        uint64_t lin = tlb->flushed[i % TLB_FLUSHED].v;
        if ((int64_t)lin < 0) {
            trans_vec_spill();
            lock_take(&tc->cache->lock);
            cache_unlink_across(tc->cache, lin);
            lock_release(&tc->cache->lock);
        }
    }
}

void across_update(TransCpu *tc)
{
    const Tlb *tlb = &tc->cpu->mmu.tlb;

    if (tc->across_epoch != tlb->code_epoch || tlb->n_page_flushes - tc->across_flushes > TLB_FLUSHED) {
        trans_vec_spill();
        lock_take(&tc->cache->lock);
        cache_check_across(tc->cache, mapped_for_good, tc);
        lock_release(&tc->cache->lock);
    } else if (unlikely(tc->across_flushes != tlb->n_page_flushes)) {
        unlink_flushed(tc);
    }
    tc->across_epoch = tlb->code_epoch;
    tc->across_flushes = tlb->n_page_flushes;
}
