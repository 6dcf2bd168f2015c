/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Control transfers: jcc jmp call ret loop jcxz, software interrupts, bound.  Far ones: far.c. */
#include "cpu-x86/insn-operand.h"
#include "cpu-x86/insns.h"

#include <Zydis/Mnemonic.h>

/* -- Conditional jumps: for 64-bit code and for the rest --------------------------------------- */

#define JUMP_CC(cc)                                                                                \
    static void jcc64_##cc(CpuState *cpu, const X86Insn *in)                                       \
    {                                                                                              \
        if (flags_test(cpu->rflags, cc)) {                                                         \
            branch_near(cpu, 8, cpu->next_rip + in->imm);                                          \
        }                                                                                          \
    }                                                                                              \
    static void jcc_##cc(CpuState *cpu, const X86Insn *in)                                         \
    {                                                                                              \
        if (flags_test(cpu->rflags, cc)) {                                                         \
            branch_near(cpu, in->op_size, cpu->next_rip + in->imm);                                \
        }                                                                                          \
    }

JUMP_CC(0) JUMP_CC(1) JUMP_CC(2) JUMP_CC(3) JUMP_CC(4) JUMP_CC(5) JUMP_CC(6) JUMP_CC(7)
JUMP_CC(8) JUMP_CC(9) JUMP_CC(10) JUMP_CC(11) JUMP_CC(12) JUMP_CC(13) JUMP_CC(14) JUMP_CC(15)

#define JUMP_ROW(f) {f##0, f##1, f##2, f##3, f##4, f##5, f##6, f##7,                               \
                     f##8, f##9, f##10, f##11, f##12, f##13, f##14, f##15}

X86Exec select_jcc(const X86Insn *in)
{
    static const X86Exec table[2][16] = {JUMP_ROW(jcc_), JUMP_ROW(jcc64_)};
    /* 7x, or 0f 8x: the condition is in the opcode's low nibble. */
    unsigned imm_len = in->len >= 5 && in->bytes[in->len - 5] >> 4 == 8 &&
                               in->len >= 6 && in->bytes[in->len - 6] == 0x0f
                           ? 4
                       : in->len >= 4 && in->bytes[in->len - 3] >> 4 == 8 &&
                               in->bytes[in->len - 4] == 0x0f
                           ? 2
                           : 1;

    return table[in->op_size == 8][in->bytes[in->len - 1 - imm_len] & 15];
}

static uint64_t count_register(const CpuState *cpu, const X86Insn *in)
{
    return gpr_get(cpu, GPR_RCX, in->addr_size);
}

void exec_jcxz(CpuState *cpu, const X86Insn *in)
{
    if (count_register(cpu, in) == 0) {
        branch_near(cpu, in->op_size, cpu->next_rip + in->imm);
    }
}

void exec_loop(CpuState *cpu, const X86Insn *in)
{
    uint64_t count = (count_register(cpu, in) - 1) & mask_bytes(in->addr_size);
    bool zf = (cpu->rflags & FLAG_ZF) != 0;
    bool taken = count != 0 && (in->mnemonic == ZYDIS_MNEMONIC_LOOP ||
                                zf == (in->mnemonic == ZYDIS_MNEMONIC_LOOPE));

    if (taken) {
        branch_near(cpu, in->op_size, cpu->next_rip + in->imm);
    }
    gpr_put(cpu, GPR_RCX, in->addr_size, count);
}

/* -- Near jmp, call, ret ----------------------------------------------------------------------- */

static void jmp_rel(CpuState *cpu, const X86Insn *in)
{
    branch_near(cpu, in->op_size, cpu->next_rip + in->imm);
}

static void jmp_rm(CpuState *cpu, const X86Insn *in)
{
    branch_near(cpu, in->op_size, op_read(cpu, in, 0));
}

/* The target is checked before the push, so that a fault leaves the stack alone. */
static void call_to(CpuState *cpu, unsigned size, uint64_t target)
{
    uint64_t back = cpu->next_rip;

    branch_near(cpu, size, target);
    ss_push(cpu, size, back);
}

static void call_rel(CpuState *cpu, const X86Insn *in)
{
    call_to(cpu, in->op_size, cpu->next_rip + in->imm);
}

static void call_rm(CpuState *cpu, const X86Insn *in)
{
    call_to(cpu, in->op_size, op_read(cpu, in, 0));
}

