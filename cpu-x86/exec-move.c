/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moves: mov movzx movsx movsxd movbe lea xchg xadd bswap cmov set, cbw and cwd families, xlat, far
 * pointer loads. */
#include "cpu-x86/insn-operand.h"
#include "cpu-x86/insns.h"

#include <Zydis/Mnemonic.h>

/* -- mov --------------------------------------------------------------------------------------- */

#define MOV_SIZE(size)                                                                             \
    static void mov_rr_##size(CpuState *cpu, const X86Insn *in)                                    \
    {                                                                                              \
        reg_put(cpu, in->op[0].off, size, reg_get(cpu, in->op[1].off, size));                      \
    }                                                                                              \
    static void mov_ri_##size(CpuState *cpu, const X86Insn *in)                                    \
    {                                                                                              \
        reg_put(cpu, in->op[0].off, size, in->imm);                                                \
    }                                                                                              \
    static void mov_rm_##size(CpuState *cpu, const X86Insn *in)                                    \
    {                                                                                              \
        reg_put(cpu, in->op[0].off, size, insn_load(cpu, in, size));                               \
    }                                                                                              \
    static void mov_mr_##size(CpuState *cpu, const X86Insn *in)                                    \
    {                                                                                              \
        insn_store(cpu, in, size, reg_get(cpu, in->op[1].off, size));                              \
    }                                                                                              \
    static void mov_mi_##size(CpuState *cpu, const X86Insn *in)                                    \
    {                                                                                              \
        insn_store(cpu, in, size, in->imm);                                                        \
    }

MOV_SIZE(1)
MOV_SIZE(2)
MOV_SIZE(4)
MOV_SIZE(8)

static void mov_from_seg(CpuState *cpu, const X86Insn *in)
{
    /* To memory always 16 bits; to a register zero extended (SDM MOV). */
    op_write_sized(cpu, in, 0, op_is_mem(in, 0) ? 2 : in->op[0].size,
                   cpu->seg[in->op[1].reg].selector);
}

static void mov_to_seg(CpuState *cpu, const X86Insn *in)
{
    unsigned seg = in->op[0].reg;
    uint16_t selector = (uint16_t)op_read_sized(cpu, in, 1, 2);

    if (seg == SEG_CS) {
        cpu_raise_ud(cpu);
    }
    cpu_load_segment(cpu, seg, selector);
    if (seg == SEG_SS) {
        cpu->shadow = cpu->shadow_ss = true;
    }
}

X86Exec select_mov(const X86Insn *in)
{
    static const X86Exec table[5][4] = {
        {mov_rr_1, mov_rr_2, mov_rr_4, mov_rr_8}, {mov_ri_1, mov_ri_2, mov_ri_4, mov_ri_8},
        {mov_rm_1, mov_rm_2, mov_rm_4, mov_rm_8}, {mov_mr_1, mov_mr_2, mov_mr_4, mov_mr_8},
        {mov_mi_1, mov_mi_2, mov_mi_4, mov_mi_8},
    };
    unsigned s = size_index(in->op[0].size);
    bool imm = in->op[1].kind == OPERAND_IMM;

    if (in->op[0].kind == OPERAND_SEG) {
        return mov_to_seg;
    }
    if (in->op[1].kind == OPERAND_SEG) {
        return mov_from_seg;
    }
    if (in->op[0].kind >= OPERAND_CR || in->op[1].kind >= OPERAND_CR) {
        return exec_mov_crdr;
    }
    if (op_is_mem(in, 0)) {
        return table[imm ? 4 : 3][s];
    }
    return table[imm ? 1 : op_is_mem(in, 1) ? 2 : 0][s];
}

void exec_movnti(CpuState *cpu, const X86Insn *in)
{
    op_write(cpu, in, 0, op_read(cpu, in, 1));
}

/* -- Extension --------------------------------------------------------------------------------- */

