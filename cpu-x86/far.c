/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Far jumps, calls and returns, call gates, IRET (SDM 3A 5.8, vol. 2 CALL, JMP, RET, IRET). */
#include "cpu-x86/segment-internal.h"

#include "softmmu/base/log.h"

#include <inttypes.h>

/* -- Code segments ---------------------------------------------------------------------------------- */

void code_check_rip(CpuState *cpu, const Segment *cs, uint64_t rip, uint32_t code)
{
    if (code_is_64(cpu, cs->attr) ? !canonical(rip) : rip > cs->limit) {
        cpu_raise_gp(cpu, code);
    }
}

void code_commit(CpuState *cpu, const Desc *d, unsigned cpl, uint64_t rip)
{
    cpu->seg[SEG_CS] = desc_segment(d);
    cpu->seg[SEG_CS].selector = (uint16_t)((d->selector & 0xfffc) | cpl);
    cpu->next_rip = rip;
    cpu_update_mode(cpu);
}

/* Real and virtual-8086 mode: no descriptors. */
static void jump_real(CpuState *cpu, uint16_t selector, uint64_t offset)
{
    if (offset > cpu->seg[SEG_CS].limit) {
        cpu_raise_gp(cpu, 0);
    }
    cpu_load_segment_real(cpu, SEG_CS, selector);
    cpu->next_rip = offset;
}

static void read_target(CpuState *cpu, uint16_t selector, Desc *d)
{
    if (selector_is_null(selector)) {
        cpu_raise_gp(cpu, 0);
    }
    if (!desc_read(cpu, selector, d)) {
        cpu_raise_gp(cpu, selector_code(selector, 0));
    }
}

static void require_present(CpuState *cpu, const Desc *d)
{
    if (!desc_present(d)) {
        cpu_raise_code(cpu, EXC_NP, selector_code(d->selector, 0));
    }
}

/* A code segment reached directly by JMP or CALL: same privilege, or conforming. */
static void check_direct_code(CpuState *cpu, const Desc *d)
{
    unsigned dpl = desc_dpl(d), rpl = d->selector & 3;
    bool ok = (d->hi & SEG_DC) != 0 ? dpl <= cpu->cpl : rpl <= cpu->cpl && dpl == cpu->cpl;

    if (!ok || (code_is_64(cpu, d->hi) && (d->hi & SEG_DB) != 0)) {
        cpu_raise_gp(cpu, selector_code(d->selector, 0));
    }
    require_present(cpu, d);
}

/* -- Gates ------------------------------------------------------------------------------------------ */

/* A gate or TSS may be used from this CPL and RPL, and is present. */
static void check_gate_access(CpuState *cpu, const Desc *d)
{
    if (desc_dpl(d) < cpu->cpl || desc_dpl(d) < (d->selector & 3)) {
        cpu_raise_gp(cpu, selector_code(d->selector, 0));
    }
    require_present(cpu, d);
}

/* Read the code segment and entry point of a call gate; `jump`: JMP may not change privilege. */
static uint64_t read_call_gate(CpuState *cpu, Desc *gate, bool jump, Desc *code)
{
    bool lma = (cpu->efer & EFER_LMA) != 0;
    uint16_t selector = (uint16_t)(gate->lo >> 16);
    uint64_t offset = gate->lo & 0xffff;
    unsigned dpl;

    if (!desc_read_upper(cpu, gate) || (lma && (gate->hi2 & 0x1f00) != 0)) {
        cpu_raise_gp(cpu, selector_code(gate->selector, 0));
    }
    check_gate_access(cpu, gate);
    if ((desc_type(gate) & 8) != 0) {
        offset |= (gate->hi & 0xffff0000) | (uint64_t)gate->lo2 << 32;
    }
    read_target(cpu, selector, code);
    dpl = desc_dpl(code);
    if (!desc_is_code(code) || dpl > cpu->cpl ||
        (jump && (code->hi & SEG_DC) == 0 && dpl != cpu->cpl) ||
        (lma && (code->hi & (SEG_L | SEG_DB)) != SEG_L)) {
        cpu_raise_gp(cpu, selector_code(selector, 0));
    }
    require_present(cpu, code);
    return offset;
}

