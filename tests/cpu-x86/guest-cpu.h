/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One CPU with 16 MiB of RAM and nothing else, set up in a mode, for instruction tests.
 *
 *     GuestCpu g;
 *     guest_cpu_init(&g, GUEST_LONG64);
 *     guest_code(&g, (uint8_t[]){0xff, 0xc0}, 2);      // inc eax
 *     g.cpu->gpr[GPR_RAX] = 1;
 *     guest_run(&g, 1);
 *     ck_assert_int_eq(guest_vector(&g), -1);           // no exception
 *     guest_cpu_clear(&g);
 *
 * Flat in every mode: linear = physical (real mode: all segments 0).  Everything runs at CPL 0.
 * Exceptions and interrupts enter handlers at GUEST_HANDLERS + 16 * vector, which are `jmp $`.
 */
#ifndef TESTS_CPU_X86_GUEST_CPU_H
#define TESTS_CPU_X86_GUEST_CPU_H

#include "cpu-x86/cpuid.h"
#include "cpu-x86/engine.h"
#include "cpu-x86/state.h"
#include "softmmu/phys-mem.h"

#include <string.h>

typedef enum { GUEST_REAL16, GUEST_PROT16, GUEST_PROT32, GUEST_COMPAT32, GUEST_LONG64 } GuestMode;

enum {
    GUEST_CODE = 0x8000,       /* guest_code() puts it here                    */
    GUEST_DATA = 0xa000,       /* free for tests up to 0xefff                  */
    GUEST_STACK = 0x7000,      /* initial stack pointer                        */
    GUEST_HANDLERS = 0xf0000,
    GUEST_TABLES = 0x100000,   /* page tables, GDT, IDT                        */
    GUEST_GDT = GUEST_TABLES + 0x10000,
    GUEST_IDT = GUEST_TABLES + 0x11000,
    GUEST_BIG_DATA = 0x200000, /* free for tests up to the end (not in 16-bit modes) */
    GUEST_RAM_SIZE = 16 << 20,
};

enum { /* selectors of the GDT */
    GUEST_SEL_CODE32 = 0x08, GUEST_SEL_DATA = 0x10, GUEST_SEL_CODE64 = 0x18, GUEST_SEL_CODE16 = 0x20,
    GUEST_SEL_DATA16 = 0x28,
};

typedef struct {
    Lock lock;
    PhysMem *mem;
    PortSpace *ports;
    CpuModel *model;
    CpuState *cpu;
    GuestMode mode;
    int irq;                   /* what irq_ack() answers; -1: nothing */
} GuestCpu;

static inline uint8_t *guest_ram(GuestCpu *g, uint64_t phys)
{
    return phys_mem_host(g->mem, guest_phys(phys), 1, true);
}

/* Write guest memory as a device would: decoded code is invalidated. */
static inline void guest_write(GuestCpu *g, uint64_t phys, const void *src, size_t len)
{
    phys_copy_to(g->mem, guest_phys(phys), src, len);
}

static inline void guest_code(GuestCpu *g, const uint8_t *bytes, size_t len)
{
    guest_write(g, GUEST_CODE, bytes, len);
    g->cpu->rip = GUEST_CODE;
}

static inline CpuExit guest_run(GuestCpu *g, uint64_t n)
{
    return interp_engine.run(g->cpu, n);
}

/* The exception vector whose handler has been entered, or -1. */
static inline int guest_vector(const GuestCpu *g)
{
    uint64_t lin = g->cpu->rip + (g->mode == GUEST_LONG64 ? 0 : g->cpu->seg[SEG_CS].base);

    return lin >= GUEST_HANDLERS && lin < GUEST_HANDLERS + 0x1000 ? (int)(lin - GUEST_HANDLERS) / 16
                                                                  : -1;
}

static inline int guest_irq_ack(void *arg)
{
    return ((GuestCpu *)arg)->irq;
}

static inline void guest_segment(GuestCpu *g, unsigned seg, uint16_t selector, uint32_t attr)
{
    g->cpu->seg[seg] = (Segment){.selector = selector, .limit = UINT32_MAX, .attr = attr};
}

