/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hardware task switches (SDM 3A chapter 7). */
#include "cpu-x86/segment-internal.h"

#include "cpu-x86/debug.h"
#include "cpu-x86/walk.h"
#include "softmmu/base/log.h"

#include <inttypes.h>

/* Where things lie in the two kinds of TSS (SDM 3A figures 7-2 and 7-10). */
typedef struct {
    uint8_t word;              /* size of registers                        */
    uint8_t cr3, ip, flags, gpr, seg, n_segs, seg_step, ldt, trap;
    uint8_t min_limit;
} TssLayout;

static const TssLayout tss16 = {
    .word = 2, .ip = 0x0e, .flags = 0x10, .gpr = 0x12, .seg = 0x22, .n_segs = 4, .seg_step = 2,
    .ldt = 0x2a, .min_limit = 0x2b,
};
static const TssLayout tss32 = {
    .word = 4, .cr3 = 0x1c, .ip = 0x20, .flags = 0x24, .gpr = 0x28, .seg = 0x48, .n_segs = 6,
    .seg_step = 4, .ldt = 0x60, .trap = 0x64, .min_limit = 0x67,
};

static const TssLayout *layout_of(unsigned type)
{
    return (type & 8) != 0 ? &tss32 : &tss16;
}

/* What a new task begins with, read whole before the switch. */
typedef struct {
    uint32_t cr3, ip, flags, gpr[8];
    uint16_t seg[6], ldt;
    bool trap;
} TaskImage;

static void read_image(CpuState *cpu, const TssLayout *t, uint64_t base, TaskImage *im)
{
    *im = (TaskImage){0};
    im->cr3 = t->cr3 != 0 ? (uint32_t)read_system(cpu, base + t->cr3, 4) : 0;
    im->ip = (uint32_t)read_system(cpu, base + t->ip, t->word);
    im->flags = (uint32_t)read_system(cpu, base + t->flags, t->word);
    for (unsigned i = 0; i < 8; i++) {
        im->gpr[i] = (uint32_t)read_system(cpu, base + t->gpr + i * t->word, t->word);
    }
    for (unsigned i = 0; i < t->n_segs; i++) {
        im->seg[i] = (uint16_t)read_system(cpu, base + t->seg + i * t->seg_step, 2);
    }
    im->ldt = (uint16_t)read_system(cpu, base + t->ldt, 2);
    im->trap = t->trap != 0 && (read_system(cpu, base + t->trap, 2) & 1) != 0;
}

/* Save the outgoing task; the caller has probed the pages. */
static void save_task(CpuState *cpu, const TssLayout *t, uint64_t rip, uint64_t flags)
{
    uint64_t base = cpu->seg[SEG_TR].base;

    write_system(cpu, base + t->ip, t->word, rip & mask_bytes(t->word));
    write_system(cpu, base + t->flags, t->word, flags & mask_bytes(t->word));
    for (unsigned i = 0; i < 8; i++) {
        write_system(cpu, base + t->gpr + i * t->word, t->word, cpu->gpr[i] & mask_bytes(t->word));
    }
    for (unsigned i = 0; i < t->n_segs; i++) {
        write_system(cpu, base + t->seg + i * t->seg_step, 2, cpu->seg[i].selector);
    }
}

/* -- The new task's segments: everything here faults in the new task ------------------------------- */

static void load_task_ldt(CpuState *cpu, uint16_t selector, unsigned ext)
{
    Desc d;

    cpu->seg[SEG_LDTR] = (Segment){.selector = selector, .attr = SEG_NULL};
    if (selector_is_null(selector)) {
        return;
    }
    if ((selector & 4) != 0 || !desc_read(cpu, selector, &d) || !desc_is_system(&d) ||
        desc_type(&d) != SYS_LDT || !desc_present(&d)) {
        cpu_raise_code(cpu, EXC_TS, selector_code(selector, ext));
    }
    cpu->seg[SEG_LDTR] = desc_segment(&d);
}

