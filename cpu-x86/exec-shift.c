/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shifts and rotates, by the host's instructions; undefined flags come out as the host's. */
#include "cpu-x86/insn-operand.h"
#include "cpu-x86/insns.h"

/* Rotates keep SF, ZF, AF and PF, and rotates through carry need CF. */
#define ROTATE_SIZE(name, T, suffix)                                                               \
    static inline T value_##name##_##suffix(T v, uint8_t count, uint64_t *flags)                   \
    {                                                                                              \
        uint64_t f = *flags;                                                                       \
        asm(LOAD_FLAGS #name #suffix " %%cl, %[v]" STORE_FLAGS                                     \
            : [v] "+r"(v), [f] "+r"(f)                                                             \
            : "c"(count)                                                                           \
            : "cc");                                                                               \
        *flags = f;                                                                                \
        return v;                                                                                  \
    }

/* Shifts set all flags, unless the count is 0. */
#define SHIFT_SIZE(name, T, suffix)                                                                \
    static inline T value_##name##_##suffix(T v, uint8_t count, uint64_t *flags)                   \
    {                                                                                              \
        unsigned fl;                                                                               \
        if ((count & (sizeof(T) == 8 ? 63 : 31)) == 0) {                                           \
            return v;                                                                              \
        }                                                                                          \
        asm(#name #suffix " %%cl, %[v]\n\tlahf\n\tseto %%al"                                       \
            : "=&a"(fl), [v] "+r"(v)                                                               \
            : "c"(count)                                                                           \
            : "cc");                                                                               \
        *flags = (uint8_t)(fl >> 8) | (uint64_t)(uint8_t)fl << 11;                                 \
        return v;                                                                                  \
    }

/* OF after a rotate by more than 1 is undefined.  Intel's leave it as it was when a register rotates
 * by a constant, though not by CL, which is what runs here; AMD's always write it. */
static inline void put_rotate_flags(CpuState *cpu, const X86Insn *in, uint64_t f, uint8_t count)
{
    unsigned mask = in->op[0].size == 8 ? 63 : 31;
    bool keep = in->op[1].kind == OPERAND_IMM && !op_is_mem(in, 0) && (count & mask) > 1 &&
                !host_is_amd();

    flags_put(cpu, FLAGS_ARITH & ~(keep ? FLAG_OF : 0), f);
}

static inline void put_shift_flags(CpuState *cpu, const X86Insn *in, uint64_t f, uint8_t count)
{
    flags_put(cpu, FLAGS_ARITH, f);
}

#define VALUES(kind, name)                                                                         \
    kind##_SIZE(name, uint8_t, b)                                                                  \
    kind##_SIZE(name, uint16_t, w)                                                                 \
    kind##_SIZE(name, uint32_t, l)                                                                 \
    kind##_SIZE(name, uint64_t, q)

