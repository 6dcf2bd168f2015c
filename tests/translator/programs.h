/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The programs of programs.S, and a guest that runs one. */
#ifndef TESTS_TRANSLATOR_PROGRAMS_H
#define TESTS_TRANSLATOR_PROGRAMS_H

#include "tests/cpu-x86/guest-cpu.h"
#include "translator/policy.h"

#include <check.h>

#define PROGRAM(name) extern const uint8_t prog_##name[], prog_##name##_end[];
#include "tests/translator/programs.def"
#undef PROGRAM

typedef struct {
    const char *name;
    const uint8_t *start, *end;
} Program;

static const Program programs[] = {
#define PROGRAM(name) {#name, prog_##name, prog_##name##_end},
#include "tests/translator/programs.def"
#undef PROGRAM
};

enum { N_PROGRAMS = sizeof programs / sizeof *programs };

/* A guest about to run p at GUEST_CODE + shift; exception handlers halt. */
static inline void program_load(GuestCpu *g, const EngineClass *engine, const TransConfig *config,
                                const Program *p, unsigned shift)
{
    guest_cpu_init(g, GUEST_LONG64);
    guest_write(g, GUEST_CODE + shift, p->start, (size_t)(p->end - p->start));
    for (unsigned v = 0; v < 32; v++) {
        guest_write(g, GUEST_HANDLERS + 16 * v, "\xf4", 1);
    }
    g->cpu->rip = GUEST_CODE + shift;
    for (unsigned r = 0; r < GPR_COUNT; r++) {
        g->cpu->gpr[r] = UINT64_C(0x1234567890abcdef) * (r + 1);
    }
    g->cpu->gpr[GPR_RDI] = GUEST_BIG_DATA;
    g->cpu->gpr[GPR_RSP] = GUEST_BIG_DATA + 0x20000;
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
