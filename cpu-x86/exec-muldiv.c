/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mul imul div idiv mulx.  Division never runs on the host unchecked: #DE is found in C first. */
#include "cpu-x86/insn-operand.h"
#include "cpu-x86/insns.h"

/* -- Multiplication: flags are the host's ------------------------------------------------------ */

/* SF ZF AF PF are undefined: AMD's keep them. */
static inline void mul_flags(CpuState *cpu, uint64_t f)
{
    flags_put(cpu, host_is_amd() ? FLAG_CF | FLAG_OF : FLAGS_ARITH, f);
}

#define WIDE_MUL(name, T, suffix, size)                                                            \
    static void name##_##suffix(CpuState *cpu, const X86Insn *in)                                  \
    {                                                                                              \
        T src = (T)op_read(cpu, in, 0);                                                            \
        T lo = (T)cpu->gpr[GPR_RAX], hi;                                                           \
        uint64_t f;                                                                                \
        asm(#name #suffix " %[src]\n\tpushfq\n\tpopq %[f]"                                         \
            : "+a"(lo), "=&d"(hi), [f] "=&r"(f)                                                    \
            : [src] "r"(src)                                                                       \
            : "cc");                                                                               \
        gpr_put(cpu, GPR_RAX, size, lo);                                                           \
        gpr_put(cpu, GPR_RDX, size, hi);                                                           \
        mul_flags(cpu, f);                                                                         \
    }

#define BYTE_MUL(name)                                                                             \
    static void name##_b(CpuState *cpu, const X86Insn *in)                                         \
    {                                                                                              \
        uint8_t src = (uint8_t)op_read(cpu, in, 0);                                                \
        uint16_t ax = (uint8_t)cpu->gpr[GPR_RAX];                                                  \
        uint64_t f;                                                                                \
        asm(#name "b %[src]\n\tpushfq\n\tpopq %[f]"                                                \
            : "+a"(ax), [f] "=&r"(f)                                                               \
            : [src] "r"(src)                                                                       \
            : "cc");                                                                               \
        gpr_put(cpu, GPR_RAX, 2, ax);                                                              \
        mul_flags(cpu, f);                                                                         \
    }

#define MUL(name)                                                                                  \
    BYTE_MUL(name)                                                                                 \
    WIDE_MUL(name, uint16_t, w, 2)                                                                 \
    WIDE_MUL(name, uint32_t, l, 4)                                                                 \
    WIDE_MUL(name, uint64_t, q, 8)

MUL(mul)
MUL(imul)

X86Exec select_mul(const X86Insn *in)
{
    static const X86Exec table[4] = {mul_b, mul_w, mul_l, mul_q};

    return table[size_index(in->op[0].size)];
}

/* imul r, r/m and imul r, r/m, imm */
#define SHORT_MUL(T, suffix, size)                                                                 \
    static void imul_short_##suffix(CpuState *cpu, const X86Insn *in)                              \
    {                                                                                              \
        bool three = in->n_operands == 3;                                                          \
        T b = three ? (T)in->imm : (T)op_read_sized(cpu, in, 1, size);                             \
        T a = three ? (T)op_read_sized(cpu, in, 1, size) : (T)reg_get(cpu, in->op[0].off, size);   \
        unsigned fl;                                                                               \
        asm("imul" #suffix " %[b], %[a]\n\tlahf\n\tseto %%al"                                      \
            : "=&a"(fl), [a] "+r"(a)                                                               \
            : [b] "r"(b)                                                                           \
            : "cc");                                                                               \
        reg_put(cpu, in->op[0].off, size, a);                                                      \
        mul_flags(cpu, (uint8_t)(fl >> 8) | (uint64_t)(uint8_t)fl << 11);                          \
    }

SHORT_MUL(uint16_t, w, 2)
SHORT_MUL(uint32_t, l, 4)
SHORT_MUL(uint64_t, q, 8)

X86Exec select_imul(const X86Insn *in)
{
    static const X86Exec wide[4] = {imul_b, imul_w, imul_l, imul_q};
    static const X86Exec narrow[4] = {NULL, imul_short_w, imul_short_l, imul_short_q};

    return (in->n_operands == 1 ? wide : narrow)[size_index(in->op[0].size)];
}

