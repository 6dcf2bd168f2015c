/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every way of running guest code offers.  The interpreter (cpu-x86/interp.c), the translator
 * and hwaccel each export one EngineClass; the run loop in monitor/ knows nothing else of them.
 * An engine can be changed between two calls of run(): the CpuState is canonical there.
 */
#ifndef CPU_X86_ENGINE_H
#define CPU_X86_ENGINE_H

#include "cpu-x86/cpuid.h"
#include "cpu-x86/exit.h"
#include "cpu-x86/state.h"

#include <glib.h>

struct EngineClass {
    const char *name;          /* as spelled on the command line */

    /* Can this host run the engine?  NULL: every host can.  Returns NULL or one line that says why
     * not. */
    const char *(*missing)(void);

    /* It can, but something else should be preferred: one line that says why; NULL: nothing is wrong. */
    const char *(*drawback)(void);

    /* Take from a CPU model, before CPUs are made of it, what guests cannot have under this engine, set up as `config` says
     * (CpuState.engine_config), and append the names to `dropped`.  NULL: they can have all. */
    bool (*restrict_model)(CpuModel *m, const void *config, GString *dropped, GError **error);

    /* Prepare `cpu` for this engine (its own thread, or before it starts), as cpu->engine_config says.  False: `error` says
     * why, one line. */
    bool (*attach)(CpuState *cpu, GError **error);
    void (*detach)(CpuState *cpu);

    /*
     * Run until about `budget` guest instructions are spent or something happens.  Delivers
     * exceptions, interrupts (CPU_REQ_INTR, NMI) by itself; returns for CPU_REQ_KICK, STOP, INIT,
     * SIPI (without clearing them), handles CPU_REQ_FLUSH.  Called without the machine lock, with
     * activity CPU_RUNNING, or, while halts_inside is set, any.  With budget 1 exactly one instruction is executed (or one event
     * delivered): that is single step and lock-step.
     */
    CpuExit (*run)(CpuState *cpu, uint64_t budget);

    /* Make run() return soon: any thread, any time, no locks.  May be NULL: requests are polled. */
    void (*kick)(CpuState *cpu);

    /* NULL: the CpuState is canonical whenever run() has returned.  Else, after CPU_EXIT_REQUEST and
     * CPU_EXIT_HALT, only `activity`, RFLAGS.IF and nmi_masked are, until sync() brings in the rest.  Own
     * thread, or the CPU is parked. */
    void (*sync)(CpuState *cpu);

    /* All CPUs are parked: what they have in common (their local APICs) comes to the machine's devices; they are about
     * to go on: back to the engine.  For each CPU, with the machine lock, by any thread; NULL: nothing to do. */
    void (*gather)(CpuState *cpu);
    void (*scatter)(CpuState *cpu);

    /* After CPU_EXIT_FAILED: why, one line, or NULL. */
    const char *(*why)(const CpuState *cpu);

    /* Lines for `-d stats` and `info accel`; NULL: none.  The CPU is parked. */
    void (*print_stats)(const CpuState *cpu, GString *out);
    void (*describe)(GString *out);
};

extern const EngineClass interp_engine;

static inline void cpu_sync(CpuState *cpu)
{
    if (cpu->engine->sync != NULL) {
        cpu->engine->sync(cpu);
    }
}

#endif /* CPU_X86_ENGINE_H */
