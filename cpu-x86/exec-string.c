/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * movs stos lods scas cmps ins outs, with and without repeat prefixes.
 *
 * A repetition commits its registers after every element (or block of elements), so a fault, an
 * interrupt or a single step stops between two of them and restarts with what is left: rip stays.
 */
#include "cpu-x86/debug.h"
#include "cpu-x86/insn-operand.h"
#include "cpu-x86/insns.h"

/* -- Index registers --------------------------------------------------------------------------- */

static inline int64_t step_of(const CpuState *cpu, unsigned size)
{
    return (cpu->rflags & FLAG_DF) != 0 ? -(int64_t)size : (int64_t)size;
}

static inline uint64_t index_get(const CpuState *cpu, const X86Insn *in, unsigned reg)
{
    return cpu->gpr[reg] & mask_bytes(in->addr_size);
}

static inline void index_add(CpuState *cpu, const X86Insn *in, unsigned reg, int64_t by)
{
    gpr_put(cpu, reg, in->addr_size, cpu->gpr[reg] + (uint64_t)by);
}

static GuestLin source(CpuState *cpu, const X86Insn *in, unsigned size)
{
    return data_linear(cpu, in->mem.seg, index_get(cpu, in, GPR_RSI), size, false);
}

static GuestLin destination(CpuState *cpu, const X86Insn *in, unsigned size, bool write)
{
    return data_linear(cpu, SEG_ES, index_get(cpu, in, GPR_RDI), size, write);
}

/* -- One element ------------------------------------------------------------------------------- */

static inline void compare(CpuState *cpu, unsigned size, uint64_t a, uint64_t b)
{
    unsigned fl;

#define COMPARE(T, suffix)                                                                         \
    asm("cmp" #suffix " %[b], %[a]\n\tlahf\n\tseto %%al"                                           \
        : "=&a"(fl)                                                                                \
        : [a] "r"((T)a), [b] "r"((T)b)                                                             \
        : "cc")
    switch (size) {
    case 1: COMPARE(uint8_t, b); break;
    case 2: COMPARE(uint16_t, w); break;
    case 4: COMPARE(uint32_t, l); break;
    default: COMPARE(uint64_t, q); break;
    }
#undef COMPARE
    flags_set(cpu, fl);
}

static inline void movs_one(CpuState *cpu, const X86Insn *in, unsigned size)
{
    uint64_t v = mmu_load(&cpu->mmu, data_class(cpu), source(cpu, in, size), size);
    int64_t step = step_of(cpu, size);

    mmu_store(&cpu->mmu, data_class(cpu), destination(cpu, in, size, true), size, v);
    index_add(cpu, in, GPR_RSI, step);
    index_add(cpu, in, GPR_RDI, step);
}

static inline void stos_one(CpuState *cpu, const X86Insn *in, unsigned size)
{
    mmu_store(&cpu->mmu, data_class(cpu), destination(cpu, in, size, true), size,
              gpr_get(cpu, GPR_RAX, size));
    index_add(cpu, in, GPR_RDI, step_of(cpu, size));
}

static inline void lods_one(CpuState *cpu, const X86Insn *in, unsigned size)
{
    gpr_put(cpu, GPR_RAX, size,
            mmu_load(&cpu->mmu, data_class(cpu), source(cpu, in, size), size));
    index_add(cpu, in, GPR_RSI, step_of(cpu, size));
}

static inline void scas_one(CpuState *cpu, const X86Insn *in, unsigned size)
{
    uint64_t v = mmu_load(&cpu->mmu, data_class(cpu), destination(cpu, in, size, false), size);

    compare(cpu, size, gpr_get(cpu, GPR_RAX, size), v);
    index_add(cpu, in, GPR_RDI, step_of(cpu, size));
}

static inline void cmps_one(CpuState *cpu, const X86Insn *in, unsigned size)
{
    int64_t step = step_of(cpu, size);
    uint64_t a = 0, b;

    /* Which is first shows when both fault. */
    if (cpu->cmps_source_first) {
        a = mmu_load(&cpu->mmu, data_class(cpu), source(cpu, in, size), size);
    }
    b = mmu_load(&cpu->mmu, data_class(cpu), destination(cpu, in, size, false), size);
    if (!cpu->cmps_source_first) {
        a = mmu_load(&cpu->mmu, data_class(cpu), source(cpu, in, size), size);
    }
    compare(cpu, size, a, b);
    index_add(cpu, in, GPR_RSI, step);
    index_add(cpu, in, GPR_RDI, step);
}

