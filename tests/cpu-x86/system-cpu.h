/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One CPU with 16 MiB of RAM whose state tests poke directly: for walks, segments, deliveries.
 * Linear = physical while paging is off.
 */
#ifndef TESTS_CPU_X86_SYSTEM_CPU_H
#define TESTS_CPU_X86_SYSTEM_CPU_H

#include "cpu-x86/cpuid.h"
#include "cpu-x86/exception.h"
#include "cpu-x86/segment.h"
#include "cpu-x86/state.h"

#include <check.h>
#include <string.h>

enum { SYS_RAM = 16 << 20 };

typedef struct {
    Lock lock;
    PhysMem *mem;
    PortSpace *ports;
    CpuModel *model;
    CpuState *cpu;
} SystemCpu;

static inline SystemCpu *system_cpu_new(const char *model, unsigned n_cpus, unsigned index)
{
    SystemCpu *s = g_new0(SystemCpu, 1);
    GError *error = NULL;

    lock_init(&s->lock, LOCK_RANK_MACHINE);
    s->mem = phys_mem_new(SYS_RAM, &s->lock, &error);
    g_assert_no_error(error);
    lock_take(&s->lock);
    phys_region_ram(s->mem, 0, SYS_RAM, phys_mem_alloc(s->mem, SYS_RAM), 0, "ram");
    lock_release(&s->lock);
    s->ports = port_space_new(&s->lock);
    s->model = cpu_model_new(model, n_cpus, &error);
    g_assert_no_error(error);
    s->cpu = cpu_new(&(CpuConfig){.index = index, .n_cpus = n_cpus, .model = s->model,
                                  .mem = s->mem, .ports = s->ports, .machine_lock = &s->lock});
    return s;
}

static inline void system_cpu_free(SystemCpu *s)
{
    cpu_free(s->cpu);
    cpu_model_free(s->model);
    port_space_free(s->ports);
    phys_mem_free(s->mem);
    lock_clear(&s->lock);
    g_free(s);
}

/* No local changes between RAISED's setjmp() and longjmp(), so none is lost. */
#pragma GCC diagnostic ignored "-Wclobbered"

/* Run a statement; the vector it raised (cpu->exc has the code), or -1. */
#define RAISED(c, ...)                                                                             \
    ({                                                                                             \
        jmp_buf here_;                                                                             \
        volatile int vector_ = -1;                                                                 \
        (c)->unwind = &here_;                                                                      \
        if (setjmp(here_) == 0) {                                                                  \
            __VA_ARGS__;                                                                           \
        } else {                                                                                   \
            vector_ = (c)->exc.vector;                                                             \
        }                                                                                          \
        (c)->unwind = NULL;                                                                        \
        vector_;                                                                                   \
    })

static inline void poke(SystemCpu *s, uint64_t at, unsigned size, uint64_t val)
{
    phys_copy_to(s->mem, guest_phys(at), &val, size);
}

static inline uint64_t peek(SystemCpu *s, uint64_t at, unsigned size)
{
    uint64_t val = 0;

    phys_copy_from(s->mem, &val, guest_phys(at), size);
    return val;
}

/* -- Descriptors ------------------------------------------------------------------------------------ */

enum { SYS_GDT = 0x10000, SYS_LDT = 0x11000, SYS_IDT = 0x12000, SYS_TSS_AT = 0x14000,
       SYS_TSS2_AT = 0x15000 };

/* An 8-byte descriptor; attr as in SEG_* (bits 8..23 in place). */
static inline uint64_t make_desc(uint32_t base, uint32_t limit, uint32_t attr)
{
    uint32_t lo = (limit & 0xffff) | base << 16;
    uint32_t hi = (base >> 16 & 0xff) | (base & 0xff000000) | attr | (limit & 0xf0000);

    return lo | (uint64_t)hi << 32;
}