static void ret_near(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->op_size;
    uint64_t sp = cpu->gpr[GPR_RSP] & ss_mask(cpu);

    branch_near(cpu, size, ss_load(cpu, sp, size));
    ss_set_sp(cpu, sp + size + (uint16_t)in->imm);
}

/* -- Far --------------------------------------------------------------------------------------- */

typedef void (*FarTransfer)(CpuState *cpu, uint16_t selector, uint64_t offset, unsigned op_size);

static void far_transfer(CpuState *cpu, const X86Insn *in, FarTransfer transfer)
{
    unsigned size = in->op_size;

    if (op_is_mem(in, 0)) {
        uint64_t ea = insn_ea(cpu, in);
        GuestLin lin = data_linear(cpu, in->mem.seg, ea, size, false);
        uint64_t off = mmu_load(&cpu->mmu, data_class(cpu), lin, size);
        GuestLin lin2 =
            data_linear(cpu, in->mem.seg, (ea + size) & mask_bytes(in->addr_size), 2, false);

        transfer(cpu, (uint16_t)mmu_load(&cpu->mmu, data_class(cpu), lin2, 2), off, size);
    } else {
        transfer(cpu, (uint16_t)in->imm2, in->imm, size);
    }
}

static void jmp_far(CpuState *cpu, const X86Insn *in)
{
    far_transfer(cpu, in, cpu_far_jump);
}

static void call_far(CpuState *cpu, const X86Insn *in)
{
    far_transfer(cpu, in, cpu_far_call);
}

static void ret_far(CpuState *cpu, const X86Insn *in)
{
    cpu_far_return(cpu, in->op_size, (uint16_t)in->imm);
}

X86Exec select_jmp(const X86Insn *in)
{
    if ((in->flags & INSN_FAR) != 0) {
        return jmp_far;
    }
    return in->op[0].kind == OPERAND_IMM ? jmp_rel : jmp_rm;
}

X86Exec select_call(const X86Insn *in)
{
    if ((in->flags & INSN_FAR) != 0) {
        return call_far;
    }
    return in->op[0].kind == OPERAND_IMM ? call_rel : call_rm;
}

X86Exec select_ret(const X86Insn *in)
{
    return (in->flags & INSN_FAR) != 0 ? ret_far : ret_near;
}

void exec_iret(CpuState *cpu, const X86Insn *in)
{
    phys_mem_serialize(cpu->mem);
    cpu_iret(cpu, in->mnemonic == ZYDIS_MNEMONIC_IRETQ   ? 8
                  : in->mnemonic == ZYDIS_MNEMONIC_IRETD ? 4
                                                         : 2);
}

/* -- Software interrupts ----------------------------------------------------------------------- */

/* No single-step trap follows: TF was cleared on the way in (exc.is_soft tells the engine). */
static void soft_interrupt(CpuState *cpu, unsigned vector)
{
    cpu_deliver(cpu, vector, DELIVER_SOFT, false, 0);
    cpu->exc.is_soft = true;
}

void exec_int(CpuState *cpu, const X86Insn *in)
{
    if ((cpu->mode & MODE_VM) != 0 && cpu_iopl(cpu) < 3) {
        cpu_raise_gp(cpu, 0);
    }
    soft_interrupt(cpu, in->imm & 0xff);
}

void exec_int3(CpuState *cpu, const X86Insn *in)
{
    soft_interrupt(cpu, EXC_BP);
}

void exec_into(CpuState *cpu, const X86Insn *in)
{
    if ((cpu->rflags & FLAG_OF) != 0) {
        soft_interrupt(cpu, EXC_OF);
    }
}

void exec_int1(CpuState *cpu, const X86Insn *in)
{
    cpu->rip = cpu->next_rip;
    cpu_deliver(cpu, EXC_DB, DELIVER_TRAP, false, 0);
    cpu->exc.is_soft = true;
}

void exec_bound(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->op[0].size;
    uint64_t ea = insn_ea(cpu, in);
    GuestLin lo = data_linear(cpu, in->mem.seg, ea, size, false);
    uint64_t ea2 = (ea + size) & mask_bytes(in->addr_size);
    GuestLin hi = data_linear(cpu, in->mem.seg, ea2, size, false);
    int64_t index = sign_extend(op_read(cpu, in, 0), size);
    int64_t low = sign_extend(mmu_load(&cpu->mmu, data_class(cpu), lo, size), size);
    int64_t high = sign_extend(mmu_load(&cpu->mmu, data_class(cpu), hi, size), size);

    if (index < low || index > high) {
        cpu_raise(cpu, EXC_BR);
    }
}
