/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * add or adc sbb and sub xor cmp test, inc dec neg not: each operation in each size and operand
 * form has its own function.  The host's instruction computes result and flags, so that they are
 * exact.
 */
#include "cpu-x86/insn-operand.h"
#include "cpu-x86/insns.h"

/* -- The operations on values: result and, in *fl, flags --------------------------------------- */

#define SAVE_FLAGS "\n\tlahf\n\tseto %%al"

#define VALUE_OP(name, T, suffix, with_carry)                                                      \
    static inline T value_##name##suffix(T a, T b, unsigned carry, unsigned *fl)                   \
    {                                                                                              \
        if (with_carry) {                                                                          \
            asm("btl $0, %[c]\n\t" #name #suffix " %[b], %[a]" SAVE_FLAGS                          \
                : "=&a"(*fl), [a] "+r"(a)                                                          \
                : [b] "r"(b), [c] "r"(carry)                                                       \
                : "cc");                                                                           \
        } else {                                                                                   \
            asm(#name #suffix " %[b], %[a]" SAVE_FLAGS                                             \
                : "=&a"(*fl), [a] "+r"(a)                                                          \
                : [b] "r"(b)                                                                       \
                : "cc");                                                                           \
        }                                                                                          \
        return a;                                                                                  \
    }

#define LOCK_OP(name, T, suffix, with_carry)                                                       \
    static inline void lock_##name##suffix(T *p, T b, unsigned carry, unsigned *fl)                \
    {                                                                                              \
        if (with_carry) {                                                                          \
            asm volatile("btl $0, %[c]\n\tlock " #name #suffix " %[b], %[p]" SAVE_FLAGS            \
                         : "=&a"(*fl), [p] "+m"(*p)                                                \
                         : [b] "r"(b), [c] "r"(carry)                                              \
                         : "cc", "memory");                                                        \
        } else {                                                                                   \
            asm volatile("lock " #name #suffix " %[b], %[p]" SAVE_FLAGS                            \
                         : "=&a"(*fl), [p] "+m"(*p)                                                \
                         : [b] "r"(b)                                                              \
                         : "cc", "memory");                                                        \
        }                                                                                          \
    }

#define CARRY(cpu) ((unsigned)(cpu)->rflags)

/* -- Operand forms ----------------------------------------------------------------------------- */

/* Forms: rr ri rm (register destination), mr mi (memory destination), lr li (locked). */
#define FORM_REG(name, T, suffix, form, size, source, writes)                                      \
    static void name##_##form##_##suffix(CpuState *cpu, const X86Insn *in)                         \
    {                                                                                              \
        unsigned fl;                                                                               \
        T b = (T)(source);                                                                         \
        T r = value_##name##suffix((T)reg_get(cpu, in->op[0].off, size), b, CARRY(cpu), &fl);      \
        if (writes) {                                                                              \
            reg_put(cpu, in->op[0].off, size, r);                                                  \
        }                                                                                          \
        flags_set(cpu, fl);                                                                        \
        (void)r;                                                                                   \
    }