static inline void set_desc(SystemCpu *s, unsigned selector, uint32_t base, uint32_t limit,
                            uint32_t attr)
{
    poke(s, ((selector & 4) != 0 ? SYS_LDT : SYS_GDT) + (selector & 0xfff8), 8,
         make_desc(base, limit, attr));
}

/* A gate: offset, selector, type, dpl, present; params: of a call gate, or IST. */
static inline void set_gate(SystemCpu *s, uint64_t at, uint16_t selector, uint64_t offset,
                            unsigned type, unsigned dpl, unsigned params, bool wide)
{
    uint32_t lo = (uint32_t)(offset & 0xffff) | (uint32_t)selector << 16;
    uint32_t hi = (uint32_t)(offset & 0xffff0000) | SEG_P | type << 8 | dpl << 13 | params;

    poke(s, at, 8, lo | (uint64_t)hi << 32);
    if (wide) {
        poke(s, at + 8, 8, offset >> 32);
    }
}

#define CODE_ATTR (SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_G | SEG_DB)
#define CODE64_ATTR (SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_G | SEG_L)
#define DATA_ATTR (SEG_P | SEG_S | SEG_RW | SEG_G | SEG_DB)
#define DPL(n) ((uint32_t)(n) << SEG_DPL_SHIFT)

enum { /* the GDT that system_protected() makes */
    K_CODE = 0x08, K_DATA = 0x10, U_CODE = 0x18 | 3, U_DATA = 0x20 | 3, K_CODE16 = 0x28,
    K_DATA16 = 0x30, CONFORMING = 0x38, K_CODE64 = 0x40, U_CODE64 = 0x48 | 3, ABSENT = 0x50,
    TSS1 = 0x58, TSS2 = 0x60, LDT = 0x68, GATE = 0x70 /* and 0x78 */, TASK_GATE = 0x80,
    READONLY = 0x88, EXECONLY = 0x90, DOWN = 0x98, TSS16 = 0xa0, SEL_END = 0xb0,
};

static inline void load_flat(CpuState *cpu, unsigned seg, uint16_t selector, uint32_t attr)
{
    cpu->seg[seg] = (Segment){.selector = selector, .limit = UINT32_MAX,
                              .attr = attr | SEG_A | DPL(selector & 3)};
}

/* Put the CPU into flat segments of privilege `cpl`, 32-bit. */
static inline void at_cpl(SystemCpu *s, unsigned cpl)
{
    CpuState *cpu = s->cpu;

    cpu->rflags &= ~(uint64_t)FLAG_VM;
    load_flat(cpu, SEG_CS, cpl == 3 ? U_CODE : K_CODE, CODE_ATTR);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        if (i != SEG_CS) {
            load_flat(cpu, i, cpl == 3 ? U_DATA : K_DATA, DATA_ATTR);
        }
    }
    cpu_update_mode(cpu);
}

/* 32-bit protected mode, paging off, CPL 0, a GDT, an IDT of 32-bit interrupt gates to
 * 0x20000 + 16 * vector, a TSS with stacks: ring 0 at 0x9000, ring 1 at 0x8800, ring 2 at 0x8400. */
