/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reference interpreter's decode cache, as the rest of cpu-x86/ sees it.  The engine itself is
 * interp_engine (engine.h).  A CPU has its cache for life: other engines fall back on it.
 */
#ifndef CPU_X86_INTERP_H
#define CPU_X86_INTERP_H

#include "cpu-x86/state.h"

/* Make and free cpu->interp_data; the model must be set. */
void interp_cpu_init(CpuState *cpu);
void interp_cpu_clear(CpuState *cpu);

/* SoftMmu.code_written: `arg` is the CpuState. */
void interp_code_written(void *arg);

/* Instructions executed before the one that is being executed, on the CPU's own thread. */
uint64_t interp_insns(const CpuState *cpu);

#endif /* CPU_X86_INTERP_H */