#define FORM_MEM(name, T, suffix, form, size, source)                                              \
    static void name##_##form##_##suffix(CpuState *cpu, const X86Insn *in)                         \
    {                                                                                              \
        unsigned fl;                                                                               \
        MmuRmw rmw;                                                                                \
        T b = (T)(source);                                                                         \
        void *p = insn_rmw_begin(cpu, in, size, false, &rmw);                                      \
        T a = (T)host_load(p, size);                                                               \
        host_store(p, size, value_##name##suffix(a, b, CARRY(cpu), &fl));                          \
        insn_rmw_end(cpu, &rmw, true);                                                             \
        flags_set(cpu, fl);                                                                        \
    }

#define FORM_MEM_READ(name, T, suffix, form, size, source)                                         \
    static void name##_##form##_##suffix(CpuState *cpu, const X86Insn *in)                         \
    {                                                                                              \
        unsigned fl;                                                                               \
        T b = (T)(source);                                                                         \
        value_##name##suffix((T)insn_load(cpu, in, size), b, CARRY(cpu), &fl);                     \
        flags_set(cpu, fl);                                                                        \
    }

#define FORM_LOCK(name, T, suffix, form, size, source)                                             \
    static void name##_##form##_##suffix(CpuState *cpu, const X86Insn *in)                         \
    {                                                                                              \
        unsigned fl;                                                                               \
        MmuRmw rmw;                                                                                \
        T b = (T)(source);                                                                         \
        T *p = insn_rmw_begin(cpu, in, size, true, &rmw);                                          \
        lock_##name##suffix(p, b, CARRY(cpu), &fl);                                                \
        insn_rmw_end(cpu, &rmw, true);                                                             \
        flags_set(cpu, fl);                                                                        \
    }

#define SOURCE_REG(size) reg_get(cpu, in->op[1].off, size)

#define FORMS_WRITING(name, T, suffix, size, with_carry)                                           \
    VALUE_OP(name, T, suffix, with_carry)                                                          \
    LOCK_OP(name, T, suffix, with_carry)                                                           \
    FORM_REG(name, T, suffix, rr, size, SOURCE_REG(size), true)                                    \
    FORM_REG(name, T, suffix, ri, size, in->imm, true)                                             \
    FORM_REG(name, T, suffix, rm, size, insn_load(cpu, in, size), true)                            \
    FORM_MEM(name, T, suffix, mr, size, SOURCE_REG(size))                                          \
    FORM_MEM(name, T, suffix, mi, size, in->imm)                                                   \
    FORM_LOCK(name, T, suffix, lr, size, SOURCE_REG(size))                                         \
    FORM_LOCK(name, T, suffix, li, size, in->imm)

#define FORMS_READING(name, T, suffix, size)                                                       \
    VALUE_OP(name, T, suffix, false)                                                               \
    FORM_REG(name, T, suffix, rr, size, SOURCE_REG(size), false)                                   \
    FORM_REG(name, T, suffix, ri, size, in->imm, false)                                            \
    FORM_REG(name, T, suffix, rm, size, insn_load(cpu, in, size), false)                           \
    FORM_MEM_READ(name, T, suffix, mr, size, SOURCE_REG(size))                                     \
    FORM_MEM_READ(name, T, suffix, mi, size, in->imm)

typedef enum { FORM_RR, FORM_RI, FORM_RM, FORM_MR, FORM_MI, FORM_LR, FORM_LI, FORM_COUNT } AluForm;

static X86Exec choose_form(const X86Insn *in, const X86Exec table[FORM_COUNT][4])
{
    bool locked = (in->prefixes & PFX_LOCK) != 0;
    bool imm = in->op[1].kind == OPERAND_IMM;
    AluForm form;

    if (op_is_mem(in, 0)) {
        form = locked ? (imm ? FORM_LI : FORM_LR) : (imm ? FORM_MI : FORM_MR);
    } else {
        form = imm ? FORM_RI : op_is_mem(in, 1) ? FORM_RM : FORM_RR;
    }
    return table[form][size_index(in->op[0].size)];
}

#define ROW(name, form) {name##_##form##_b, name##_##form##_w, name##_##form##_l, name##_##form##_q}

#define ALU(name, with_carry)                                                                      \
    FORMS_WRITING(name, uint8_t, b, 1, with_carry)                                                 \
    FORMS_WRITING(name, uint16_t, w, 2, with_carry)                                                \
    FORMS_WRITING(name, uint32_t, l, 4, with_carry)                                                \
    FORMS_WRITING(name, uint64_t, q, 8, with_carry)                                                \
    X86Exec select_##name(const X86Insn *in)                                                       \
    {                                                                                              \
        static const X86Exec table[FORM_COUNT][4] = {                                              \
            ROW(name, rr), ROW(name, ri), ROW(name, rm), ROW(name, mr), ROW(name, mi),             \
            ROW(name, lr), ROW(name, li),                                                          \
        };                                                                                         \
        return choose_form(in, table);                                                             \
    }

#define ALU_READING(name)                                                                          \
    FORMS_READING(name, uint8_t, b, 1)                                                             \
    FORMS_READING(name, uint16_t, w, 2)                                                            \
    FORMS_READING(name, uint32_t, l, 4)                                                            \
    FORMS_READING(name, uint64_t, q, 8)                                                            \
    X86Exec select_##name(const X86Insn *in)                                                       \
    {                                                                                              \
        static const X86Exec table[FORM_COUNT][4] = {                                              \
            ROW(name, rr), ROW(name, ri), ROW(name, rm), ROW(name, mr), ROW(name, mi),             \
        };                                                                                         \
        return choose_form(in, table);                                                             \
    }

ALU(add, false)
ALU(or, false)
ALU(adc, true)
ALU(sbb, true)
ALU(and, false)
ALU(sub, false)
ALU(xor, false)
ALU_READING(cmp)
ALU_READING(test)

/* -- One operand ------------------------------------------------------------------------------- */

#define UNARY_SIZE(name, T, suffix, size, set)                                                     \
    static void name##_r_##suffix(CpuState *cpu, const X86Insn *in)                                \
    {                                                                                              \
        unsigned fl;                                                                               \
        T a = (T)reg_get(cpu, in->op[0].off, size);                                                \
        asm(#name #suffix " %[a]" SAVE_FLAGS : "=&a"(fl), [a] "+r"(a)::"cc");                      \
        reg_put(cpu, in->op[0].off, size, a);                                                      \
        set(cpu, fl);                                                                              \
    }                                                                                              \
    static void name##_m_##suffix(CpuState *cpu, const X86Insn *in)                                \
    {                                                                                              \
        unsigned fl;                                                                               \
        MmuRmw rmw;                                                                                \
        T *p = insn_rmw_begin(cpu, in, size, false, &rmw);                                         \
        asm volatile(#name #suffix " %[p]" SAVE_FLAGS : "=&a"(fl), [p] "+m"(*p)::"cc", "memory");  \
        insn_rmw_end(cpu, &rmw, true);                                                             \
        set(cpu, fl);                                                                              \
    }                                                                                              \
    static void name##_l_##suffix(CpuState *cpu, const X86Insn *in)                                \
    {                                                                                              \
        unsigned fl;                                                                               \
        MmuRmw rmw;                                                                                \
        T *p = insn_rmw_begin(cpu, in, size, true, &rmw);                                          \
        asm volatile("lock " #name #suffix " %[p]" SAVE_FLAGS                                      \
                     : "=&a"(fl), [p] "+m"(*p)::"cc", "memory");                                   \
        insn_rmw_end(cpu, &rmw, true);                                                             \
        set(cpu, fl);                                                                              \
    }

#define UNARY(name, set)                                                                           \
    UNARY_SIZE(name, uint8_t, b, 1, set)                                                           \
    UNARY_SIZE(name, uint16_t, w, 2, set)                                                          \
    UNARY_SIZE(name, uint32_t, l, 4, set)                                                          \
    UNARY_SIZE(name, uint64_t, q, 8, set)                                                          \
    X86Exec select_##name(const X86Insn *in)                                                       \
    {                                                                                              \
        static const X86Exec table[3][4] = {ROW(name, r), ROW(name, m), ROW(name, l)};             \
        unsigned form = !op_is_mem(in, 0) ? 0 : (in->prefixes & PFX_LOCK) == 0 ? 1 : 2;            \
        return table[form][size_index(in->op[0].size)];                                            \
    }

static inline void flags_ignore(CpuState *cpu, unsigned ahal)
{
}

UNARY(inc, flags_set_but_cf)
UNARY(dec, flags_set_but_cf)
UNARY(neg, flags_set)
UNARY(not, flags_ignore)

/* -- adcx, adox: only CF, only OF -------------------------------------------------------------- */

static void add_with_flag(CpuState *cpu, const X86Insn *in, uint64_t flag)
{
    unsigned size = in->op[0].size;
    uint64_t b = op_read(cpu, in, 1);
    bool carry = (cpu->rflags & flag) != 0;
    unsigned __int128 sum = (unsigned __int128)op_read(cpu, in, 0) + b + carry;

    op_write(cpu, in, 0, (uint64_t)sum);
    flags_put(cpu, flag, (uint64_t)(sum >> (size * 8)) != 0 ? flag : 0);
}

void exec_adcx(CpuState *cpu, const X86Insn *in)
{
    add_with_flag(cpu, in, FLAG_CF);
}

void exec_adox(CpuState *cpu, const X86Insn *in)
{
    add_with_flag(cpu, in, FLAG_OF);
}