static void load_task_code(CpuState *cpu, uint16_t selector, unsigned ext)
{
    unsigned rpl = selector & 3;
    Desc d;

    if (selector_is_null(selector) || !desc_read(cpu, selector, &d) || !desc_is_code(&d) ||
        ((d.hi & SEG_DC) != 0 ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl)) {
        cpu_raise_code(cpu, EXC_TS, selector_code(selector, ext));
    }
    if (!desc_present(&d)) {
        cpu_raise_code(cpu, EXC_NP, selector_code(selector, ext));
    }
    desc_set_accessed(cpu, &d);
    cpu->seg[SEG_CS] = desc_segment(&d);
    cpu_update_mode(cpu);
}

static void load_task_data(CpuState *cpu, unsigned seg, uint16_t selector, unsigned ext)
{
    unsigned cpl = cpu->seg[SEG_CS].selector & 3, rpl = selector & 3;
    bool ok;
    Desc d;

    if (selector_is_null(selector) && seg != SEG_SS) {
        return;
    }
    ok = !selector_is_null(selector) && desc_read(cpu, selector, &d) && !desc_is_system(&d);
    if (ok && seg == SEG_SS) {
        ok = desc_is_writable_data(&d) && rpl == cpl && desc_dpl(&d) == cpl;
    } else if (ok) {
        bool conforming = (d.hi & (SEG_CODE | SEG_DC)) == (SEG_CODE | SEG_DC);

        ok = (!desc_is_code(&d) || (d.hi & SEG_RW) != 0) &&
             (conforming || (desc_dpl(&d) >= cpl && desc_dpl(&d) >= rpl));
    }
    if (!ok) {
        cpu_raise_code(cpu, EXC_TS, selector_code(selector, ext));
    }
    if (!desc_present(&d)) {
        cpu_raise_code(cpu, seg == SEG_SS ? EXC_SS : EXC_NP, selector_code(selector, ext));
    }
    desc_set_accessed(cpu, &d);
    cpu->seg[seg] = desc_segment(&d);
    cpu_update_mode(cpu);
}

static void load_segments(CpuState *cpu, const TaskImage *im, unsigned ext)
{
    static const uint8_t order[5] = {SEG_SS, SEG_DS, SEG_ES, SEG_FS, SEG_GS};

    /* selectors first, unusable, so that a fault below finds the new task's */
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cpu->seg[i] = (Segment){.selector = im->seg[i], .attr = SEG_NULL};
    }
    cpu->seg[SEG_CS].attr |= (im->seg[SEG_CS] & 3u) << SEG_DPL_SHIFT; /* CPL is known already */
    cpu->seg[SEG_SS].attr |= (im->seg[SEG_CS] & 3u) << SEG_DPL_SHIFT;
    if ((cpu->rflags & FLAG_VM) != 0) {
        for (unsigned i = 0; i < SEG_COUNT; i++) {
            cpu_load_segment_real(cpu, i, im->seg[i]);
        }
    }
    cpu_update_mode(cpu);
    load_task_ldt(cpu, im->ldt, ext);
    if ((cpu->rflags & FLAG_VM) == 0) {
        load_task_code(cpu, im->seg[SEG_CS], ext);
        for (unsigned i = 0; i < 5; i++) {
            load_task_data(cpu, order[i], im->seg[order[i]], ext);
        }
    }
}

/* -- The switch --------------------------------------------------------------------------------------- */

/* SDM 3A 7.3 step 12: become the new task. */
static void enter_task(CpuState *cpu, const TssLayout *t, const TaskImage *im, unsigned ext)
{
    cpu->cr0 |= CR0_TS;
    cpu->dr[7] &= ~UINT64_C(0x155); /* local breakpoints belong to the old task */
    cpu->rflags = (im->flags & (FLAGS_ARITH | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT |
                                (t->word == 4 ? FLAG_RF | FLAG_VM | FLAG_AC | FLAG_VIF | FLAG_VIP |
                                                    FLAG_ID
                                              : 0))) |
                  FLAG_FIXED;
    for (unsigned i = 0; i < 8; i++) {
        cpu->gpr[i] = t->word == 4 ? im->gpr[i] : im->gpr[i] | 0xffff0000u;
    }
    cpu->rip = cpu->next_rip = im->ip;
    cpu->shadow = cpu->shadow_ss = false;
    if (im->trap) {
        cpu->pending_dbg |= DR6_BT;
    }
    if (t->cr3 != 0 && (cpu->cr0 & CR0_PG) != 0) {
        cpu_write_cr3(cpu, im->cr3);
    }
    load_segments(cpu, im, ext);
}

