/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Links between pages.
 *
 * Code of a kernel that is mapped globally is where it is in every address space, until a CPU flushes it from
 * its TLB.  So a link between two such pages is made when the page tables say that both are mapped so, and those of the other
 * CPUs too; and each CPU, before it enters translated code after a flush, undoes the links that the flush is about, for all CPUs.
 * A link that another CPU makes meanwhile is right too: the tables were changed before they were flushed.
 */
#include "cpu-x86/walk.h"
#include "translator/engine-internal.h"
#include "translator/glue.h"

/* Could code at `lin` run as this CPU is now?  In long mode links are in the upper half, else anywhere.  To change that takes a
 * flush. */
static bool could_run_at(const CpuState *cpu, uint64_t lin)
{
    return (cpu->cr0 & CR0_PG) != 0 && ((cpu->efer & EFER_LMA) != 0 ? (int64_t)lin < 0 : lin <= UINT32_MAX);
}

/* Do the tables say that code at `lin` is what lies at `offset`?  Where CR4.PGE is clear the CPU's next load of CR3 is a flush. */
static bool maps(CpuState *cpu, uint64_t lin, uint64_t offset)
{
    WalkExtent x;

    return cpu_walk_extent(cpu, guest_lin(lin), 0, &x) && (x.global || (cpu->cr4 & CR4_PGE) == 0) && (x.rights & TLB_R_EXEC) != 0 &&
           phys_mem_host(cpu->mem, x.phys, 1, false) == cpu->mem->base + (offset & GUEST_PAGE_MASK);
}

static bool mapped_for_good(void *arg, uint64_t lin, uint64_t offset)
{
    CpuState *cpu = ((TransCpu *)arg)->cpu;

    return (cpu->cr4 & CR4_PGE) != 0 && could_run_at(cpu, lin) && maps(cpu, lin, offset);
}

/* Who has other tables is not to follow our links.  (Whoever changes how it reads them, or begins to, flushes and looks itself.) */
static bool others_agree(const TransCpu *tc, uint64_t lin, uint64_t offset)
{
    for (unsigned i = 0; i < tc->shared->cpus->len; i++) {
        const TransCpu *other = g_ptr_array_index(tc->shared->cpus, i);
        if (other != tc && could_run_at(other->cpu, lin) && !maps(other->cpu, lin, offset)) {
            return false;
        }
    }
    return true;
}

static bool may_lead(TransCpu *tc, const Block *b)
{
    cache_expect_across(tc->cache, b->lin);
    return mapped_for_good(tc, b->lin, b->offset) && others_agree(tc, b->lin, b->offset);
}

bool across_may(TransCpu *tc, const Block *from, const Block *to)
{
    return may_lead(tc, from) && may_lead(tc, to);
}

/* Pages were flushed one by one. */
static void unlink_flushed(TransCpu *tc)
{
    const Tlb *tlb = &tc->cpu->mmu.tlb;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (uint64_t i = tc->across_flushes; i != tlb->n_page_flushes; i++) {
        uint64_t lin = tlb->flushed[i % TLB_FLUSHED].v;
        if (could_run_at(tc->cpu, lin) && cache_expects_across(tc->cache, lin)) {
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
