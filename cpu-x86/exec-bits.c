/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bt bts btr btc, bsf bsr lzcnt tzcnt popcnt, BMI1, BMI2 bit gathering, crc32.
 *
 * Flags that the manual leaves undefined are the host's where an instruction of the host computes
 * them, and unchanged otherwise. */
#include "cpu-x86/insn-operand.h"
#include "cpu-x86/insns.h"

#include <Zydis/Mnemonic.h>

/* -- Bit tests --------------------------------------------------------------------------------- */

typedef enum { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT } BitOp;

static uint64_t bit_apply(BitOp op, uint64_t v, uint64_t mask)
{
    return op == BIT_SET          ? v | mask
           : op == BIT_RESET      ? v & ~mask
           : op == BIT_COMPLEMENT ? v ^ mask
                                  : v;
}

static uint64_t bit_apply_locked(BitOp op, void *p, unsigned size, uint64_t mask)
{
#define LOCKED(T)                                                                                  \
    (op == BIT_SET     ? __atomic_fetch_or((T *)p, (T)mask, __ATOMIC_SEQ_CST)                      \
     : op == BIT_RESET ? __atomic_fetch_and((T *)p, (T)~mask, __ATOMIC_SEQ_CST)                    \
                       : __atomic_fetch_xor((T *)p, (T)mask, __ATOMIC_SEQ_CST))
    switch (size) {
    case 2: return LOCKED(uint16_t);
    case 4: return LOCKED(uint32_t);
    default: return LOCKED(uint64_t);
    }
#undef LOCKED
}

/* A bit offset in a register addresses beyond the operand: whole operands away, signed. */
static void bit_memory(CpuState *cpu, const X86Insn *in, BitOp op, uint64_t bit, uint64_t mask)
{
    unsigned size = in->op[0].size;
    bool locked = (in->prefixes & PFX_LOCK) != 0;
    uint64_t ea = insn_ea(cpu, in);
    uint64_t old;
    GuestLin lin;

    if (in->op[1].kind != OPERAND_IMM) {
        ea += (uint64_t)((sign_extend(bit, size) >> (3 + size_index(size))) * (int64_t)size);
        ea &= mask_bytes(in->addr_size);
    }
    lin = data_linear(cpu, in->mem.seg, ea, size, op != BIT_TEST);
    if (op == BIT_TEST) {
        old = mmu_load(&cpu->mmu, data_class(cpu), lin, size);
    } else {
        MmuRmw rmw;

        mmu_rmw_begin(&cpu->mmu, data_class(cpu), lin, size, locked, &rmw);
        if (locked) {
            old = bit_apply_locked(op, rmw.p, size, mask);
        } else {
            old = host_load(rmw.p, size);
            host_store(rmw.p, size, bit_apply(op, old, mask));
        }
        mmu_rmw_end(&cpu->mmu, &rmw, true);
    }
    flags_put(cpu, FLAG_CF, (old & mask) != 0 ? FLAG_CF : 0);
}

static inline void bit_op(CpuState *cpu, const X86Insn *in, BitOp op)
{
    unsigned size = in->op[0].size;
    uint64_t bit = op_read_sized(cpu, in, 1, in->op[1].kind == OPERAND_IMM ? 1 : size);
    uint64_t mask = UINT64_C(1) << (bit & (size * 8 - 1));

    if (op_is_mem(in, 0)) {
        bit_memory(cpu, in, op, bit, mask);
    } else {
        uint64_t v = reg_get(cpu, in->op[0].off, size);

        if (op != BIT_TEST) {
            reg_put(cpu, in->op[0].off, size, bit_apply(op, v, mask));
        }
        flags_put(cpu, FLAG_CF, (v & mask) != 0 ? FLAG_CF : 0);
    }
}

void exec_bt(CpuState *cpu, const X86Insn *in)
{
    bit_op(cpu, in, BIT_TEST);
}

