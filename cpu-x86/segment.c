/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors, segment registers, the stacks of privilege levels, I/O permission. */
#include "cpu-x86/segment-internal.h"

/* -- Descriptors ---------------------------------------------------------------------------------- */

/* Where the 8 bytes of the selector's descriptor lie; false: outside the table. */
static bool desc_locate(CpuState *cpu, uint16_t selector, unsigned size, GuestLin *at)
{
    uint32_t off = selector & 0xfff8u;

    if ((selector & 4) == 0) {
        *at = guest_lin(cpu->gdtr.base + off);
        return off + size - 1 <= cpu->gdtr.limit;
    }
    *at = guest_lin(cpu->seg[SEG_LDTR].base + off);
    return (cpu->seg[SEG_LDTR].attr & SEG_NULL) == 0 && off + size - 1 <= cpu->seg[SEG_LDTR].limit;
}

bool desc_read(CpuState *cpu, uint16_t selector, Desc *d)
{
    uint64_t raw;

    *d = (Desc){.selector = selector};
    if (!desc_locate(cpu, selector, 8, &d->at)) {
        return false;
    }
    raw = read_system(cpu, d->at.v, 8);
    d->lo = (uint32_t)raw;
    d->hi = (uint32_t)(raw >> 32);
    return true;
}

bool desc_read_upper(CpuState *cpu, Desc *d)
{
    GuestLin at;
    uint64_t raw;

    if ((cpu->efer & EFER_LMA) == 0) {
        return true;
    }
    if (!desc_locate(cpu, d->selector, 16, &at)) {
        return false;
    }
    raw = read_system(cpu, at.v + 8, 8);
    d->lo2 = (uint32_t)raw;
    d->hi2 = (uint32_t)(raw >> 32);
    return true;
}

Segment desc_segment(const Desc *d)
{
    uint32_t limit = (d->lo & 0xffff) | (d->hi & 0xf0000);

    return (Segment){
        .selector = d->selector,
        .limit = (d->hi & SEG_G) != 0 ? limit << 12 | 0xfff : limit,
        .attr = d->hi & SEG_ATTR_MASK,
        .base = (d->lo >> 16) | (d->hi & 0xff) << 16 | (d->hi & 0xff000000),
    };
}

uint64_t desc_base(const CpuState *cpu, const Desc *d)
{
    return desc_segment(d).base | ((cpu->efer & EFER_LMA) != 0 ? (uint64_t)d->lo2 << 32 : 0);
}

/* Change bits of the second doubleword in memory with a locked access, as processors do. */
static void desc_change(CpuState *cpu, Desc *d, uint32_t set, uint32_t clear)
{
    MmuRmw rmw;
    uint32_t *p, old;

    mmu_rmw_begin(&cpu->mmu, TLB_KERNEL, guest_lin(d->at.v + 4), 4, true, &rmw);
    p = rmw.p;
    old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(p, &old, (old | set) & ~clear, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
    }
    mmu_rmw_end(&cpu->mmu, &rmw, true);
    d->hi = (d->hi | set) & ~clear;
}

void desc_set_accessed(CpuState *cpu, Desc *d)
{
    if ((d->hi & SEG_A) == 0) {
        desc_change(cpu, d, SEG_A, 0);
    }
}

void desc_set_busy(CpuState *cpu, Desc *d, bool busy)
{
    desc_change(cpu, d, busy ? SYS_BUSY : 0, busy ? 0 : SYS_BUSY);
}

/* -- Linear addresses ------------------------------------------------------------------------------- */