static uint16_t checked_port(CpuState *cpu, unsigned size)
{
    uint16_t port = (uint16_t)cpu->gpr[GPR_RDX];

    if (!cpu_port_allowed(cpu, port, size)) {
        cpu_raise_gp(cpu, 0);
    }
    return port;
}

/* The destination is checked before the port is read: reading has effects. */
static inline void ins_one(CpuState *cpu, const X86Insn *in, unsigned size)
{
    uint16_t port = checked_port(cpu, size);
    GuestLin lin = destination(cpu, in, size, true);

    mmu_probe(&cpu->mmu, data_class(cpu), lin, size, TLB_STORE);
    cpu_debug_io(cpu, port, size);
    cpu->stats[STAT_PORT_IO]++;
    mmu_store(&cpu->mmu, data_class(cpu), lin, size, port_read(cpu->ports, port, size));
    index_add(cpu, in, GPR_RDI, step_of(cpu, size));
}

static inline void outs_one(CpuState *cpu, const X86Insn *in, unsigned size)
{
    uint16_t port = checked_port(cpu, size);
    uint64_t v = mmu_load(&cpu->mmu, data_class(cpu), source(cpu, in, size), size);

    cpu_debug_io(cpu, port, size);
    cpu->stats[STAT_PORT_IO]++;
    port_write(cpu->ports, port, size, (uint32_t)v);
    index_add(cpu, in, GPR_RSI, step_of(cpu, size));
}

/* -- Blocks: forward, inside one page on each side, straight in RAM ---------------------------- */

/* Elements from `index` up to the end of its address size, so that a block never wraps. */
static uint64_t until_wrap(const X86Insn *in, uint64_t index, unsigned size)
{
    uint64_t room = mask_bytes(in->addr_size) - index;

    return room == UINT64_MAX ? UINT64_MAX / size : (room + 1) / size;
}

/* Segments whose limit needs no look per element. */
static bool flat_segment(const CpuState *cpu, unsigned seg)
{
    return (cpu->mode & (MODE_CS64 | MODE_AC)) == MODE_CS64 ||
           ((cpu->mode & (MODE_FLAT | MODE_AC)) == MODE_FLAT && seg < SEG_FS && seg != SEG_CS);
}

static uint64_t movs_block(CpuState *cpu, const X86Insn *in, unsigned size, uint64_t count)
{
    unsigned from_room, to_room;
    uint8_t *from, *to;
    uint64_t n, len;

    if ((cpu->rflags & FLAG_DF) != 0 || !flat_segment(cpu, in->mem.seg) ||
        !flat_segment(cpu, SEG_ES)) {
        return 0;
    }
    from = mmu_run(&cpu->mmu, data_class(cpu), source(cpu, in, size), TLB_LOAD, &from_room);
    if (from == NULL || from_room < size) {
        return 0;              /* an element over the page's end: its second half may fault, before the destination does */
    }
    to = mmu_run(&cpu->mmu, data_class(cpu), destination(cpu, in, size, true), TLB_STORE, &to_room);
    n = MIN(count, MIN(from_room, to_room) / size);
    n = MIN(n, until_wrap(in, index_get(cpu, in, GPR_RSI), size));
    n = MIN(n, until_wrap(in, index_get(cpu, in, GPR_RDI), size));
    if (to == NULL || n == 0) {
        return 0;
    }
    len = n * size;
    if (to > from && to < from + len) {
        /* A copy onto itself a little higher repeats a pattern: element by element. */
        for (uint64_t i = 0; i < len; i += size) {
            host_store(to + i, size, host_load(from + i, size));
        }
    } else {
        memmove(to, from, len);
    }
    index_add(cpu, in, GPR_RSI, (int64_t)len);
    index_add(cpu, in, GPR_RDI, (int64_t)len);
    return n;
}