void exec_bts(CpuState *cpu, const X86Insn *in)
{
    bit_op(cpu, in, BIT_SET);
}

void exec_btr(CpuState *cpu, const X86Insn *in)
{
    bit_op(cpu, in, BIT_RESET);
}

void exec_btc(CpuState *cpu, const X86Insn *in)
{
    bit_op(cpu, in, BIT_COMPLEMENT);
}

/* -- Scans and counts: the host's instruction, with the guest's flags and old destination ------ */

#define SCAN(name, T, suffix, size)                                                                \
    static void name##_##suffix(CpuState *cpu, const X86Insn *in)                                  \
    {                                                                                              \
        T src = (T)op_read_sized(cpu, in, 1, size);                                                \
        T dst = (T)reg_get(cpu, in->op[0].off, size);                                              \
        uint64_t f = (cpu->rflags & FLAGS_ARITH) | FLAG_FIXED;                                     \
        asm("pushq %[f]\n\tpopfq\n\t" #name " %[src], %[dst]\n\tpushfq\n\tpopq %[f]"               \
            : [dst] "+r"(dst), [f] "+r"(f)                                                         \
            : [src] "r"(src)                                                                       \
            : "cc");                                                                               \
        reg_put(cpu, in->op[0].off, size, dst);                                                    \
        flags_put(cpu, FLAGS_ARITH, f);                                                            \
    }

#define SCANS(name)                                                                                \
    SCAN(name, uint16_t, w, 2)                                                                     \
    SCAN(name, uint32_t, l, 4)                                                                     \
    SCAN(name, uint64_t, q, 8)                                                                     \
    X86Exec select_##name(const X86Insn *in)                                                       \
    {                                                                                              \
        return in->op[0].size == 2 ? name##_w : in->op[0].size == 4 ? name##_l : name##_q;         \
    }

SCANS(lzcnt)
SCANS(tzcnt)
SCANS(popcnt)

/* bsf, bsr: a zero source leaves the destination alone.  The host would clear the upper half of a
 * 64-bit register in the 32-bit form or not, by maker; Intel's and AMD's leave it. */
#define BIT_SCAN(name, T, suffix, size)                                                            \
    static void name##_##suffix(CpuState *cpu, const X86Insn *in)                                  \
    {                                                                                              \
        T src = (T)op_read_sized(cpu, in, 1, size);                                                \
        T dst = 0;                                                                                 \
        uint64_t f = (cpu->rflags & FLAGS_ARITH) | FLAG_FIXED;                                     \
        asm("pushq %[f]\n\tpopfq\n\t" #name " %[src], %[dst]\n\tpushfq\n\tpopq %[f]"               \
            : [dst] "+r"(dst), [f] "+r"(f)                                                         \
            : [src] "r"(src)                                                                       \
            : "cc");                                                                               \
        if (src != 0) {                                                                            \
            reg_put(cpu, in->op[0].off, size, dst);                                                \
        }                                                                                          \
        flags_put(cpu, FLAGS_ARITH, f);                                                            \
    }

#define BIT_SCANS(name)                                                                            \
    BIT_SCAN(name, uint16_t, w, 2)                                                                 \
    BIT_SCAN(name, uint32_t, l, 4)                                                                 \
    BIT_SCAN(name, uint64_t, q, 8)                                                                 \
    X86Exec select_##name(const X86Insn *in)                                                       \
    {                                                                                              \
        return in->op[0].size == 2 ? name##_w : in->op[0].size == 4 ? name##_l : name##_q;         \
    }

BIT_SCANS(bsf)
BIT_SCANS(bsr)

/* -- BMI1 and BMI2 ----------------------------------------------------------------------------- */

/* PF, which is undefined: Intel's clear it, AMD's make it of the result.  AF is clear, but see BEXTR. */
static uint64_t bmi_parity(uint64_t result)
{
    return host_is_amd() && !__builtin_parity((uint8_t)result) ? FLAG_PF : 0;
}