static inline void guest_tables(GuestCpu *g)
{
    static const uint64_t gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff,
                                   0x008f9b000000ffff, 0x008f93000000ffff};
    uint64_t *t = (uint64_t *)guest_ram(g, GUEST_TABLES);
    uint8_t *idt = guest_ram(g, GUEST_IDT), *handlers = guest_ram(g, GUEST_HANDLERS);

    t[0] = (GUEST_TABLES + 0x1000) | 7;             /* PML4, PDPT, PD of 2 MiB pages */
    t[512] = (GUEST_TABLES + 0x2000) | 7;
    for (unsigned i = 0; i < GUEST_RAM_SIZE >> 21; i++) {
        t[1024 + i] = (uint64_t)i << 21 | 0x87;
    }
    memcpy(guest_ram(g, GUEST_GDT), gdt, sizeof gdt);
    for (unsigned v = 0; v < 256; v++) {
        uint32_t to = GUEST_HANDLERS + v * 16;
        uint16_t sel = g->mode >= GUEST_COMPAT32 ? GUEST_SEL_CODE64 : GUEST_SEL_CODE32;

        memcpy(handlers + v * 16, "\xeb\xfe", 2);
        if (g->mode == GUEST_REAL16) {
            store_le(guest_ram(g, v * 4), 4, 0xf0000000u | v * 16);
        } else {
            unsigned size = g->mode >= GUEST_COMPAT32 ? 16 : 8;

            store_le(idt + v * size, 4, (to & 0xffff) | (uint32_t)sel << 16);
            store_le(idt + v * size + 4, 4, (to & 0xffff0000) | 0x8e00);
        }
    }
}

static inline void guest_enter_mode(GuestCpu *g)
{
    CpuState *cpu = g->cpu;
    bool lm = g->mode >= GUEST_COMPAT32, pe = g->mode != GUEST_REAL16;
    bool bits16 = g->mode <= GUEST_PROT16;
    uint32_t code = SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_A, data = SEG_P | SEG_S | SEG_RW | SEG_A;

    code |= !pe ? 0 : bits16 ? SEG_G : g->mode == GUEST_LONG64 ? SEG_L | SEG_G : SEG_DB | SEG_G;
    data |= !pe ? 0 : bits16 ? SEG_G : SEG_DB | SEG_G;
    guest_segment(g, SEG_CS, !pe ? 0 : bits16 ? GUEST_SEL_CODE16 : g->mode == GUEST_LONG64
                                 ? GUEST_SEL_CODE64 : GUEST_SEL_CODE32, code);
    for (unsigned s = 0; s < SEG_COUNT; s++) {
        if (s != SEG_CS) {
            guest_segment(g, s, !pe ? 0 : bits16 ? GUEST_SEL_DATA16 : GUEST_SEL_DATA, data);
        }
    }
    if (!pe) {
        for (unsigned s = 0; s < SEG_COUNT; s++) {
            cpu->seg[s].limit = 0xffff;
        }
    }
    cpu->cr0 = CR0_ET | CR0_NE | CR0_MP | CR0_WP | (pe ? CR0_PE : 0) | (lm ? CR0_PG : 0);
    cpu->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | (lm ? CR4_PAE : 0);
    cpu->cr3 = GUEST_TABLES;
    cpu->efer = lm ? EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE : 0;
    cpu->vec.xcr0 = cpu_model_xcr0(g->model);
    cpu->rflags = FLAG_FIXED;
    cpu->gdtr = (DescTable){.base = GUEST_GDT, .limit = 6 * 8 - 1};
    cpu->idtr = !pe ? (DescTable){.base = 0, .limit = 0x3ff}
                    : (DescTable){.base = GUEST_IDT, .limit = 0xfff};
    cpu_update_mode(cpu);
    tlb_flush_all(&cpu->mmu.tlb);
}

static inline void guest_cpu_init_model(GuestCpu *g, GuestMode mode, const char *model)
{
    *g = (GuestCpu){.mode = mode, .irq = -1};
    lock_init(&g->lock, LOCK_RANK_MACHINE);
    g->mem = phys_mem_new(GUEST_RAM_SIZE, &g->lock, NULL);
    g->ports = port_space_new(&g->lock);
    g->model = cpu_model_new(model, 1, NULL);
    g_assert(g->mem != NULL && g->model != NULL);
    lock_take(&g->lock);
    phys_region_ram(g->mem, 0, GUEST_RAM_SIZE, phys_mem_alloc(g->mem, GUEST_RAM_SIZE), 0, "ram");
    lock_release(&g->lock);
    g->cpu = cpu_new(&(CpuConfig){.n_cpus = 1, .model = g->model, .mem = g->mem,
                                  .ports = g->ports, .machine_lock = &g->lock,
                                  .bus = {.arg = g, .irq_ack = guest_irq_ack}});
    guest_tables(g);
    guest_enter_mode(g);
    memset(g->cpu->gpr, 0, sizeof g->cpu->gpr);
    g->cpu->gpr[GPR_RSP] = GUEST_STACK;
    g->cpu->activity = CPU_RUNNING;
}

static inline void guest_cpu_init(GuestCpu *g, GuestMode mode)
{
    guest_cpu_init_model(g, mode, "max");
}

static inline void guest_cpu_clear(GuestCpu *g)
{
    cpu_free(g->cpu);
    cpu_model_free(g->model);
    port_space_free(g->ports);
    phys_mem_free(g->mem);
    lock_clear(&g->lock);
}

#endif /* TESTS_CPU_X86_GUEST_CPU_H */