/* CALL through a gate; its size is that of everything pushed. */
static void call_gate(CpuState *cpu, Desc *gate)
{
    bool lma = (cpu->efer & EFER_LMA) != 0;
    unsigned size = lma ? 8 : (desc_type(gate) & 8) != 0 ? 4 : 2, cpl = cpu->cpl;
    Stack s = stack_current(cpu, 0);
    Desc code;
    uint64_t offset = read_call_gate(cpu, gate, false, &code);
    bool inner = (code.hi & SEG_DC) == 0 && desc_dpl(&code) < cpl;
    Segment cs = desc_segment(&code);

    if (inner) {
        Stack old = s;
        unsigned params = lma ? 0 : gate->hi & 0x1f;

        cpl = desc_dpl(&code);
        s = stack_from_tss(cpu, cpl, 0, 0);
        stack_push(cpu, &s, size, cpu->seg[SEG_SS].selector);
        stack_push(cpu, &s, size, cpu->gpr[GPR_RSP]);
        for (unsigned i = params; i-- > 0;) {
            stack_push(cpu, &s, size, stack_peek(cpu, &old, (uint64_t)i * size, size));
        }
    } else if (lma) {
        s.long64 = true;
        s.mask = UINT64_MAX;
    }
    stack_push(cpu, &s, size, cpu->seg[SEG_CS].selector);
    stack_push(cpu, &s, size, cpu->next_rip);
    code_check_rip(cpu, &cs, offset, 0);
    desc_set_accessed(cpu, &code);
    stack_commit(cpu, &s, inner);
    code_commit(cpu, &code, cpl, offset);
}

static void jump_gate(CpuState *cpu, Desc *gate)
{
    Desc code;
    uint64_t offset = read_call_gate(cpu, gate, true, &code);
    Segment cs = desc_segment(&code);

    code_check_rip(cpu, &cs, offset, 0);
    desc_set_accessed(cpu, &code);
    code_commit(cpu, &code, cpu->cpl, offset);
}

/* A far transfer that met a system descriptor: gate, TSS, or nonsense. */
static void through_system(CpuState *cpu, Desc *d, bool call)
{
    bool lma = (cpu->efer & EFER_LMA) != 0;
    TaskReason why = call ? TASK_CALL : TASK_JUMP;

    switch (desc_type(d)) {
    case SYS_CALL16:
    case SYS_CALL32:
        if (!lma || desc_type(d) == SYS_CALL32) {
            if (call) {
                call_gate(cpu, d);
            } else {
                jump_gate(cpu, d);
            }
            return;
        }
        break;
    case SYS_TASK_GATE:
        if (!lma) {
            check_gate_access(cpu, d);
            cpu_task_gate(cpu, d, why, cpu->next_rip, cpu->rflags, 0);
            code_check_rip(cpu, &cpu->seg[SEG_CS], cpu->next_rip, 0);
            return;
        }
        break;
    case SYS_TSS16:
    case SYS_TSS32:
        if (!lma && (d->selector & 4) == 0) {
            check_gate_access(cpu, d);
            cpu_task_switch(cpu, d, why, cpu->next_rip, cpu->rflags, 0);
            code_check_rip(cpu, &cpu->seg[SEG_CS], cpu->next_rip, 0);
            return;
        }
        break;
    default:
        break;
    }
    cpu_raise_gp(cpu, selector_code(d->selector, 0));
}

/* -- JMP, CALL -------------------------------------------------------------------------------------- */