void exec_mulx(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->op[0].size;
    uint64_t src = op_read_sized(cpu, in, 2, size);
    unsigned __int128 wide = (unsigned __int128)gpr_get(cpu, GPR_RDX, size) * src;

    /* The high half is written last: it wins when both are the same register. */
    op_write(cpu, in, 1, (uint64_t)wide);
    op_write(cpu, in, 0, (uint64_t)(wide >> (size * 8)));
}

/* -- Division: by the host once it cannot fault; its flags are undefined and come out as the host's -- */

static unsigned __int128 dividend(const CpuState *cpu, unsigned size)
{
    if (size == 1) {
        return (uint16_t)cpu->gpr[GPR_RAX];
    }
    return (unsigned __int128)gpr_get(cpu, GPR_RDX, size) << (size * 8) |
           gpr_get(cpu, GPR_RAX, size);
}

#define WIDE_DIV(name, T, suffix, size)                                                            \
    static void name##_##suffix(CpuState *cpu, uint64_t by)                                        \
    {                                                                                              \
        T lo = (T)cpu->gpr[GPR_RAX], hi = (T)cpu->gpr[GPR_RDX];                                    \
        uint64_t f = host_flags(cpu);                                                              \
        asm(LOAD_FLAGS #name #suffix " %[by]" STORE_FLAGS                                          \
            : "+a"(lo), "+d"(hi), [f] "+r"(f)                                                      \
            : [by] "r"((T)by)                                                                      \
            : "cc");                                                                               \
        gpr_put(cpu, GPR_RAX, size, lo);                                                           \
        gpr_put(cpu, GPR_RDX, size, hi);                                                           \
        flags_put(cpu, FLAGS_ARITH, f);                                                            \
    }

#define DIV(name)                                                                                  \
    static void name##_b(CpuState *cpu, uint64_t by)                                               \
    {                                                                                              \
        uint16_t ax = (uint16_t)cpu->gpr[GPR_RAX];                                                 \
        uint64_t f = host_flags(cpu);                                                              \
        asm(LOAD_FLAGS #name "b %[by]" STORE_FLAGS                                                 \
            : "+a"(ax), [f] "+r"(f)                                                                \
            : [by] "r"((uint8_t)by)                                                                \
            : "cc");                                                                               \
        gpr_put(cpu, GPR_RAX, 2, ax);                                                              \
        flags_put(cpu, FLAGS_ARITH, f);                                                            \
    }                                                                                              \
    WIDE_DIV(name, uint16_t, w, 2)                                                                 \
    WIDE_DIV(name, uint32_t, l, 4)                                                                 \
    WIDE_DIV(name, uint64_t, q, 8)                                                                 \
    static void name##_host(CpuState *cpu, unsigned size, uint64_t by)                             \
    {                                                                                              \
        static void (*const table[4])(CpuState *, uint64_t) = {name##_b, name##_w, name##_l,       \
                                                               name##_q};                          \
        table[size_index(size)](cpu, by);                                                          \
    }

DIV(div)
DIV(idiv)

void exec_div(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->op[0].size;
    uint64_t by = op_read(cpu, in, 0);

    if (by == 0 || dividend(cpu, size) >> (size * 8) >= by) {
        cpu_raise(cpu, EXC_DE);
    }
    div_host(cpu, size, by);
}

void exec_idiv(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->op[0].size, bits = size * 8;
    uint64_t operand = op_read(cpu, in, 0);
    __int128 by = sign_extend(operand, size);
    unsigned __int128 n = dividend(cpu, size);
    unsigned shift = 128 - bits * 2;
    __int128 sn = (__int128)(n << shift) >> shift;
    __int128 limit = (__int128)1 << (bits - 1);
    __int128 q;

    if (by == 0 || (size == 8 && by == -1 && n == (unsigned __int128)1 << 127)) {
        cpu_raise(cpu, EXC_DE);
    }
    q = sn / by;
    if (q >= limit || q < -limit) {
        cpu_raise(cpu, EXC_DE);
    }
    idiv_host(cpu, size, operand);
}
