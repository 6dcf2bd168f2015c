/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/engine-internal.h"

_Thread_local Vcb vcb __attribute__((tls_model("local-exec"), aligned(64)));

/* -- Flags ------------------------------------------------------------------------------------ */

/* The lahf/seto image: AH = SF ZF - AF - PF - CF, AL = OF. */
static uint64_t image_of(uint64_t rflags)
{
    uint64_t ah = rflags & (FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF | FLAG_CF);

    return ah << 8 | (rflags & FLAG_OF ? 1 : 0);
}

static uint64_t flags_of(uint64_t image)
{
    uint64_t ah = (image >> 8) & (FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF | FLAG_CF);

    return ah | ((image & 0xff) != 0 ? FLAG_OF : 0);
}

/* -- Registers -------------------------------------------------------------------------------- */

void state_from_host(TransCpu *tc, uint16_t borrowed, unsigned bits)
{
    Vcb *v = tc->vcb;
    CpuState *cpu = tc->cpu;

    for (unsigned r = 0; r < GPR_COUNT; r++) {
        cpu->gpr[r] = (borrowed & 1u << r) != 0 ? v->saved[r] : v->host[r];
    }
    if ((bits & MARK_RAX_TMP) != 0) {
        cpu->gpr[GPR_RAX] = v->rax_tmp;
    }
    cpu->rflags = (cpu->rflags & ~(uint64_t)FLAGS_ARITH) |
                  flags_of((bits & MARK_FLAGS_SLOT) != 0 ? v->flags_slot : v->flags);
}

static void jump_cache_clear(TransCpu *tc)
{
    memset(tc->vcb->jc_ntag, 0, sizeof tc->vcb->jc_ntag);
    tc->seen_epoch = tc->cpu->mmu.tlb.code_epoch;
    tc->seen_evictions = tc->cache->evictions;
}

void state_to_host(TransCpu *tc)
{
    Vcb *v = tc->vcb;
    CpuState *cpu = tc->cpu;
    Tlb *tlb = &cpu->mmu.tlb;
    TlbTable *table = &tlb->table[cpu->tlb_class];

    memcpy(v->host, cpu->gpr, sizeof v->host);
    memcpy(v->saved, cpu->gpr, sizeof v->saved);
    v->flags = v->flags_slot = image_of(cpu->rflags);
    v->tlb_entry = (uint64_t)(uintptr_t)table->entry;
    v->tlb_mask = table->index_mask * sizeof(TlbEntry);
    v->tlb_space = tlb->space;
    v->fs_base = cpu->seg[SEG_FS].base;
    v->gs_base = cpu->seg[SEG_GS].base;
    v->jc_key = ((uint64_t)tlb->space << 2 | (cpu->cpl == 3)) << 50;
    if (tc->seen_epoch != tlb->code_epoch || tc->seen_evictions != tc->cache->evictions) {
        jump_cache_clear(tc);
    }
}
