/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Deliveries and IRET between 64-bit code where nothing is unusual: descriptors are present and accessed, all
 * that is read and written is RAM in the software TLB and lies within a page.  Nothing has changed when one of
 * these says no; then exception.c and far.c do it step by step, and find what to raise.
 */
#include "cpu-x86/segment-internal.h"

/* Bytes of memory at hand, or NULL. */
static void *at_hand(CpuState *cpu, TlbClass c, uint64_t lin, unsigned size, TlbAccess a)
{
    return canonical(lin) && tlb_within_page(lin, size) ? tlb_hit(&cpu->mmu.tlb, c, lin, a) : NULL;
}

/* A descriptor of the GDT for privilege level `dpl`, accessed and present, whose bits `mask` are `want`. */
static bool plain_desc(CpuState *cpu, uint16_t selector, unsigned dpl, uint32_t mask, uint32_t want, Desc *d)
{
    const uint32_t always = SEG_P | SEG_S | SEG_A | 3u << SEG_DPL_SHIFT;
    const Unaligned32 *p;

    if ((selector & 4) != 0 || selector_is_null(selector) || (selector | 7u) > cpu->gdtr.limit) {
        return false;
    }
    *d = (Desc){.selector = selector, .at = guest_lin(cpu->gdtr.base + (selector & 0xfff8u))};
    p = at_hand(cpu, TLB_KERNEL, d->at.v, 8, TLB_LOAD);
    if (p == NULL) {
        return false;
    }
    d->lo = p[0];
    d->hi = p[1];
    return (d->hi & (always | mask)) == (SEG_P | SEG_S | SEG_A | dpl << SEG_DPL_SHIFT | want);
}

/* 64-bit code that is not conforming. */
static bool plain_code(CpuState *cpu, uint16_t selector, unsigned dpl, Desc *d)
{
    return plain_desc(cpu, selector, dpl, SEG_CODE | SEG_DC | SEG_L | SEG_DB, SEG_CODE | SEG_L, d);
}

/* The stack pointer for ring 0. */
static bool inner_stack(CpuState *cpu, unsigned ist, uint64_t *sp)
{
    const Segment *tr = &cpu->seg[SEG_TR];
    unsigned off = ist != 0 ? 0x1c + ist * 8 : 4;
    const Unaligned64 *p = off + 7 <= tr->limit ? at_hand(cpu, TLB_KERNEL, tr->base + off, 8, TLB_LOAD) : NULL;

    if (p == NULL) {
        return false;
    }
    *sp = *p;
    return true;
}

bool cpu_deliver_plain(CpuState *cpu, unsigned vector, bool soft, const uint32_t *code, uint64_t rip, uint64_t flags)
{
    uint64_t sp = cpu->gpr[GPR_RSP], offset, *frame;
    unsigned n = code != NULL ? 6 : 5, ist;
    const Unaligned32 *gate;
    Desc d;

    if (!cpu_is_long64(cpu) || vector * 16 + 15 > cpu->idtr.limit) {
        return false;
    }
    gate = at_hand(cpu, TLB_KERNEL, cpu->idtr.base + vector * 16, 16, TLB_LOAD);
    /* present, an interrupt or a trap gate */
    if (gate == NULL || (gate[1] & 0x9e00) != 0x8e00 || (soft && (gate[1] >> SEG_DPL_SHIFT & 3) < cpu->cpl)) {
        return false;
    }
    offset = (gate[0] & 0xffff) | (gate[1] & 0xffff0000) | (uint64_t)gate[2] << 32;
    ist = gate[1] & 7;
    if (!canonical(offset) || !plain_code(cpu, (uint16_t)(gate[0] >> 16), 0, &d) ||
        ((cpu->cpl != 0 || ist != 0) && !inner_stack(cpu, ist, &sp))) {
        return false;
    }
    sp = (sp & ~(uint64_t)15) - n * 8;
    frame = at_hand(cpu, tlb_class_of(cpu, 0), sp, n * 8, TLB_STORE);
    if (frame == NULL) {
        return false;
    }
    if (code != NULL) {
        *frame++ = *code;
    }
    frame[0] = rip;
    frame[1] = cpu->seg[SEG_CS].selector;
    frame[2] = flags;
    frame[3] = cpu->gpr[GPR_RSP];
    frame[4] = cpu->seg[SEG_SS].selector;
    cpu->rflags &= ~(uint64_t)(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM | ((gate[1] & 0x100) == 0 ? FLAG_IF : 0));
    cpu->gpr[GPR_RSP] = sp;
    if (cpu->cpl != 0) {
        cpu->seg[SEG_SS] = segment_null_ss(0);
    }
    code_commit(cpu, &d, 0, offset);
    return true;
}

bool cpu_iret_plain(CpuState *cpu)
{
    const Unaligned64 *frame = at_hand(cpu, tlb_class_of(cpu, cpu->cpl), cpu->gpr[GPR_RSP], 40, TLB_LOAD);
    unsigned cpl, old_cpl = cpu->cpl;
    uint64_t mask;
    Desc code, stack;

    if (frame == NULL || !cpu_is_long64(cpu) || old_cpl != 0 || (cpu->rflags & FLAG_NT) != 0 || !canonical(frame[0])) {
        return false;
    }
    cpl = frame[1] & 3;
    if (!plain_code(cpu, (uint16_t)frame[1], cpl, &code)) {
        return false;
    }
    if (selector_is_null((uint16_t)frame[4])) {
        if (cpl == 3 || (frame[4] & 3) != cpl) {
            return false;
        }
    } else if ((frame[4] & 3) != cpl ||
               !plain_desc(cpu, (uint16_t)frame[4], cpl, SEG_CODE | SEG_RW, SEG_RW, &stack)) {
        return false;
    }
    mask = flags_writable(cpu, 0, 8) | FLAG_VIF | FLAG_VIP;
    cpu->rflags = (cpu->rflags & ~mask) | (frame[2] & mask) | FLAG_FIXED;
    cpu->gpr[GPR_RSP] = frame[3];
    cpu->seg[SEG_SS] = selector_is_null((uint16_t)frame[4]) ? segment_null_ss(cpl) : desc_segment(&stack);
    code_commit(cpu, &code, cpl, frame[0]);
    if (cpl != old_cpl) {
        drop_inner_segments(cpu, cpl);
    }
    return true;
}
