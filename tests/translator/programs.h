/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The programs of programs.S, and a guest that runs one. */
#ifndef TESTS_TRANSLATOR_PROGRAMS_H
#define TESTS_TRANSLATOR_PROGRAMS_H

#include "tests/cpu-x86/guest-cpu.h"
#include "translator/policy.h"

#include <check.h>

#define PROGRAM(name, window) extern const uint8_t prog_##name[], prog_##name##_end[];
#define PROGRAM32(name) PROGRAM(name, false)
#include "tests/translator/programs.def"
#undef PROGRAM
#undef PROGRAM32

typedef struct {
    const char *name;
    const uint8_t *start, *end;
    bool window;               /* surely uses memory, by other than helpers */
    GuestMode mode;
} Program;

/* Those of 64-bit code first; of 32-bit code each outside long mode, and in it. */
static const Program programs[] = {
#define PROGRAM(name, window) {#name, prog_##name, prog_##name##_end, window, GUEST_LONG64},
#define PROGRAM32(name)                                                                            \
    {#name, prog_##name, prog_##name##_end, false, GUEST_PROT32},                                  \
    {#name " in long mode", prog_##name, prog_##name##_end, false, GUEST_COMPAT32},
#include "tests/translator/programs.def"
#undef PROGRAM
#undef PROGRAM32
};

enum {
    N_PROGRAMS64 = 0
#define PROGRAM(name, window) + 1
#define PROGRAM32(name)
#include "tests/translator/programs.def"
#undef PROGRAM
#undef PROGRAM32
    ,
    N_PROGRAMS = sizeof programs / sizeof *programs
};

/* Where programs for the window see physical address 0. */
#define PROGRAM_HIGH UINT64_C(0xffffffff80000000)

/* All memory at PROGRAM_HIGH too, in global pages of 4 KiB. */
static inline void program_map_high(GuestCpu *g)
{
    enum { PDPT = 0x3000, PD = 0x4000, PT = 0x5000 };
    uint64_t *t = (uint64_t *)guest_ram(g, GUEST_TABLES);

    t[511] = (GUEST_TABLES + PDPT) | 3;
    t[PDPT / 8 + 510] = (GUEST_TABLES + PD) | 3;
    for (unsigned i = 0; i < GUEST_RAM_SIZE >> 21; i++) {
        t[PD / 8 + i] = (GUEST_TABLES + PT + i * 0x1000) | 3;
    }
    for (unsigned i = 0; i < GUEST_RAM_SIZE >> 12; i++) {
        t[PT / 8 + i] = (uint64_t)i << 12 | 0x103;
    }
    g->cpu->cr4 |= CR4_PGE;
    tlb_flush_all(&g->cpu->mmu.tlb);
}

/* A guest about to run p at GUEST_CODE + shift from `base`, 0 or, 64-bit code, PROGRAM_HIGH; exception handlers halt. */
static inline void program_load(GuestCpu *g, const EngineClass *engine, const TransConfig *config,
                                const Program *p, unsigned shift, uint64_t base)
{
    guest_cpu_init(g, p->mode);
    if (p->mode == GUEST_LONG64) {
        program_map_high(g);
    }
    guest_write(g, GUEST_CODE + shift, p->start, (size_t)(p->end - p->start));
    for (unsigned v = 0; v < 32; v++) {
        guest_write(g, GUEST_HANDLERS + 16 * v, "\xf4", 1);
    }
    g->cpu->rip = base + GUEST_CODE + shift;
    for (unsigned r = 0; r < GPR_COUNT; r++) {
        g->cpu->gpr[r] = UINT64_C(0x1234567890abcdef) * (r + 1);
        if (p->mode != GUEST_LONG64 && r < 8) {
            g->cpu->gpr[r] = (uint32_t)g->cpu->gpr[r];
        }
    }
    g->cpu->gpr[GPR_RDI] = base + GUEST_BIG_DATA;
    g->cpu->gpr[GPR_RSP] = base + GUEST_BIG_DATA + 0x20000;
    g->cpu->engine = engine;
    g->cpu->engine_config = config;
    ck_assert(engine->attach(g->cpu, NULL));
}

static inline void program_finish(GuestCpu *g)
{
    g->cpu->engine->detach(g->cpu);
    guest_cpu_clear(g);
}

#endif /* TESTS_TRANSLATOR_PROGRAMS_H */