#define EXTEND(name, to, from, value)                                                              \
    static void name##_r_##to##_##from(CpuState *cpu, const X86Insn *in)                           \
    {                                                                                              \
        uint64_t v = reg_get(cpu, in->op[1].off, from);                                            \
        reg_put(cpu, in->op[0].off, to, value);                                                    \
    }                                                                                              \
    static void name##_m_##to##_##from(CpuState *cpu, const X86Insn *in)                           \
    {                                                                                              \
        uint64_t v = insn_load(cpu, in, from);                                                     \
        reg_put(cpu, in->op[0].off, to, value);                                                    \
    }

#define EXTENDS(name, from, value)                                                                 \
    EXTEND(name, 2, from, value)                                                                   \
    EXTEND(name, 4, from, value)                                                                   \
    EXTEND(name, 8, from, value)

EXTENDS(movzx, 1, v)
EXTENDS(movzx, 2, v)
EXTENDS(movsx, 1, (uint64_t)sign_extend(v, 1))
EXTENDS(movsx, 2, (uint64_t)sign_extend(v, 2))
EXTENDS(movsx, 4, (uint64_t)sign_extend(v, 4))

#define EXTEND_ROW(name, from)                                                                     \
    {{name##_r_2_##from, name##_m_2_##from}, {name##_r_4_##from, name##_m_4_##from},               \
     {name##_r_8_##from, name##_m_8_##from}}

static X86Exec choose_extension(const X86Insn *in, const X86Exec table[3][2])
{
    return in->op[0].size < 2 ? NULL : table[size_index(in->op[0].size) - 1][op_is_mem(in, 1)];
}

X86Exec select_movzx(const X86Insn *in)
{
    static const X86Exec table[2][3][2] = {EXTEND_ROW(movzx, 1), EXTEND_ROW(movzx, 2)};

    return choose_extension(in, table[in->op[1].size == 2]);
}

X86Exec select_movsx(const X86Insn *in)
{
    static const X86Exec table[3][3][2] = {EXTEND_ROW(movsx, 1), EXTEND_ROW(movsx, 2),
                                           EXTEND_ROW(movsx, 4)};

    return choose_extension(in, table[size_index(in->op[1].size)]);
}

/* MOVSXD with a 16-bit destination moves 16 bits without extension. */
X86Exec select_movsxd(const X86Insn *in)
{
    return in->op[0].size == 2 ? (op_is_mem(in, 1) ? mov_rm_2 : mov_rr_2) : select_movsx(in);
}

/* cbw cwde cdqe: extend within the accumulator. */
void exec_cbw(CpuState *cpu, const X86Insn *in)
{
    unsigned to = in->mnemonic == ZYDIS_MNEMONIC_CBW    ? 2
                  : in->mnemonic == ZYDIS_MNEMONIC_CWDE ? 4
                                                        : 8;

    gpr_put(cpu, GPR_RAX, to, (uint64_t)sign_extend(cpu->gpr[GPR_RAX], to / 2));
}

/* cwd cdq cqo: the accumulator's sign into rDX. */
void exec_cwd(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->mnemonic == ZYDIS_MNEMONIC_CWD   ? 2
                    : in->mnemonic == ZYDIS_MNEMONIC_CDQ ? 4
                                                         : 8;

    gpr_put(cpu, GPR_RDX, size, (uint64_t)(sign_extend(cpu->gpr[GPR_RAX], size) >> 63));
}

/* -- Byte order -------------------------------------------------------------------------------- */

static uint64_t swap_bytes(uint64_t v, unsigned size)
{
    return __builtin_bswap64(v) >> (64 - size * 8);
}

void exec_movbe(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->op[0].size;

    op_write(cpu, in, 0, swap_bytes(op_read(cpu, in, 1), size));
}

void exec_bswap(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->op[0].size;
    /* With a 16-bit operand the result is undefined; processors clear it. */
    uint64_t v = size == 2 ? 0 : swap_bytes(op_read(cpu, in, 0), size);

    op_write(cpu, in, 0, v);
}

/* -- lea, xlat --------------------------------------------------------------------------------- */

#define LEA_SIZE(size)                                                                             \
    static void lea_##size(CpuState *cpu, const X86Insn *in)                                       \
    {                                                                                              \
        reg_put(cpu, in->op[0].off, size, insn_ea(cpu, in));                                       \
    }

LEA_SIZE(2)
LEA_SIZE(4)
LEA_SIZE(8)

X86Exec select_lea(const X86Insn *in)
{
    return in->op[0].size == 8 ? lea_8 : in->op[0].size == 4 ? lea_4 : lea_2;
}

void exec_xlat(CpuState *cpu, const X86Insn *in)
{
    uint64_t ea = cpu->gpr[GPR_RBX] + (uint8_t)cpu->gpr[GPR_RAX];
    GuestLin lin = data_linear(cpu, in->mem.seg, ea & mask_bytes(in->addr_size), 1, false);

    gpr_put(cpu, GPR_RAX, 1, mmu_load(&cpu->mmu, data_class(cpu), lin, 1));
}

/* -- Exchanges --------------------------------------------------------------------------------- */

static uint64_t host_exchange(void *p, unsigned size, uint64_t val)
{
    switch (size) {
    case 1: return __atomic_exchange_n((uint8_t *)p, (uint8_t)val, __ATOMIC_SEQ_CST);
    case 2: return __atomic_exchange_n((uint16_t *)p, (uint16_t)val, __ATOMIC_SEQ_CST);
    case 4: return __atomic_exchange_n((uint32_t *)p, (uint32_t)val, __ATOMIC_SEQ_CST);
    default: return __atomic_exchange_n((uint64_t *)p, val, __ATOMIC_SEQ_CST);
    }
}

void exec_xchg(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->op[0].size;
    unsigned mem = op_is_mem(in, 0) ? 0 : 1;

    if (op_is_mem(in, mem)) {
        unsigned off = in->op[1 - mem].off;
        MmuRmw rmw;
        void *p = insn_rmw_begin(cpu, in, size, true, &rmw);
        uint64_t old = host_exchange(p, size, reg_get(cpu, off, size));

        insn_rmw_end(cpu, &rmw, true);
        reg_put(cpu, off, size, old);
    } else {
        uint64_t a = op_read(cpu, in, 0), b = op_read(cpu, in, 1);

        op_write(cpu, in, 0, b);
        op_write(cpu, in, 1, a);
    }
}

#define XADD_SIZE(T, suffix, size)                                                                 \
    static void xadd_##suffix(CpuState *cpu, const X86Insn *in)                                    \
    {                                                                                              \
        unsigned fl;                                                                               \
        T b = (T)reg_get(cpu, in->op[1].off, size);                                                \
        if (op_is_mem(in, 0)) {                                                                    \
            MmuRmw rmw;                                                                            \
            T *p = insn_rmw_begin(cpu, in, size, true, &rmw);                                      \
            asm volatile("lock xadd" #suffix " %[b], %[p]\n\tlahf\n\tseto %%al"                    \
                         : "=&a"(fl), [p] "+m"(*p), [b] "+r"(b)::"cc", "memory");                  \
            insn_rmw_end(cpu, &rmw, true);                                                         \
            reg_put(cpu, in->op[1].off, size, b);                                                  \
        } else {                                                                                   \
            T a = (T)reg_get(cpu, in->op[0].off, size);                                            \
            asm("xadd" #suffix " %[b], %[a]\n\tlahf\n\tseto %%al"                                  \
                : "=&a"(fl), [a] "+r"(a), [b] "+r"(b)::"cc");                                      \
            reg_put(cpu, in->op[1].off, size, b);                                                  \
            reg_put(cpu, in->op[0].off, size, a);                                                  \
        }                                                                                          \
        flags_set(cpu, fl);                                                                        \
    }

XADD_SIZE(uint8_t, b, 1)
XADD_SIZE(uint16_t, w, 2)
XADD_SIZE(uint32_t, l, 4)
XADD_SIZE(uint64_t, q, 8)

X86Exec select_xadd(const X86Insn *in)
{
    static const X86Exec table[4] = {xadd_b, xadd_w, xadd_l, xadd_q};

    return table[size_index(in->op[0].size)];
}

/* The locked form always: without the prefix nobody can tell. */
#define CMPXCHG_SIZE(T, suffix, size)                                                              \
    static void cmpxchg_##suffix(CpuState *cpu, const X86Insn *in)                                 \
    {                                                                                              \
        T src = (T)reg_get(cpu, in->op[1].off, size);                                              \
        T want = (T)cpu->gpr[GPR_RAX], seen = want;                                                \
        MmuRmw rmw;                                                                                \
        bool mem = op_is_mem(in, 0);                                                               \
        T reg = 0, *p = &reg;                                                                      \
        uint64_t fl;                                                                               \
        if (mem) {                                                                                 \
            p = insn_rmw_begin(cpu, in, size, true, &rmw);                                         \
        } else {                                                                                   \
            reg = (T)reg_get(cpu, in->op[0].off, size);                                            \
        }                                                                                          \
        asm volatile("lock cmpxchg" #suffix " %[src], %[p]\n\tpushfq\n\tpopq %[fl]"                \
                     : "+a"(seen), [p] "+m"(*p), [fl] "=&r"(fl)                                    \
                     : [src] "r"(src)                                                              \
                     : "cc", "memory");                                                            \
        if (mem) {                                                                                 \
            insn_rmw_end(cpu, &rmw, (fl & FLAG_ZF) != 0);                                          \
        } else if ((fl & FLAG_ZF) != 0) {                                                          \
            reg_put(cpu, in->op[0].off, size, reg);                                                \
        }                                                                                          \
        if ((fl & FLAG_ZF) == 0) {                                                                 \
            gpr_put(cpu, GPR_RAX, size, seen);                                                     \
        }                                                                                          \
        flags_put(cpu, FLAGS_ARITH, fl);                                                           \
    }

CMPXCHG_SIZE(uint8_t, b, 1)
CMPXCHG_SIZE(uint16_t, w, 2)
CMPXCHG_SIZE(uint32_t, l, 4)
CMPXCHG_SIZE(uint64_t, q, 8)

X86Exec select_cmpxchg(const X86Insn *in)
{
    static const X86Exec table[4] = {cmpxchg_b, cmpxchg_w, cmpxchg_l, cmpxchg_q};

    return table[size_index(in->op[0].size)];
}

void exec_cmpxchg8b(CpuState *cpu, const X86Insn *in)
{
    uint64_t want = (uint32_t)cpu->gpr[GPR_RAX] | cpu->gpr[GPR_RDX] << 32;
    uint64_t with = (uint32_t)cpu->gpr[GPR_RBX] | cpu->gpr[GPR_RCX] << 32;
    MmuRmw rmw;
    uint64_t *p = insn_rmw_begin(cpu, in, 8, true, &rmw);
    bool same = __atomic_compare_exchange_n(p, &want, with, false, __ATOMIC_SEQ_CST,
                                            __ATOMIC_SEQ_CST);

    insn_rmw_end(cpu, &rmw, same);
    if (!same) {
        gpr_put(cpu, GPR_RAX, 4, want);
        gpr_put(cpu, GPR_RDX, 4, want >> 32);
    }
    flags_put(cpu, FLAG_ZF, same ? FLAG_ZF : 0);
}

void exec_cmpxchg16b(CpuState *cpu, const X86Insn *in)
{
    GuestLin lin = insn_lin(cpu, in, 16, true);
    uint64_t lo = cpu->gpr[GPR_RAX], hi = cpu->gpr[GPR_RDX];
    MmuRmw rmw;
    bool same;

    if ((lin.v & 15) != 0) {
        cpu_raise_gp(cpu, 0);
    }
    mmu_rmw_begin(&cpu->mmu, data_class(cpu), lin, 16, true, &rmw);
    asm volatile("lock cmpxchg16b %[p]"
                 : [p] "+m"(*(unsigned __int128 *)rmw.p), "+a"(lo), "+d"(hi), "=@ccz"(same)
                 : "b"(cpu->gpr[GPR_RBX]), "c"(cpu->gpr[GPR_RCX])
                 : "memory");
    insn_rmw_end(cpu, &rmw, same);
    if (!same) {
        cpu->gpr[GPR_RAX] = lo;
        cpu->gpr[GPR_RDX] = hi;
    }
    flags_put(cpu, FLAG_ZF, same ? FLAG_ZF : 0);
}

/* -- Conditional ------------------------------------------------------------------------------- */

/* A false CMOV still reads its memory operand and, with 32 bits, clears the upper half. */
#define CONDITIONAL(cc)                                                                            \
    static void cmov_##cc(CpuState *cpu, const X86Insn *in)                                        \
    {                                                                                              \
        uint64_t v = op_read(cpu, in, 1);                                                          \
        unsigned off = in->op[0].off, size = in->op[0].size;                                       \
        reg_put(cpu, off, size, flags_test(cpu->rflags, cc) ? v : reg_get(cpu, off, size));        \
    }                                                                                              \
    static void set_##cc(CpuState *cpu, const X86Insn *in)                                         \
    {                                                                                              \
        op_write_sized(cpu, in, 0, 1, flags_test(cpu->rflags, cc));                                \
    }

CONDITIONAL(0) CONDITIONAL(1) CONDITIONAL(2) CONDITIONAL(3)
CONDITIONAL(4) CONDITIONAL(5) CONDITIONAL(6) CONDITIONAL(7)
CONDITIONAL(8) CONDITIONAL(9) CONDITIONAL(10) CONDITIONAL(11)
CONDITIONAL(12) CONDITIONAL(13) CONDITIONAL(14) CONDITIONAL(15)

/* The condition is the opcode's low nibble; the opcode (0f 4x, 0f 9x) follows the prefixes. */
static unsigned condition_of(const X86Insn *in)
{
    unsigned i = 0;

    while (in->bytes[i] != 0x0f) {
        i++;
    }
    return in->bytes[i + 1] & 15;
}

X86Exec select_cmov(const X86Insn *in)
{
    static const X86Exec table[16] = {cmov_0,  cmov_1,  cmov_2,  cmov_3, cmov_4,  cmov_5,
                                      cmov_6,  cmov_7,  cmov_8,  cmov_9, cmov_10, cmov_11,
                                      cmov_12, cmov_13, cmov_14, cmov_15};

    return table[condition_of(in)];
}

X86Exec select_set(const X86Insn *in)
{
    static const X86Exec table[16] = {set_0, set_1, set_2,  set_3,  set_4,  set_5,  set_6,  set_7,
                                      set_8, set_9, set_10, set_11, set_12, set_13, set_14, set_15};

    return table[condition_of(in)];
}

/* -- lds les lfs lgs lss ----------------------------------------------------------------------- */

void exec_load_far(CpuState *cpu, const X86Insn *in)
{
    unsigned seg = in->mnemonic == ZYDIS_MNEMONIC_LDS   ? SEG_DS
                   : in->mnemonic == ZYDIS_MNEMONIC_LES ? SEG_ES
                   : in->mnemonic == ZYDIS_MNEMONIC_LFS ? SEG_FS
                   : in->mnemonic == ZYDIS_MNEMONIC_LGS ? SEG_GS
                                                        : SEG_SS;
    unsigned size = in->op[0].size;
    uint64_t ea = insn_ea(cpu, in);
    GuestLin lin = data_linear(cpu, in->mem.seg, ea, size, false);
    uint64_t off = mmu_load(&cpu->mmu, data_class(cpu), lin, size);
    uint64_t ea2 = (ea + size) & mask_bytes(in->addr_size);
    GuestLin lin2 = data_linear(cpu, in->mem.seg, ea2, 2, false);
    uint16_t selector = (uint16_t)mmu_load(&cpu->mmu, data_class(cpu), lin2, 2);

    cpu_load_segment(cpu, seg, selector);
    op_write(cpu, in, 0, off);
}