static inline void system_protected(SystemCpu *s)
{
    CpuState *cpu = s->cpu;

    set_desc(s, K_CODE, 0, 0xfffff, CODE_ATTR);
    set_desc(s, K_DATA, 0, 0xfffff, DATA_ATTR);
    set_desc(s, U_CODE, 0, 0xfffff, CODE_ATTR | DPL(3));
    set_desc(s, U_DATA, 0, 0xfffff, DATA_ATTR | DPL(3));
    set_desc(s, K_CODE16, 0, 0xffff, SEG_P | SEG_S | SEG_CODE | SEG_RW);
    set_desc(s, K_DATA16, 0, 0xffff, SEG_P | SEG_S | SEG_RW);
    set_desc(s, CONFORMING, 0, 0xfffff, CODE_ATTR | SEG_DC);
    set_desc(s, K_CODE64, 0, 0xfffff, CODE64_ATTR);
    set_desc(s, U_CODE64, 0, 0xfffff, CODE64_ATTR | DPL(3));
    set_desc(s, ABSENT, 0, 0xfffff, DATA_ATTR & ~(uint32_t)SEG_P);
    set_desc(s, TSS1, SYS_TSS_AT, 0x2067, SEG_P | 11 << 8);
    set_desc(s, TSS2, SYS_TSS2_AT, 0x67, SEG_P | 9 << 8);
    set_desc(s, TSS16, SYS_TSS2_AT, 0x2b, SEG_P | 1 << 8);
    set_desc(s, LDT, SYS_LDT, 0xfff, SEG_P | 2 << 8);
    set_desc(s, READONLY, 0, 0xfffff, DATA_ATTR & ~(uint32_t)SEG_RW);
    set_desc(s, EXECONLY, 0, 0xfffff, CODE_ATTR & ~(uint32_t)SEG_RW);
    set_desc(s, DOWN, 0, 0xff, DATA_ATTR | SEG_DC);
    set_gate(s, SYS_GDT + TASK_GATE, TSS2, 0, 5, 3, 0, false);
    for (unsigned v = 0; v < 256; v++) {
        set_gate(s, SYS_IDT + v * 8, K_CODE, 0x20000 + v * 16, 14, v == 0x80 ? 3 : 0, 0, false);
    }
    cpu->gdtr = (DescTable){SYS_GDT, SEL_END - 1};
    cpu->idtr = (DescTable){SYS_IDT, 0x7ff};
    cpu->seg[SEG_LDTR] = (Segment){LDT, 0xfff, SEG_P | 2 << 8, SYS_LDT};
    cpu->seg[SEG_TR] = (Segment){TSS1, 0x2067, SEG_P | 11 << 8, SYS_TSS_AT};
    poke(s, SYS_TSS_AT + 4, 4, 0x9000);
    poke(s, SYS_TSS_AT + 8, 2, K_DATA);
    cpu->cr0 = CR0_PE | CR0_ET;
    cpu->gpr[GPR_RSP] = 0x8000;
    cpu->rip = 0x5000;
    cpu->next_rip = 0x5002;
    at_cpl(s, 0);
}

/* 64-bit mode: the first 16 MiB mapped identically by user-accessible 2 MiB pages, an IDT of 64-bit
 * interrupt gates to 0x20000 + 16 * vector, RSP0 0x9000, IST1 0xa000. */
static inline void system_long(SystemCpu *s)
{
    CpuState *cpu = s->cpu;
    const uint64_t pml4 = 0x100000;

    system_protected(s);
    poke(s, pml4, 8, (pml4 + 0x1000) | 7);
    poke(s, pml4 + 0x1000, 8, (pml4 + 0x2000) | 7);
    for (unsigned i = 0; i < 8; i++) {
        poke(s, pml4 + 0x2000 + i * 8, 8, (uint64_t)i << 21 | 0x87);
    }
    for (unsigned v = 0; v < 128; v++) {
        set_gate(s, SYS_IDT + v * 16, K_CODE64, 0x20000 + v * 16, 14, v == 0x40 ? 3 : 0, v == 2, true);
    }
    poke(s, SYS_TSS_AT + 4, 8, 0x9000);
    poke(s, SYS_TSS_AT + 0x24, 8, 0xa000);
    cpu->cr3 = pml4;
    cpu->cr4 = CR4_PAE;
    cpu->cr0 |= CR0_PG;
    cpu->efer = EFER_LME | EFER_LMA | EFER_SCE;
    load_flat(cpu, SEG_CS, K_CODE64, CODE64_ATTR);
    tlb_flush_all(&cpu->mmu.tlb);
    cpu_update_mode(cpu);
}

static inline void long_cpl3(SystemCpu *s)
{
    at_cpl(s, 3);
    load_flat(s->cpu, SEG_CS, U_CODE64, CODE64_ATTR);
    cpu_update_mode(s->cpu);
}

#endif /* TESTS_CPU_X86_SYSTEM_CPU_H */