#define SHIFT_FORM(name, T, suffix, size, put)                                                     \
    static void name##_r_##suffix(CpuState *cpu, const X86Insn *in)                                \
    {                                                                                              \
        uint64_t f = host_flags(cpu);                                                              \
        uint8_t count = (uint8_t)op_read_sized(cpu, in, 1, 1);                                     \
        T v = value_##name##_##suffix((T)reg_get(cpu, in->op[0].off, size), count, &f);            \
        reg_put(cpu, in->op[0].off, size, v);                                                      \
        put(cpu, in, f, count);                                                                    \
    }                                                                                              \
    static void name##_m_##suffix(CpuState *cpu, const X86Insn *in)                                \
    {                                                                                              \
        uint64_t f = host_flags(cpu);                                                              \
        uint8_t count = (uint8_t)op_read_sized(cpu, in, 1, 1);                                     \
        MmuRmw rmw;                                                                                \
        void *p = insn_rmw_begin(cpu, in, size, false, &rmw);                                      \
        T a = (T)host_load(p, size);                                                               \
        host_store(p, size, value_##name##_##suffix(a, count, &f));                                \
        insn_rmw_end(cpu, &rmw, true);                                                             \
        put(cpu, in, f, count);                                                                    \
    }

#define SHIFT(name, kind, put)                                                                     \
    VALUES(kind, name)                                                                             \
    SHIFT_FORM(name, uint8_t, b, 1, put)                                                           \
    SHIFT_FORM(name, uint16_t, w, 2, put)                                                          \
    SHIFT_FORM(name, uint32_t, l, 4, put)                                                          \
    SHIFT_FORM(name, uint64_t, q, 8, put)                                                          \
    X86Exec select_##name(const X86Insn *in)                                                       \
    {                                                                                              \
        static const X86Exec table[2][4] = {                                                       \
            {name##_r_b, name##_r_w, name##_r_l, name##_r_q},                                      \
            {name##_m_b, name##_m_w, name##_m_l, name##_m_q},                                      \
        };                                                                                         \
        X86Exec fast = name##_fast(in);                                                            \
        return fast != NULL ? fast : table[op_is_mem(in, 0)][size_index(in->op[0].size)];          \
    }

/* -- The forms compilers use: 32 and 64-bit register by a constant, not 0 ---------------------- */

#define FAST_SIZE(name, T, suffix, size)                                                           \
    static void name##_fast_##suffix(CpuState *cpu, const X86Insn *in)                             \
    {                                                                                              \
        unsigned fl;                                                                               \
        T v = (T)reg_get(cpu, in->op[0].off, size);                                                \
        asm(#name #suffix " %%cl, %[v]\n\tlahf\n\tseto %%al"                                       \
            : "=&a"(fl), [v] "+r"(v)                                                               \
            : "c"((uint8_t)in->imm)                                                                \
            : "cc");                                                                               \
        reg_put(cpu, in->op[0].off, size, v);                                                      \
        flags_set(cpu, fl);                                                                        \
    }

#define FAST(name)                                                                                 \
    FAST_SIZE(name, uint32_t, l, 4)                                                                \
    FAST_SIZE(name, uint64_t, q, 8)                                                                \
    static X86Exec name##_fast(const X86Insn *in)                                                  \
    {                                                                                              \
        if (in->op[0].kind != OPERAND_GPR || in->op[1].kind != OPERAND_IMM) {                      \
            return NULL;                                                                           \
        }                                                                                          \
        if (in->op[0].size == 4 && (in->imm & 31) != 0) {                                          \
            return name##_fast_l;                                                                  \
        }                                                                                          \
        return in->op[0].size == 8 && (in->imm & 63) != 0 ? name##_fast_q : NULL;                  \
    }

/* Rotates by a constant on Intel's: CF always, OF after a rotate by 1 only. */
#define ROTATE_FAST_SIZE(name, T, suffix, size)                                                    \
    static void name##_fast_##suffix(CpuState *cpu, const X86Insn *in)                             \
    {                                                                                              \
        bool cf;                                                                                   \
        T v = (T)reg_get(cpu, in->op[0].off, size);                                                \
        asm(#name #suffix " %%cl, %[v]" : [v] "+r"(v), "=@ccc"(cf) : "c"((uint8_t)in->imm));       \
        reg_put(cpu, in->op[0].off, size, v);                                                      \
        cpu->rflags = (cpu->rflags & ~(uint64_t)FLAG_CF) | cf;                                     \
    }

#define ROTATE_FAST(name)                                                                          \
    ROTATE_FAST_SIZE(name, uint32_t, l, 4)                                                         \
    ROTATE_FAST_SIZE(name, uint64_t, q, 8)                                                         \
    static X86Exec name##_fast(const X86Insn *in)                                                  \
    {                                                                                              \
        if (in->op[0].kind != OPERAND_GPR || in->op[1].kind != OPERAND_IMM || host_is_amd()) {     \
            return NULL;                                                                           \
        }                                                                                          \
        if (in->op[0].size == 4 && (in->imm & 31) > 1) {                                           \
            return name##_fast_l;                                                                  \
        }                                                                                          \
        return in->op[0].size == 8 && (in->imm & 63) > 1 ? name##_fast_q : NULL;                   \
    }

#define NO_FAST(name)                                                                              \
    static X86Exec name##_fast(const X86Insn *in)                                                  \
    {                                                                                              \
        return NULL;                                                                               \
    }

FAST(shl)
FAST(shr)
FAST(sar)
ROTATE_FAST(rol)
ROTATE_FAST(ror)
NO_FAST(rcl)
NO_FAST(rcr)

SHIFT(shl, SHIFT, put_shift_flags)
SHIFT(shr, SHIFT, put_shift_flags)
SHIFT(sar, SHIFT, put_shift_flags)
SHIFT(rol, ROTATE, put_rotate_flags)
SHIFT(ror, ROTATE, put_rotate_flags)
SHIFT(rcl, ROTATE, put_shift_flags)
SHIFT(rcr, ROTATE, put_shift_flags)

/* -- Double shifts ----------------------------------------------------------------------------- */

#define DOUBLE_SIZE(name, T, suffix, size)                                                         \
    static void name##_##suffix(CpuState *cpu, const X86Insn *in)                                  \
    {                                                                                              \
        uint64_t f = host_flags(cpu);                                                              \
        uint8_t count = (uint8_t)op_read_sized(cpu, in, 2, 1);                                     \
        T src = (T)reg_get(cpu, in->op[1].off, size);                                              \
        MmuRmw rmw;                                                                                \
        bool mem = op_is_mem(in, 0);                                                               \
        T reg = 0, *p = &reg;                                                                      \
        if (mem) {                                                                                 \
            p = insn_rmw_begin(cpu, in, size, false, &rmw);                                        \
        } else {                                                                                   \
            reg = (T)reg_get(cpu, in->op[0].off, size);                                            \
        }                                                                                          \
        T v = (T)host_load(p, size);                                                               \
        asm(LOAD_FLAGS #name #suffix " %%cl, %[src], %[v]" STORE_FLAGS                             \
            : [v] "+r"(v), [f] "+r"(f)                                                             \
            : "c"(count), [src] "r"(src)                                                           \
            : "cc");                                                                               \
        host_store(p, size, v);                                                                    \
        if (mem) {                                                                                 \
            insn_rmw_end(cpu, &rmw, true);                                                         \
        } else {                                                                                   \
            reg_put(cpu, in->op[0].off, size, v);                                                  \
        }                                                                                          \
        flags_put(cpu, FLAGS_ARITH, f);                                                            \
    }

#define DOUBLE(name)                                                                               \
    DOUBLE_SIZE(name, uint16_t, w, 2)                                                              \
    DOUBLE_SIZE(name, uint32_t, l, 4)                                                              \
    DOUBLE_SIZE(name, uint64_t, q, 8)                                                              \
    X86Exec select_##name(const X86Insn *in)                                                       \
    {                                                                                              \
        return in->op[0].size == 2 ? name##_w : in->op[0].size == 4 ? name##_l : name##_q;         \
    }

DOUBLE(shld)
DOUBLE(shrd)

/* -- BMI2: no flags ---------------------------------------------------------------------------- */

typedef enum { SHIFTX_LEFT, SHIFTX_RIGHT, SHIFTX_ARITHMETIC } ShiftKind;

static void shift_without_flags(CpuState *cpu, const X86Insn *in, ShiftKind kind)
{
    unsigned size = in->op[0].size;
    uint64_t v = op_read_sized(cpu, in, 1, size);
    unsigned count = (unsigned)reg_get(cpu, in->op[2].off, 1) & (size * 8 - 1);

    op_write(cpu, in, 0,
             kind == SHIFTX_LEFT    ? v << count
             : kind == SHIFTX_RIGHT ? v >> count
                                    : (uint64_t)(sign_extend(v, size) >> count));
}

void exec_shlx(CpuState *cpu, const X86Insn *in)
{
    shift_without_flags(cpu, in, SHIFTX_LEFT);
}

void exec_shrx(CpuState *cpu, const X86Insn *in)
{
    shift_without_flags(cpu, in, SHIFTX_RIGHT);
}

void exec_sarx(CpuState *cpu, const X86Insn *in)
{
    shift_without_flags(cpu, in, SHIFTX_ARITHMETIC);
}

void exec_rorx(CpuState *cpu, const X86Insn *in)
{
    unsigned size = in->op[0].size, bits = size * 8;
    uint64_t v = op_read_sized(cpu, in, 1, size);
    unsigned count = (unsigned)in->imm & (bits - 1);

    op_write(cpu, in, 0, count == 0 ? v : v >> count | v << (bits - count));
}