static uint64_t stos_block(CpuState *cpu, const X86Insn *in, unsigned size, uint64_t count)
{
    uint64_t v = gpr_get(cpu, GPR_RAX, size), n;
    unsigned room;
    uint8_t *to;

    if ((cpu->rflags & FLAG_DF) != 0 || !flat_segment(cpu, SEG_ES)) {
        return 0;
    }
    to = mmu_run(&cpu->mmu, data_class(cpu), destination(cpu, in, size, true), TLB_STORE, &room);
    n = MIN(count, room / size);
    n = MIN(n, until_wrap(in, index_get(cpu, in, GPR_RDI), size));
    if (to == NULL || n == 0) {
        return 0;
    }
    if (size == 1 || v == 0) {
        memset(to, (int)(v & 0xff), n * size);
    } else {
        for (uint64_t i = 0; i < n; i++) {
            host_store(to + i * size, size, v);
        }
    }
    index_add(cpu, in, GPR_RDI, (int64_t)(n * size));
    return n;
}

/* -- Repetition -------------------------------------------------------------------------------- */

static inline bool repeated(const X86Insn *in)
{
    return (in->prefixes & (PFX_REP | PFX_REPNE)) != 0;
}

/* Something wants the CPU between two elements. */
static inline bool interrupted(const CpuState *cpu)
{
    uint32_t masked = (cpu->rflags & FLAG_IF) != 0 ? 0 : CPU_REQ_INTR;

    return unlikely((cpu_requests(cpu) & ~masked) != 0 || (cpu->rflags & FLAG_TF) != 0 ||
                    cpu->pending_dbg != 0);
}

#define REPEAT(name, largest, block, condition)                                                    \
    static inline void repeat_##name(CpuState *cpu, const X86Insn *in, unsigned size)              \
    {                                                                                              \
        if (!repeated(in)) {                                                                       \
            name##_one(cpu, in, size);                                                             \
            return;                                                                                \
        }                                                                                          \
        uint64_t flags = cpu->rflags;                                                              \
        for (uint64_t left = index_get(cpu, in, GPR_RCX); left != 0;) {                            \
            uint64_t n = block;                                                                    \
            cpu->rflags = flags; /* a fault shows those from before the instruction */             \
            if (n == 0) {                                                                          \
                name##_one(cpu, in, size);                                                         \
                n = 1;                                                                             \
            }                                                                                      \
            left -= n;                                                                             \
            gpr_put(cpu, GPR_RCX, in->addr_size, left);                                            \
            if (condition) {                                                                       \
                break;                                                                             \
            }                                                                                      \
            if (left != 0 && interrupted(cpu)) {                                                   \
                cpu->next_rip = cpu->rip;                                                          \
                /* SDM 3B 17.3.1.1; the other flags wait for the end on processors too. */         \
                cpu->rflags = flags | FLAG_RF;                                                     \
                break;                                                                             \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    static void name##_1(CpuState *cpu, const X86Insn *in) { repeat_##name(cpu, in, 1); }          \
    static void name##_2(CpuState *cpu, const X86Insn *in) { repeat_##name(cpu, in, 2); }          \
    static void name##_4(CpuState *cpu, const X86Insn *in) { repeat_##name(cpu, in, 4); }          \
    static void name##_8(CpuState *cpu, const X86Insn *in) { repeat_##name(cpu, in, 8); }          \
    X86Exec select_##name(const X86Insn *in)                                                       \
    {                                                                                              \
        static const X86Exec table[4] = {name##_1, name##_2, name##_4, name##_8};                  \
        return table[size_index(largest < in->op_size ? largest : in->op_size)];                   \
    }

/* A step at a time when single stepping. */
#define BLOCK(name)                                                                                \
    ((cpu->rflags & FLAG_TF) != 0 ? 0 : name##_block(cpu, in, size, left))

/* REPE goes on while ZF is set, REPNE while it is clear. */
#define ENDS_BY_ZF                                                                                 \
    (((cpu->rflags & FLAG_ZF) != 0) == ((in->prefixes & PFX_REPNE) != 0))

REPEAT(movs, 8, BLOCK(movs), false)
REPEAT(stos, 8, BLOCK(stos), false)
REPEAT(lods, 8, 0, false)
REPEAT(scas, 8, 0, ENDS_BY_ZF)
REPEAT(cmps, 8, 0, ENDS_BY_ZF)
REPEAT(ins, 4, 0, false)
REPEAT(outs, 4, 0, false)