void cpu_far_jump(CpuState *cpu, uint16_t selector, uint64_t offset, unsigned op_size)
{
    Segment cs;
    Desc d;

    offset &= mask_bytes(op_size);
    if (!cpu_protected(cpu)) {
        jump_real(cpu, selector, offset);
        return;
    }
    read_target(cpu, selector, &d);
    log_item(PCALL, "far jump to %04x:%" PRIx64 " cpl %u", selector, offset, cpu->cpl);
    if (desc_is_system(&d)) {
        through_system(cpu, &d, false);
        return;
    }
    if (!desc_is_code(&d)) {
        cpu_raise_gp(cpu, selector_code(selector, 0));
    }
    check_direct_code(cpu, &d);
    cs = desc_segment(&d);
    code_check_rip(cpu, &cs, offset, 0);
    desc_set_accessed(cpu, &d);
    code_commit(cpu, &d, cpu->cpl, offset);
}

void cpu_far_call(CpuState *cpu, uint16_t selector, uint64_t offset, unsigned op_size)
{
    Stack s = stack_current(cpu, 0);
    Segment cs;
    Desc d;

    offset &= mask_bytes(op_size);
    if (!cpu_protected(cpu)) {
        stack_push(cpu, &s, op_size, cpu->seg[SEG_CS].selector);
        stack_push(cpu, &s, op_size, cpu->next_rip);
        jump_real(cpu, selector, offset);
        stack_commit(cpu, &s, false);
        return;
    }
    read_target(cpu, selector, &d);
    log_item(PCALL, "far call to %04x:%" PRIx64 " cpl %u", selector, offset, cpu->cpl);
    if (desc_is_system(&d)) {
        through_system(cpu, &d, true);
        return;
    }
    if (!desc_is_code(&d)) {
        cpu_raise_gp(cpu, selector_code(selector, 0));
    }
    check_direct_code(cpu, &d);
    stack_push(cpu, &s, op_size, cpu->seg[SEG_CS].selector);
    stack_push(cpu, &s, op_size, cpu->next_rip);
    cs = desc_segment(&d);
    code_check_rip(cpu, &cs, offset, 0);
    desc_set_accessed(cpu, &d);
    stack_commit(cpu, &s, false);
    code_commit(cpu, &d, cpu->cpl, offset);
}

/* -- Returns ---------------------------------------------------------------------------------------- */

/* The code segment a return goes to. */
static void read_return_code(CpuState *cpu, uint16_t selector, Desc *d)
{
    unsigned rpl = selector & 3;

    read_target(cpu, selector, d);
    if (!desc_is_code(d) || rpl < cpu->cpl ||
        ((d->hi & SEG_DC) != 0 ? desc_dpl(d) > rpl : desc_dpl(d) != rpl) ||
        (code_is_64(cpu, d->hi) && (d->hi & SEG_DB) != 0)) {
        cpu_raise_gp(cpu, selector_code(selector, 0));
    }
    require_present(cpu, d);
}

/* The stack segment a return goes to; null is for 64-bit code above ring 3. */
static Segment read_return_stack(CpuState *cpu, uint16_t selector, unsigned cpl, bool to64)
{
    Desc d;

    if (selector_is_null(selector)) {
        if (!to64 || cpl == 3 || (selector & 3) != cpl) {
            cpu_raise_gp(cpu, selector_code(selector, 0));
        }
        return segment_null_ss(cpl);
    }
    if (!desc_read(cpu, selector, &d) || (selector & 3) != cpl || !desc_is_writable_data(&d) ||
        desc_dpl(&d) != cpl) {
        cpu_raise_gp(cpu, selector_code(selector, 0));
    }
    if (!desc_present(&d)) {
        cpu_raise_code(cpu, EXC_SS, selector_code(selector, 0));
    }
    desc_set_accessed(cpu, &d);
    return desc_segment(&d);
}

