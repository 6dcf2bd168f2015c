/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decimal adjustment, which 64-bit hosts no longer have: after the manual's pseudo-code, with the
 * flags it leaves undefined as processors leave them. */
#include "cpu-x86/insn-operand.h"
#include "cpu-x86/insns.h"

static uint64_t szp_flags(uint8_t v)
{
    return (v == 0 ? FLAG_ZF : 0) | (v & FLAG_SF) |
           (__builtin_parity(v) == 0 ? FLAG_PF : 0);
}

static void put_al_flags(CpuState *cpu, uint8_t al, uint64_t others)
{
    gpr_put(cpu, GPR_RAX, 1, al);
    flags_put(cpu, FLAGS_ARITH, szp_flags(al) | others);
}

static void decimal_adjust(CpuState *cpu, bool subtract)
{
    uint8_t old = (uint8_t)cpu->gpr[GPR_RAX], al = old;
    bool old_cf = (cpu->rflags & FLAG_CF) != 0;
    bool low = (old & 15) > 9 || (cpu->rflags & FLAG_AF) != 0;
    bool high = old > 0x99 || old_cf;
    bool cf = high;

    if (low) {
        cf = cf || (subtract && old < 6);
        al = (uint8_t)(subtract ? al - 6 : al + 6);
    }
    if (high) {
        al = (uint8_t)(subtract ? al - 0x60 : al + 0x60);
    }
    put_al_flags(cpu, al, (cf ? FLAG_CF : 0) | (low ? FLAG_AF : 0));
}

void exec_daa(CpuState *cpu, const X86Insn *in)
{
    decimal_adjust(cpu, false);
}

void exec_das(CpuState *cpu, const X86Insn *in)
{
    decimal_adjust(cpu, true);
}

static void ascii_adjust(CpuState *cpu, bool subtract)
{
    uint16_t ax = (uint16_t)cpu->gpr[GPR_RAX];
    bool adjust = (ax & 15) > 9 || (cpu->rflags & FLAG_AF) != 0;

    if (adjust) {
        ax = (uint16_t)(subtract ? ax - 0x106 : ax + 0x106);
    }
    ax &= 0xff0f;
    gpr_put(cpu, GPR_RAX, 2, ax);
    flags_put(cpu, FLAGS_ARITH, szp_flags((uint8_t)ax) | (adjust ? FLAG_CF | FLAG_AF : 0));
}

void exec_aaa(CpuState *cpu, const X86Insn *in)
{
    ascii_adjust(cpu, false);
}

void exec_aas(CpuState *cpu, const X86Insn *in)
{
    ascii_adjust(cpu, true);
}

void exec_aam(CpuState *cpu, const X86Insn *in)
{
    uint8_t al = (uint8_t)cpu->gpr[GPR_RAX], by = (uint8_t)in->imm;

    if (by == 0) {
        cpu_raise(cpu, EXC_DE);
    }
    reg_put(cpu, 1, 1, al / by);
    put_al_flags(cpu, al % by, 0);
}

void exec_aad(CpuState *cpu, const X86Insn *in)
{
    uint16_t ax = (uint16_t)cpu->gpr[GPR_RAX];
    uint8_t a = (uint8_t)ax, b = (uint8_t)((ax >> 8) * (uint8_t)in->imm), al = (uint8_t)(a + b);
    uint64_t f = 0;            /* undefined: processors show those of the addition */

    f |= al < a ? FLAG_CF : 0;
    f |= (a ^ b ^ al) & FLAG_AF;
    f |= (~(a ^ b) & (a ^ al) & 0x80) != 0 ? FLAG_OF : 0;
    gpr_put(cpu, GPR_RAX, 2, al);
    put_al_flags(cpu, al, f);
}

/* SALC, undocumented but in every processor: AL = CF ? 0xff : 0. */
void exec_salc(CpuState *cpu, const X86Insn *in)
{
    gpr_put(cpu, GPR_RAX, 1, (cpu->rflags & FLAG_CF) != 0 ? 0xff : 0);
}