_Noreturn static void raise_segment(CpuState *cpu, unsigned seg)
{
    cpu_raise_code(cpu, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
}

/* Offsets [off, off+size-1] lie within the segment (expand-down: SDM 3A 5.3). */
static bool within_limit(const Segment *s, uint64_t off, unsigned size)
{
    uint64_t last = off + size - 1;

    if ((s->attr & (SEG_S | SEG_CODE | SEG_DC)) == (SEG_S | SEG_DC)) {
        return off > s->limit && last <= ((s->attr & SEG_DB) != 0 ? UINT32_MAX : UINT16_MAX);
    }
    /* An access that wraps at 4 GiB violates no limit there; what it meets is the page at the top. */
    return last <= s->limit || s->limit == UINT32_MAX;
}

GuestLin seg_linear_slow(CpuState *cpu, unsigned seg, uint64_t off, unsigned size, bool write)
{
    const Segment *s = &cpu->seg[seg];

    if (cpu_is_long64(cpu)) {
        uint64_t lin = off + (seg >= SEG_FS ? s->base : 0);

        if (!canonical(lin) || !canonical(lin + size - 1)) {
            raise_segment(cpu, seg);
        }
        return guest_lin(lin);
    }
    if (cpu_protected(cpu)) {
        bool code = (s->attr & SEG_CODE) != 0;

        if ((s->attr & SEG_NULL) != 0 ||
            (write ? (s->attr & (SEG_CODE | SEG_RW)) != SEG_RW : code && (s->attr & SEG_RW) == 0)) {
            raise_segment(cpu, seg);
        }
    }
    if (!within_limit(s, off, size)) {
        raise_segment(cpu, seg);
    }
    return guest_lin((uint32_t)(s->base + off));
}

/* -- Loading data segments -------------------------------------------------------------------------- */

void cpu_load_segment_real(CpuState *cpu, unsigned seg, uint16_t selector)
{
    Segment *s = &cpu->seg[seg];

    if ((cpu->rflags & FLAG_VM) != 0) {
        s->limit = 0xffff;
        s->attr = SEG_P | SEG_S | SEG_RW | SEG_A | 3u << SEG_DPL_SHIFT;
    } else if ((s->attr & (SEG_NULL | SEG_P)) != SEG_P) {
        s->limit = 0xffff; /* was null in protected mode: real mode knows no such thing */
        s->attr = SEG_P | SEG_S | SEG_RW | SEG_A;
    }
    s->selector = selector;
    s->base = (uint32_t)selector << 4;
    cpu_update_mode(cpu);
}

Segment segment_null_ss(unsigned cpl)
{
    return (Segment){.selector = (uint16_t)cpl, .attr = SEG_NULL | cpl << SEG_DPL_SHIFT};
}

static void load_null(CpuState *cpu, unsigned seg, uint16_t selector)
{
    if (seg == SEG_SS) {
        if (!cpu_is_long64(cpu) || cpu->cpl == 3 || (selector & 3) != cpu->cpl) {
            cpu_raise_gp(cpu, 0);
        }
        cpu->seg[SEG_SS] = segment_null_ss(cpu->cpl);
    } else {
        /* Intel clears the base of FS and GS with the rest */
        cpu->seg[seg] = (Segment){.selector = selector, .attr = SEG_NULL};
    }
    cpu_update_mode(cpu);
}

/* Protection checks of MOV to a data segment register (SDM vol. 2, MOV). */
static bool may_load(const CpuState *cpu, unsigned seg, const Desc *d)
{
    unsigned rpl = d->selector & 3, dpl = desc_dpl(d);

    if (desc_is_system(d)) {
        return false;
    }
    if (seg == SEG_SS) {
        return rpl == cpu->cpl && desc_is_writable_data(d) && dpl == cpu->cpl;
    }
    if (desc_is_code(d)) {
        if ((d->hi & SEG_RW) == 0) {
            return false;
        }
        if ((d->hi & SEG_DC) != 0) {
            return true;
        }
    }
    return dpl >= rpl && dpl >= cpu->cpl;
}

void cpu_load_segment(CpuState *cpu, unsigned seg, uint16_t selector)
{
    Desc d;

    if (!cpu_protected(cpu)) {
        cpu_load_segment_real(cpu, seg, selector);
        return;
    }
    if (selector_is_null(selector)) {
        load_null(cpu, seg, selector);
        return;
    }
    if (!desc_read(cpu, selector, &d) || !may_load(cpu, seg, &d)) {
        cpu_raise_gp(cpu, selector_code(selector, 0));
    }
    if (!desc_present(&d)) {
        cpu_raise_code(cpu, seg == SEG_SS ? EXC_SS : EXC_NP, selector_code(selector, 0));
    }
    desc_set_accessed(cpu, &d);
    cpu->seg[seg] = desc_segment(&d);
    cpu_update_mode(cpu);
}

/* -- Stacks ----------------------------------------------------------------------------------------- */

Stack stack_current(const CpuState *cpu, unsigned ext)
{
    return (Stack){
        .ss = cpu->seg[SEG_SS],
        .sp = cpu->gpr[GPR_RSP],
        .mask = cpu_is_long64(cpu)                       ? UINT64_MAX
                : (cpu->seg[SEG_SS].attr & SEG_DB) != 0 ? UINT32_MAX
                                                        : UINT16_MAX,
        .tlb_class = tlb_class_of(cpu, cpu->cpl),
        .long64 = cpu_is_long64(cpu),
        .code = ext,
    };
}

Stack stack_on(const CpuState *cpu, const Segment *ss, uint64_t sp, unsigned cpl, bool long64,
               uint32_t code)
{
    return (Stack){
        .ss = *ss,
        .sp = sp,
        .mask = long64 ? UINT64_MAX : (ss->attr & SEG_DB) != 0 ? UINT32_MAX : UINT16_MAX,
        .tlb_class = tlb_class_of(cpu, cpl),
        .long64 = long64,
        .code = code,
    };
}

static GuestLin stack_linear(CpuState *cpu, const Stack *s, uint64_t off, unsigned size)
{
    uint64_t lin = off & s->mask;

    if (s->long64) {
        if (!canonical(lin) || !canonical(lin + size - 1)) {
            cpu_raise_code(cpu, EXC_SS, s->code);
        }
        return guest_lin(lin);
    }
    if ((cpu_protected(cpu) && (s->ss.attr & SEG_NULL) != 0) || !within_limit(&s->ss, lin, size)) {
        cpu_raise_code(cpu, EXC_SS, s->code);
    }
    return guest_lin((uint32_t)(s->ss.base + lin));
}

void stack_push(CpuState *cpu, Stack *s, unsigned size, uint64_t val)
{
    uint64_t sp = s->sp - size;
    GuestLin lin = stack_linear(cpu, s, sp, size);

    mmu_store(&cpu->mmu, s->tlb_class, lin, size, val & mask_bytes(size));
    s->sp = (s->sp & ~s->mask) | (sp & s->mask);
}

uint64_t stack_peek(CpuState *cpu, const Stack *s, uint64_t off, unsigned size)
{
    return mmu_load(&cpu->mmu, s->tlb_class, stack_linear(cpu, s, s->sp + off, size), size);
}

uint64_t stack_pop(CpuState *cpu, Stack *s, unsigned size)
{
    uint64_t val = stack_peek(cpu, s, 0, size);

    s->sp = (s->sp & ~s->mask) | ((s->sp + size) & s->mask);
    return val;
}

void stack_commit(CpuState *cpu, const Stack *s, bool segment)
{
    uint64_t *rsp = &cpu->gpr[GPR_RSP];

    if (s->mask == UINT16_MAX) {
        *rsp = (*rsp & ~s->mask) | (s->sp & s->mask);
    } else {
        *rsp = s->sp & s->mask;
    }
    if (segment) {
        cpu->seg[SEG_SS] = s->ss;
    }
}

/* Inner stack pointer of a 16- or 32-bit TSS, with the checks on its SS. */
static Stack stack_from_legacy_tss(CpuState *cpu, unsigned dpl, unsigned ext)
{
    const Segment *tr = &cpu->seg[SEG_TR];
    bool wide = (tr->attr >> SEG_TYPE_SHIFT & 8) != 0;
    unsigned off = wide ? dpl * 8 + 4 : dpl * 4 + 2, size = wide ? 4 : 2;
    uint64_t sp;
    uint16_t selector;
    Segment ss;
    Desc d;

    if (off + size + 1 > tr->limit) {
        cpu_raise_code(cpu, EXC_TS, selector_code(tr->selector, ext));
    }
    sp = read_system(cpu, tr->base + off, size);
    selector = (uint16_t)read_system(cpu, tr->base + off + size, 2);
    if (selector_is_null(selector) || !desc_read(cpu, selector, &d) || (selector & 3) != dpl ||
        desc_dpl(&d) != dpl || !desc_is_writable_data(&d)) {
        cpu_raise_code(cpu, EXC_TS, selector_code(selector, ext));
    }
    if (!desc_present(&d)) {
        cpu_raise_code(cpu, EXC_SS, selector_code(selector, ext));
    }
    desc_set_accessed(cpu, &d);
    ss = desc_segment(&d);
    return stack_on(cpu, &ss, sp, dpl, false, selector_code(selector, ext));
}

Stack stack_from_tss(CpuState *cpu, unsigned dpl, unsigned ist, unsigned ext)
{
    const Segment *tr = &cpu->seg[SEG_TR];
    unsigned off = ist != 0 ? 0x1c + ist * 8 : 4 + dpl * 8;
    Segment ss = segment_null_ss(dpl);

    if ((cpu->efer & EFER_LMA) == 0) {
        return stack_from_legacy_tss(cpu, dpl, ext);
    }
    if (off + 7 > tr->limit) {
        cpu_raise_code(cpu, EXC_TS, selector_code(tr->selector, ext));
    }
    return stack_on(cpu, &ss, read_system(cpu, tr->base + off, 8), dpl, true, ext);
}

/* -- I/O permission --------------------------------------------------------------------------------- */

/* SDM vol. 1, 19.5.2. */
bool cpu_port_allowed(CpuState *cpu, uint16_t port, unsigned size)
{
    const Segment *tr = &cpu->seg[SEG_TR];
    uint32_t at;
    uint16_t bits;

    if ((cpu->cr0 & CR0_PE) == 0 ||
        ((cpu->rflags & FLAG_VM) == 0 && cpu->cpl <= cpu_iopl(cpu))) {
        return true;
    }
    if ((tr->attr & SEG_NULL) != 0 || (tr->attr >> SEG_TYPE_SHIFT & 8) == 0 || tr->limit < 0x67) {
        return false;
    }
    at = (uint32_t)read_system(cpu, tr->base + 0x66, 2) + port / 8u;
    if (at + 1 > tr->limit) {
        return false;
    }
    bits = (uint16_t)read_system(cpu, tr->base + at, 2);
    return ((bits >> (port & 7)) & ((1u << size) - 1)) == 0;
}