void drop_inner_segments(CpuState *cpu, unsigned cpl)
{
    static const uint8_t data[4] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

    for (unsigned i = 0; i < 4; i++) {
        Segment *s = &cpu->seg[data[i]];
        bool conforming = (s->attr & (SEG_CODE | SEG_DC)) == (SEG_CODE | SEG_DC);

        if ((s->attr & SEG_NULL) == 0 && !conforming && seg_dpl(s->attr) < cpl) {
            *s = (Segment){.attr = SEG_NULL};
        } else if ((s->attr & SEG_NULL) != 0) {
            s->selector = 0; /* a null selector may hold an RPL of the inner level */
        }
    }
}

static void return_real(CpuState *cpu, unsigned op_size, unsigned pop_bytes)
{
    Stack s = stack_current(cpu, 0);
    uint64_t rip = stack_pop(cpu, &s, op_size);
    uint16_t selector = (uint16_t)stack_pop(cpu, &s, op_size);

    s.sp = (s.sp & ~s.mask) | ((s.sp + pop_bytes) & s.mask);
    jump_real(cpu, selector, rip);
    stack_commit(cpu, &s, false);
}

void cpu_far_return(CpuState *cpu, unsigned op_size, unsigned pop_bytes)
{
    Stack s = stack_current(cpu, 0);
    unsigned cpl;
    uint64_t rip, sp;
    Segment cs;
    Desc d;

    if (!cpu_protected(cpu)) {
        return_real(cpu, op_size, pop_bytes);
        return;
    }
    rip = stack_pop(cpu, &s, op_size);
    read_return_code(cpu, (uint16_t)stack_pop(cpu, &s, op_size), &d);
    cpl = d.selector & 3;
    log_item(PCALL, "far return to %04x:%" PRIx64 " cpl %u", d.selector, rip, cpu->cpl);
    cs = desc_segment(&d);
    s.sp = (s.sp & ~s.mask) | ((s.sp + pop_bytes) & s.mask);
    if (cpl == cpu->cpl) {
        code_check_rip(cpu, &cs, rip, 0);
        desc_set_accessed(cpu, &d);
        stack_commit(cpu, &s, false);
        code_commit(cpu, &d, cpl, rip);
        return;
    }
    sp = stack_pop(cpu, &s, op_size);
    uint16_t ss = (uint16_t)stack_pop(cpu, &s, op_size);
    bool to64 = code_is_64(cpu, d.hi);
    Segment stack = read_return_stack(cpu, ss, cpl, to64);

    code_check_rip(cpu, &cs, rip, 0);
    desc_set_accessed(cpu, &d);
    s = stack_on(cpu, &stack, sp + pop_bytes, cpl, to64, 0);
    stack_commit(cpu, &s, true);
    code_commit(cpu, &d, cpl, rip);
    drop_inner_segments(cpu, cpl);
    cpu_update_mode(cpu);
}

/* -- IRET ------------------------------------------------------------------------------------------- */

uint64_t flags_writable(const CpuState *cpu, unsigned cpl, unsigned size)
{
    uint64_t mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT;

    if ((cpu->cr0 & CR0_PE) == 0 || cpl == 0) {
        mask |= FLAG_IF | FLAG_IOPL;
    } else if (cpl <= cpu_iopl(cpu)) {
        mask |= FLAG_IF;
    }
    if (size > 2) {
        mask |= FLAG_RF | FLAG_AC | FLAG_ID;
    }
    return mask;
}

static void write_flags(CpuState *cpu, uint64_t flags, uint64_t mask)
{
    cpu->rflags = (cpu->rflags & ~mask) | (flags & mask) | FLAG_FIXED;
}

/* Real mode, and virtual-8086 mode with IOPL 3. */
static void iret_real(CpuState *cpu, unsigned op_size)
{
    bool v86 = (cpu->rflags & FLAG_VM) != 0;
    Stack s = stack_current(cpu, 0);
    uint64_t rip, flags, mask;
    uint16_t selector;

    if (v86 && cpu_iopl(cpu) != 3) {
        cpu_raise_gp(cpu, 0);
    }
    rip = stack_pop(cpu, &s, op_size);
    selector = (uint16_t)stack_pop(cpu, &s, op_size);
    flags = stack_pop(cpu, &s, op_size);
    mask = flags_writable(cpu, v86 ? 3 : 0, op_size);
    jump_real(cpu, selector, rip);
    stack_commit(cpu, &s, false);
    write_flags(cpu, flags, mask);
    cpu_update_mode(cpu);
}

