/* SPDX-License-Identifier: GPL-2.0-or-later */
/* push pop pusha popa pushf popf enter leave, lahf sahf. */
#include "cpu-x86/insn-operand.h"
#include "cpu-x86/insns.h"

/* -- push and pop ------------------------------------------------------------------------------ */

static void push_r8(CpuState *cpu, const X86Insn *in)
{
    ss_push(cpu, 8, reg_get(cpu, in->op[0].off, 8));
}

static void push_any(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->stack_size;

    ss_push(cpu, size, in->op[0].kind == OPERAND_IMM ? in->imm : op_read_sized(cpu, in, 0, size));
}

/* A segment register: 16 bits are written, in a slot of the operand size (SDM PUSH). */
static void push_seg(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->stack_size;
    uint64_t sp = (cpu->gpr[GPR_RSP] - size) & ss_mask(cpu);

    ss_store(cpu, sp, size == 8 ? 8 : 2, cpu->seg[in->op[0].reg].selector);
    ss_set_sp(cpu, sp);
}

X86Exec select_push(const X86Insn *in)
{
    if (in->op[0].kind == OPERAND_SEG) {
        return push_seg;
    }
    return in->op[0].kind == OPERAND_GPR && in->stack_size == 8 ? push_r8 : push_any;
}

static void pop_r(CpuState *cpu, const X86Insn *in)
{
    uint64_t v = ss_pop(cpu, in->stack_size);

    reg_put(cpu, in->op[0].off, in->stack_size, v);
}

/* The address is computed with the stack pointer after the pop; a fault of the store leaves it. */
static void pop_m(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->stack_size;
    uint64_t before = cpu->gpr[GPR_RSP], sp = before & ss_mask(cpu), ea;
    uint64_t v = ss_load(cpu, sp, size);
    GuestLin lin;

    ss_set_sp(cpu, sp + size);
    ea = insn_ea(cpu, in);
    cpu->gpr[GPR_RSP] = before;
    lin = data_linear(cpu, in->mem.seg, ea, size, true);
    mmu_store(&cpu->mmu, data_class(cpu), lin, size, v);
    ss_set_sp(cpu, sp + size);
}

static void pop_seg(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->stack_size;
    uint64_t sp = cpu->gpr[GPR_RSP] & ss_mask(cpu), mask = ss_mask(cpu);
    uint16_t selector = (uint16_t)ss_load(cpu, sp, size == 8 ? 8 : 2);
    uint64_t next = (cpu->gpr[GPR_RSP] & ~mask) | ((sp + size) & mask);

    cpu_load_segment(cpu, in->op[0].reg, selector);
    cpu->gpr[GPR_RSP] = next;
    if (in->op[0].reg == SEG_SS) {
        cpu->shadow = cpu->shadow_ss = true;
    }
}

X86Exec select_pop(const X86Insn *in)
{
    return in->op[0].kind == OPERAND_SEG ? pop_seg : op_is_mem(in, 0) ? pop_m : pop_r;
}

/* -- pusha, popa ------------------------------------------------------------------------------- */

/* In order, as processors do; a fault in the middle leaves SP, and the restarted instruction stores
 * the same again. */
void exec_pusha(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->stack_size;
    uint64_t mask = ss_mask(cpu), sp = cpu->gpr[GPR_RSP];

    for (unsigned r = 0; r <= GPR_RDI; r++) {
        ss_store(cpu, (sp - (r + 1) * size) & mask, size, gpr_get(cpu, r, size));
    }
    ss_set_sp(cpu, sp - 8 * size);
}

void exec_popa(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->stack_size;
    uint64_t mask = ss_mask(cpu), sp = cpu->gpr[GPR_RSP], v[8];

    for (unsigned i = 0; i < 8; i++) {
        v[i] = ss_load(cpu, (sp + i * size) & mask, size);
    }
    for (unsigned i = 0; i < 8; i++) {
        if (i != 3) { /* the slot of SP is skipped */
            gpr_put(cpu, GPR_RDI - i, size, v[i]);
        }
    }
    ss_set_sp(cpu, sp + 8 * size);
}

/* -- Flags ------------------------------------------------------------------------------------- */

static void require_iopl_in_v86(CpuState *cpu)
{
    if ((cpu->mode & MODE_VM) != 0 && cpu_iopl(cpu) < 3) {
        cpu_raise_gp(cpu, 0);
    }
}

void exec_pushf(CpuState *cpu, const X86Insn *in)
{
    require_iopl_in_v86(cpu);
    ss_push(cpu, in->stack_size, cpu->rflags & ~(uint64_t)(FLAG_VM | FLAG_RF));
}

/* What POPF may change (SDM POPF, table 4-16). */
static uint64_t popf_mask(const CpuState *cpu, unsigned size)
{
    uint64_t mask = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT;

    if (size > 2) {
        mask |= FLAG_AC | FLAG_ID | FLAG_RF;
    }
    if (cpu->cpl == 0) {
        mask |= FLAG_IF | FLAG_IOPL;
    } else if (cpu->cpl <= cpu_iopl(cpu)) {
        mask |= FLAG_IF;
    }
    return mask;
}

void exec_popf(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->stack_size;
    uint64_t old = cpu->rflags, mask = popf_mask(cpu, size), val;

    require_iopl_in_v86(cpu);
    val = ss_pop(cpu, size) & ~(uint64_t)FLAG_RF;
    flags_put(cpu, mask, val);
    if (((old ^ cpu->rflags) & FLAG_AC) != 0) {
        cpu_update_mode(cpu);
    }
}

void exec_lahf(CpuState *cpu, const X86Insn *in)
{
    reg_put(cpu, 1, 1, (cpu->rflags & FLAGS_ARITH & 0xff) | FLAG_FIXED);
}

void exec_sahf(CpuState *cpu, const X86Insn *in)
{
    flags_put(cpu, FLAGS_ARITH & 0xff, cpu->gpr[GPR_RAX] >> 8);
}

/* -- Frames ------------------------------------------------------------------------------------ */

void exec_enter(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->stack_size, level = in->imm2 & 31;
    uint64_t mask = ss_mask(cpu), sp = cpu->gpr[GPR_RSP] & mask, bp = cpu->gpr[GPR_RBP];
    uint64_t frame;

    sp = (sp - size) & mask;
    ss_store(cpu, sp, size, bp);
    frame = sp;
    for (unsigned i = 1; i < level; i++) {
        bp -= size;
        sp = (sp - size) & mask;
        ss_store(cpu, sp, size, ss_load(cpu, bp & mask, size));
    }
    if (level > 0) {
        sp = (sp - size) & mask;
        ss_store(cpu, sp, size, frame);
    }
    sp = (sp - (uint16_t)in->imm) & mask;
    /* The final stack pointer must be writable (SDM ENTER). */
    mmu_probe(&cpu->mmu, data_class(cpu), data_linear(cpu, SEG_SS, sp, size, true), size,
              TLB_STORE);
    gpr_put(cpu, GPR_RBP, size, frame);
    ss_set_sp(cpu, sp);
}

void exec_leave(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->stack_size;
    uint64_t sp = cpu->gpr[GPR_RBP] & ss_mask(cpu);
    uint64_t v = ss_load(cpu, sp, size);

    ss_set_sp(cpu, sp + size);
    gpr_put(cpu, GPR_RBP, size, v);
}
