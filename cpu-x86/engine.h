/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every way of running guest code offers.  The interpreter (cpu-x86/interp.c), the translator
 * and hwaccel each export one EngineClass; the run loop in monitor/ knows nothing else of them.
 * An engine can be changed between two calls of run(): the CpuState is canonical there.
 */
#ifndef CPU_X86_ENGINE_H
#define CPU_X86_ENGINE_H

#include "cpu-x86/exit.h"
#include "cpu-x86/state.h"

#include <glib.h>

struct EngineClass {
    const char *name;          /* as spelled on the command line */

    /* Can this host run the engine?  NULL: every host can.  Returns NULL or one line that says why
     * not. */
    const char *(*missing)(void);

    /* Prepare `cpu` for this engine (its own thread, or before it starts), as cpu->engine_config says.  False: `error` says
     * why, one line. */
    bool (*attach)(CpuState *cpu, GError **error);
    void (*detach)(CpuState *cpu);

    /*
     * Run until about `budget` guest instructions are spent or something happens.  Delivers
     * exceptions, interrupts (CPU_REQ_INTR, NMI) by itself; returns for CPU_REQ_KICK, STOP, INIT,
     * SIPI (without clearing them), handles CPU_REQ_FLUSH.  Called without the machine lock, with
     * activity CPU_RUNNING.  With budget 1 exactly one instruction is executed (or one event
     * delivered): that is single step and lock-step.
     */
    CpuExit (*run)(CpuState *cpu, uint64_t budget);

    /* Make run() return soon: any thread, any time, no locks.  May be NULL: requests are polled. */
    void (*kick)(CpuState *cpu);
};

extern const EngineClass interp_engine;

#endif /* CPU_X86_ENGINE_H */