/* From ring 0 to virtual-8086 mode: nine doublewords on the stack. */
static void iret_to_v86(CpuState *cpu, Stack *s, uint32_t rip, uint16_t cs, uint32_t flags)
{
    static const uint8_t order[5] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    uint32_t esp = (uint32_t)stack_pop(cpu, s, 4);
    uint16_t selector[5];

    for (unsigned i = 0; i < 5; i++) {
        selector[i] = (uint16_t)stack_pop(cpu, s, 4);
    }
    if (rip > 0xffff) {
        cpu_raise_gp(cpu, 0);
    }
    write_flags(cpu, flags, flags_writable(cpu, 0, 4) | FLAG_VM | FLAG_VIF | FLAG_VIP);
    cpu_load_segment_real(cpu, SEG_CS, cs);
    for (unsigned i = 0; i < 5; i++) {
        cpu_load_segment_real(cpu, order[i], selector[i]);
    }
    cpu->gpr[GPR_RSP] = esp;
    cpu->next_rip = rip;
    cpu_update_mode(cpu);
}

static void iret_protected(CpuState *cpu, unsigned op_size)
{
    bool from64 = cpu_is_long64(cpu);
    Stack s = stack_current(cpu, 0);
    uint64_t rip = stack_pop(cpu, &s, op_size);
    uint16_t selector = (uint16_t)stack_pop(cpu, &s, op_size);
    uint64_t flags = stack_pop(cpu, &s, op_size);
    unsigned cpl = selector & 3, old_cpl = cpu->cpl;
    bool switches;
    uint64_t mask;
    Segment cs;
    Desc d;

    if ((flags & FLAG_VM) != 0 && old_cpl == 0 && op_size == 4 && (cpu->efer & EFER_LMA) == 0) {
        iret_to_v86(cpu, &s, (uint32_t)rip, selector, (uint32_t)flags);
        return;
    }
    read_return_code(cpu, selector, &d);
    cs = desc_segment(&d);
    switches = from64 || cpl != old_cpl;
    if (switches) {
        bool to64 = code_is_64(cpu, d.hi);
        uint64_t sp = stack_pop(cpu, &s, op_size);
        Segment ss = read_return_stack(cpu, (uint16_t)stack_pop(cpu, &s, op_size), cpl, to64);

        s = stack_on(cpu, &ss, sp, cpl, to64, 0);
    }
    code_check_rip(cpu, &cs, rip, 0);
    desc_set_accessed(cpu, &d);
    mask = flags_writable(cpu, old_cpl, op_size);
    if (old_cpl == 0 && op_size > 2) {
        mask |= FLAG_VIF | FLAG_VIP;
    }
    stack_commit(cpu, &s, switches);
    write_flags(cpu, flags, mask);
    code_commit(cpu, &d, cpl, rip);
    if (cpl != old_cpl) {
        drop_inner_segments(cpu, cpl);
        cpu_update_mode(cpu);
    }
}

void cpu_iret(CpuState *cpu, unsigned op_size)
{
    cpu->nmi_masked = false; /* even if it faults: SDM 3A 6.7.1 */
    if (!cpu_protected(cpu)) {
        iret_real(cpu, op_size);
        return;
    }
    if ((cpu->rflags & FLAG_NT) != 0) {
        if ((cpu->efer & EFER_LMA) != 0) {
            cpu_raise_gp(cpu, 0);
        }
        cpu_task_return(cpu);
        return;
    }
    if (op_size != 8 || !cpu_iret_plain(cpu)) {
        iret_protected(cpu, op_size);
    }
}