void cpu_task_switch(CpuState *cpu, Desc *d, TaskReason why, uint64_t rip, uint64_t flags,
                     unsigned ext)
{
    const TssLayout *t = layout_of(desc_type(d));
    const TssLayout *old = layout_of(cpu->seg[SEG_TR].attr >> SEG_TYPE_SHIFT & 0xf);
    uint64_t old_base = cpu->seg[SEG_TR].base;
    uint16_t old_selector = cpu->seg[SEG_TR].selector;
    Segment tr = desc_segment(d);
    TaskImage im;
    Desc old_desc;

    if (tr.limit < t->min_limit || (cpu->seg[SEG_TR].attr & SEG_NULL) != 0 ||
        cpu->seg[SEG_TR].limit < old->min_limit || !desc_read(cpu, old_selector, &old_desc)) {
        cpu_raise_code(cpu, EXC_TS, selector_code(d->selector, ext));
    }
    log_item(PCALL, "task switch %04x -> %04x", old_selector, d->selector);
    mmu_probe(&cpu->mmu, TLB_KERNEL, guest_lin(old_base), old->min_limit + 1u, TLB_STORE);
    mmu_probe(&cpu->mmu, TLB_KERNEL, guest_lin(tr.base), t->min_limit + 1u, TLB_LOAD);
    if (why == TASK_CALL || why == TASK_EVENT) {
        mmu_probe(&cpu->mmu, TLB_KERNEL, guest_lin(tr.base), 2, TLB_STORE);
    }
    read_image(cpu, t, tr.base, &im);
    mmu_probe(&cpu->mmu, TLB_KERNEL, guest_lin(d->at.v), 8, TLB_STORE);
    if (why == TASK_JUMP || why == TASK_IRET) {
        desc_set_busy(cpu, &old_desc, false);
    }
    if (why == TASK_IRET) {
        flags &= ~(uint64_t)FLAG_NT;
    }
    save_task(cpu, old, rip, flags);
    if (why == TASK_CALL || why == TASK_EVENT) {
        write_system(cpu, tr.base, 2, old_selector);
        im.flags |= FLAG_NT;
    }
    if (why != TASK_IRET) {
        desc_set_busy(cpu, d, true);
    }
    tr.attr |= SYS_BUSY;
    cpu->seg[SEG_TR] = tr;
    enter_task(cpu, t, &im, ext);
}

void cpu_task_gate(CpuState *cpu, const Desc *gate, TaskReason why, uint64_t rip, uint64_t flags,
                   unsigned ext)
{
    uint16_t selector = (uint16_t)(gate->lo >> 16);
    Desc d;

    if ((selector & 4) != 0 || !desc_read(cpu, selector, &d) || !desc_is_system(&d) ||
        (desc_type(&d) != SYS_TSS16 && desc_type(&d) != SYS_TSS32)) {
        cpu_raise_gp(cpu, selector_code(selector, ext));
    }
    if (!desc_present(&d)) {
        cpu_raise_code(cpu, EXC_NP, selector_code(selector, ext));
    }
    cpu_task_switch(cpu, &d, why, rip, flags, ext);
}

void cpu_task_return(CpuState *cpu)
{
    uint16_t link = (uint16_t)read_system(cpu, cpu->seg[SEG_TR].base, 2);
    Desc d;

    if ((link & 4) != 0 || !desc_read(cpu, link, &d) || !desc_is_system(&d) ||
        (desc_type(&d) != SYS_TSS16_BUSY && desc_type(&d) != SYS_TSS32_BUSY)) {
        cpu_raise_code(cpu, EXC_TS, selector_code(link, 0));
    }
    if (!desc_present(&d)) {
        cpu_raise_code(cpu, EXC_NP, selector_code(link, 0));
    }
    cpu_task_switch(cpu, &d, TASK_IRET, cpu->next_rip, cpu->rflags, 0);
    code_check_rip(cpu, &cpu->seg[SEG_CS], cpu->next_rip, 0);
}