/* CF as given; SF and ZF by the result; OF is 0. */
static void bmi_flags(CpuState *cpu, uint64_t result, unsigned size, bool cf)
{
    uint64_t f = (cf ? FLAG_CF : 0) | bmi_parity(result);

    f |= result == 0 ? FLAG_ZF : 0;
    f |= (result >> (size * 8 - 1) & 1) != 0 ? FLAG_SF : 0;
    flags_put(cpu, FLAGS_ARITH, f);
}

void exec_andn(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->op[0].size;
    uint64_t r = ~op_read(cpu, in, 1) & op_read(cpu, in, 2) & mask_bytes(size);

    op_write(cpu, in, 0, r);
    bmi_flags(cpu, r, size, false);
}

/* blsi blsmsk blsr: destination (VEX.vvvv), source */
static void lowest_bit(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->op[0].size;
    uint64_t v = op_read(cpu, in, 1), mask = mask_bytes(size), r;
    bool cf = v == 0;

    if (in->mnemonic == ZYDIS_MNEMONIC_BLSI) {
        r = v & -v;
        cf = v != 0;
    } else if (in->mnemonic == ZYDIS_MNEMONIC_BLSR) {
        r = v & (v - 1);
    } else {
        r = v ^ (v - 1);
    }
    op_write(cpu, in, 0, r & mask);
    bmi_flags(cpu, r & mask, size, cf);
}

void exec_bls(CpuState *cpu, const X86Insn *in)
{
    lowest_bit(cpu, in);
}

void exec_bextr(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->op[0].size;
    uint64_t v = op_read(cpu, in, 1), control = op_read(cpu, in, 2);
    unsigned start = control & 0xff, len = control >> 8 & 0xff;
    uint64_t r = start < size * 8 ? v >> start : 0;

    r &= len < 64 ? (UINT64_C(1) << len) - 1 : UINT64_MAX;
    op_write(cpu, in, 0, r);
    flags_put(cpu, FLAGS_ARITH, (r == 0 ? FLAG_ZF : 0) | bmi_parity(r) | (host_is_amd() ? FLAG_AF : 0));
}

void exec_bzhi(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->op[0].size, n = op_read(cpu, in, 2) & 0xff;
    uint64_t v = op_read(cpu, in, 1);
    uint64_t r = n < size * 8 ? v & ((UINT64_C(1) << n) - 1) : v;

    op_write(cpu, in, 0, r);
    bmi_flags(cpu, r, size, n >= size * 8);
}

/* The model offers these only where the host has them. */
#define GATHER(name)                                                                               \
    void exec_##name(CpuState *cpu, const X86Insn *in)                                             \
    {                                                                                              \
        uint64_t v = op_read(cpu, in, 1), mask = op_read(cpu, in, 2), r;                           \
        asm(#name " %[mask], %[v], %[r]" : [r] "=r"(r) : [v] "r"(v), [mask] "r"(mask));            \
        op_write(cpu, in, 0, r);                                                                   \
    }

GATHER(pdep) /* operands are zero extended, so one size does for both */
GATHER(pext)

void exec_crc32(CpuState *cpu, const X86Insn *in)
{
    uint64_t v = op_read(cpu, in, 1), crc = (uint32_t)op_read(cpu, in, 0);

    switch (in->op[1].size) {
    case 1: asm("crc32b %b[v], %k[crc]" : [crc] "+r"(crc) : [v] "r"(v)); break;
    case 2: asm("crc32w %w[v], %k[crc]" : [crc] "+r"(crc) : [v] "r"(v)); break;
    case 4: asm("crc32l %k[v], %k[crc]" : [crc] "+r"(crc) : [v] "r"(v)); break;
    default: asm("crc32q %[v], %[crc]" : [crc] "+r"(crc) : [v] "r"(v)); break;
    }
    op_write(cpu, in, 0, crc);
}
